package publish_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/securityhub"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"databricks-credential-rotation/functions/audit/auditing/history"
	"databricks-credential-rotation/functions/audit/auditing/publish"
	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/functions/audit/auditing/reporttest"
)

// sink takes everything and keeps nothing, so that only the publisher's own
// memory is measured; but for the report, which the next audit reads.
type sink struct {
	publish.S3
	report []byte
	keep   bool
}

func (s *sink) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	if s.keep && *in.ContentType == "application/json" && s.report == nil {
		var err error
		s.report, err = io.ReadAll(in.Body)
		return &s3.PutObjectOutput{}, err
	}
	_, err := io.Copy(io.Discard, in.Body)
	return &s3.PutObjectOutput{}, err
}

func (*sink) Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error) {
	return &sns.PublishOutput{}, nil
}

func (*sink) BatchImportFindings(_ context.Context, in *securityhub.BatchImportFindingsInput, _ ...func(*securityhub.Options)) (*securityhub.BatchImportFindingsOutput, error) {
	n := int32(len(in.Findings))
	return &securityhub.BatchImportFindingsOutput{SuccessCount: &n}, nil
}

func (s *sink) Last(context.Context) (history.Document, error) {
	if s.report == nil {
		return nil, errors.New("nothing was stored")
	}
	return reporttest.NewDocument(s.report), nil
}

// peak is the greatest heap, in MB, while f runs, over what was there before.
func peak(f func()) float64 {
	debug.FreeOSMemory()
	heap := func() float64 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(s)
		return float64(s[0].Value.Uint64()) / (1 << 20)
	}
	before, most := heap(), 0.0
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			most = max(most, heap()-before)
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	f()
	close(done)
	<-watched
	return most
}

// BenchmarkLargeReports publishes reports and compares the next audits with
// them.
func BenchmarkLargeReports(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(strconv.Itoa(n)+" findings", func(b *testing.B) {
			r := reporttest.Large(n)
			for b.Loop() {
				s := &sink{}
				p := publish.Publisher{
					Bucket: &publish.Bucket{API: s}, Topic: &publish.Topic{API: s}, Hub: &publish.Hub{API: s},
					Metrics: &publish.Metrics{Logger: slog.New(slog.DiscardHandler)},
				}
				b.ReportMetric(peak(func() {
					if err := p.Deliver(b.Context(), r).Err(); err != nil {
						b.Fatal(err)
					}
				}), "publish-MB")
				s.keep = true
				p.Topic, p.Hub, p.Metrics = nil, nil, nil
				if err := p.Deliver(b.Context(), r).Err(); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(peak(func() {
					past, gap := history.Load(b.Context(), s)
					if gap != nil {
						b.Fatal(gap.Why)
					}
					next := &report.Report{ID: "next", TakenAt: r.TakenAt.Add(24 * time.Hour)}
					for _, f := range r.Findings {
						next.Findings = append(next.Findings, &report.Finding{Finding: f.Finding})
					}
					past.Compare(next)
					runtime.KeepAlive(past)
				}), "compare-MB")
			}
		})
	}
}
