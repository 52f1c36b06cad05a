package publish

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"databricks-credential-rotation/functions/audit/auditing/escape"
	"databricks-credential-rotation/functions/audit/auditing/history"
	"databricks-credential-rotation/functions/audit/auditing/page"
	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/functions/audit/auditing/summary"
	"databricks-credential-rotation/functions/audit/auditing/table"
)

// S3 is what a bucket needs of the service. The role needs s3:PutObject and
// s3:GetObject on the bucket's objects, and s3:ListBucket on the bucket:
// without it S3 says AccessDenied of an object that is not there.
type S3 interface {
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	HeadObject(context.Context, *s3.HeadObjectInput, ...func(*s3.Options)) (*s3.HeadObjectOutput, error)
}

// Bucket keeps reports as evidence: each audit has a place of its own, by
// date, and what is there is never written over. One more object points at
// the last audit.
type Bucket struct {
	API  S3
	Name string
	// Prefix is before every key, such as "audits/"; it may be empty.
	Prefix string
	// Region is the bucket's, for links.
	Region string
	// Owner is the AWS account that must own the bucket, empty for any.
	Owner string
}

// The documents of a report, and the pointer to the last one.
const (
	documentJSON = "report.json"
	documentCSV  = "findings.csv"
	documentHTML = "report.html"
	pointerKey   = "latest.json"
)

// pointerVersion is the layout's of the pointer.
const pointerVersion = "databricks-credential-audit-pointer/1"

// pointer says where the last audit is, and what its report must be.
type pointer struct {
	Version string    `json:"version"`
	ID      string    `json:"id"`
	TakenAt time.Time `json:"taken_at"`
	Report  string    `json:"report"`
	CSV     string    `json:"csv,omitempty"`
	HTML    string    `json:"html,omitempty"`
	SHA256  string    `json:"sha256"`
}

// put stores the documents and then, if the report itself is safe, the
// pointer. One document's failure does not keep the others from being stored.
func (b Bucket) put(ctx context.Context, r *report.Report) (summary.Where, error) {
	folder := b.Prefix + r.TakenAt.UTC().Format("2006/01/02/") + r.ID + "/"
	next := pointer{Version: pointerVersion, ID: r.ID, TakenAt: r.TakenAt.UTC()}
	var faults []error
	store := func(name, kind string, write func(io.Writer) error) (key, sum string) {
		document, err := spool(write)
		if err == nil {
			err = b.keep(ctx, folder+name, kind, document)
			_ = document.Close() // it was only read
		}
		if err != nil {
			faults = append(faults, err)
			return "", ""
		}
		return folder + name, document.sum
	}
	next.Report, next.SHA256 = store(documentJSON, "application/json", func(w io.Writer) error { return report.Write(w, r) })
	next.CSV, _ = store(documentCSV, "text/csv; charset=utf-8", func(w io.Writer) error { return table.Write(w, r) })
	next.HTML, _ = store(documentHTML, "text/html; charset=utf-8", func(w io.Writer) error { return page.Write(w, r) })

	if next.Report == "" {
		faults = append(faults, fmt.Errorf("s3://%s/%s still points at the audit before, with which the next one compares", b.Name, b.Prefix+pointerKey))
	} else if err := b.point(ctx, next); err != nil {
		faults = append(faults, err)
	}
	// The JSON is the whole report, and the CSV all findings: better than
	// nothing to read.
	var where summary.Where
	if key := cmp.Or(next.HTML, next.Report, next.CSV); key != "" {
		where = summary.Where{URI: "s3://" + b.Name + "/" + key, Link: b.link(key)}
	} else {
		where.Missing = errors.Join(faults...).Error()
	}
	return where, errors.Join(faults...)
}

// keep stores evidence, once. Its name is taken only by itself: an upload
// whose reply was lost is sent again and finds what it stored.
func (b Bucket) keep(ctx context.Context, key, kind string, document *spooled) error {
	_, err := b.API.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &b.Name, Key: &key, Body: document, ContentLength: &document.size, ContentType: &kind, CacheControl: aws.String("no-store"),
		IfNoneMatch: aws.String("*"), ExpectedBucketOwner: b.owner(), Metadata: map[string]string{"sha256": document.sum},
	})
	if err == nil {
		return nil
	}
	if taken(err) {
		there, headErr := b.API.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.Name, Key: &key, ExpectedBucketOwner: b.owner()})
		if headErr == nil && there.Metadata["sha256"] == document.sum {
			return nil
		}
		return fmt.Errorf("storing s3://%s/%s: something else has that name, and evidence is not written over", b.Name, key)
	}
	return fmt.Errorf("storing s3://%s/%s: %w", b.Name, key, reduce(err))
}

// point makes the pointer point at an audit, unless it already points at a
// later one: two audits may run at once, and the one that began first may end
// last.
func (b Bucket) point(ctx context.Context, p pointer) error {
	body, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return fmt.Errorf("encode the pointer: %w", err)
	}
	body = append(body, '\n')
	// Each round but the first follows another audit that was quicker.
	for range 5 {
		var there pointer
		old, etag, getErr := b.get(ctx, b.Prefix+pointerKey)
		if getErr == nil && json.Unmarshal(old, &there) == nil && there.Version == pointerVersion &&
			(there.ID == p.ID || there.TakenAt.After(p.TakenAt)) {
			return nil
		}
		if err = b.replace(ctx, body, etag, code(getErr) == noSuchKey); !taken(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("the report is stored, and s3://%s/%s still points at the audit before, with which the next one compares: %w", b.Name, b.Prefix+pointerKey, reduce(err))
	}
	return nil
}

// replace writes the pointer if it is still what was read: the object with
// that tag, or none. Where it could not be read, it is written in any case.
func (b Bucket) replace(ctx context.Context, body []byte, etag string, none bool) error {
	in := &s3.PutObjectInput{
		Bucket: &b.Name, Key: aws.String(b.Prefix + pointerKey), Body: bytes.NewReader(body), ContentType: aws.String("application/json"),
		CacheControl: aws.String("no-store"), ExpectedBucketOwner: b.owner(),
	}
	switch {
	case none:
		in.IfNoneMatch = aws.String("*")
	case etag != "":
		in.IfMatch = &etag
	}
	_, err := b.API.PutObject(ctx, in)
	return err
}

// taken tells that a conditional write found something else.
func taken(err error) bool {
	c := code(err)
	return c == "PreconditionFailed" || c == "ConditionalRequestConflict"
}

func (b Bucket) owner() *string {
	if b.Owner == "" {
		return nil
	}
	return &b.Owner
}

// link leads to an object in the AWS console, which asks who wants to see it.
func (b Bucket) link(key string) string {
	domain := "console.aws.amazon.com"
	switch {
	case b.Region == "":
		return ""
	case strings.HasPrefix(b.Region, "cn-"):
		domain = "console.amazonaws.cn"
	case strings.HasPrefix(b.Region, "us-gov-"):
		domain = "console.amazonaws-us-gov.com"
	}
	return fmt.Sprintf("https://%s.%s/s3/object/%s?region=%s&prefix=%s", b.Region, domain, b.Name, b.Region, url.QueryEscape(key))
}

// Last is the JSON of the last audit's report, nil if there was none. It
// implements history.Source.
func (b Bucket) Last(ctx context.Context) (history.Document, error) {
	body, _, err := b.get(ctx, b.Prefix+pointerKey)
	if code(err) == noSuchKey {
		return nil, nil
	}
	if err != nil {
		return nil, b.unread(b.Prefix+pointerKey, err)
	}
	var p pointer
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return nil, fmt.Errorf("s3://%s/%s: %s", b.Name, b.Prefix+pointerKey, escape.Clip(err.Error(), 200))
	}
	switch {
	case p.Version != pointerVersion:
		return nil, fmt.Errorf("s3://%s/%s: version %q, expected %q", b.Name, b.Prefix+pointerKey, escape.Clip(p.Version, 60), pointerVersion)
	case !strings.HasPrefix(p.Report, b.Prefix):
		return nil, fmt.Errorf("s3://%s/%s: it points outside of %q", b.Name, b.Prefix+pointerKey, b.Prefix)
	}
	document, err := b.fetch(ctx, p.Report)
	if err != nil {
		return nil, b.unread(p.Report, err)
	}
	if document.sum != p.SHA256 {
		_ = document.Close() // it was only read
		return nil, fmt.Errorf("s3://%s/%s: its digest is not the one in %s: it was changed or cut short", b.Name, escape.Clip(p.Report, 200), pointerKey)
	}
	return document, nil
}

func (b Bucket) unread(key string, err error) error {
	hint := ""
	if code(err) == "AccessDenied" {
		hint = " (without s3:ListBucket on the bucket, S3 says so of an object that is not there, too)"
	}
	return fmt.Errorf("reading s3://%s/%s: %w%s", b.Name, escape.Clip(key, 200), reduce(err), hint)
}

// noSuchKey is S3's word for an object that is not there.
const noSuchKey = "NoSuchKey"

// maxPointer is far over what a pointer has, in bytes.
const maxPointer = 1 << 20

// get reads a small object, and tells its entity tag.
func (b Bucket) get(ctx context.Context, key string) (body []byte, etag string, err error) {
	out, err := b.API.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.Name, Key: &key, ExpectedBucketOwner: b.owner()})
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = out.Body.Close() }() // it was only read
	body, err = io.ReadAll(io.LimitReader(out.Body, maxPointer+1))
	if err != nil {
		return nil, "", err
	}
	if len(body) > maxPointer {
		return nil, "", errors.New("it is too large to be a pointer")
	}
	return body, aws.ToString(out.ETag), nil
}

// fetch reads an object into a file.
func (b Bucket) fetch(ctx context.Context, key string) (*spooled, error) {
	out, err := b.API.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.Name, Key: &key, ExpectedBucketOwner: b.owner()})
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Body.Close() }() // it was only read
	return spool(func(w io.Writer) error {
		_, err := io.Copy(w, out.Body)
		return err
	})
}
