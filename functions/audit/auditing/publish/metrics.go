package publish

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/escape"
	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/prune"
	"databricks-credential-rotation/functions/audit/auditing/report"
)

// Metrics writes an audit's numbers as one log line in CloudWatch's embedded
// metric format. It costs no call, and the line is there to be read, too.
type Metrics struct {
	// Logger must write JSON to the function's log; nil for the default one.
	Logger *slog.Logger
	// Namespace is [DefaultNamespace] if it is empty.
	Namespace string
}

// DefaultNamespace is the metrics' in CloudWatch.
const DefaultNamespace = "DatabricksCredentials"

type directive struct {
	Timestamp         int64         `json:"Timestamp"`
	CloudWatchMetrics []metricGroup `json:"CloudWatchMetrics"`
}

type metricGroup struct {
	Namespace  string       `json:"Namespace"`
	Dimensions [][]string   `json:"Dimensions"`
	Metrics    []metricName `json:"Metrics"`
}

type metricName struct {
	Name string `json:"Name"`
	Unit string `json:"Unit"`
}

type metric struct {
	name  string
	value int
}

// metrics are the numbers, at most 100.
func metrics(r *report.Report, undelivered int) []metric {
	c, t, p := r.Counts(), r.Measures.Totals, r.Prune
	stopped := 0
	if p.Plan.Stopped != "" {
		stopped = 1
	}
	list := []metric{{"Audits", 1}, {"Findings", c.Total()}}
	for _, s := range report.Severities() {
		list = append(list, metric{"Findings" + title(s), c.Of(s)})
	}
	return append(list,
		metric{"FindingsNew", r.WithStatus(report.New)},
		metric{"FindingsReopened", r.WithStatus(report.Reopened)},
		metric{"FindingsResolved", len(r.JustResolved())},
		metric{"FindingsUnchecked", r.WithStatus(report.Unchecked)},
		metric{"Gaps", len(r.Gaps)},
		metric{"ServicePrincipals", t.ServicePrincipals},
		metric{"OAuthSecrets", t.OAuthSecrets},
		metric{"Tokens", t.Tokens},
		metric{"OAuthApps", t.Apps},
		metric{"FederationPolicies", t.FederationPolicies},
		metric{"ManagedSecrets", t.ManagedSecrets},
		metric{"PruneNoticed", p.InState(prune.Notice)},
		metric{"PruneDue", p.InState(prune.Due)},
		metric{"PruneRemoved", p.Count(prune.Removed)},
		metric{"PruneNarrowed", p.Count(prune.Narrowed)},
		metric{"PruneFailed", p.Count(prune.Failed)},
		metric{"PruneStopped", stopped},
		metric{"Undelivered", undelivered},
	)
}

func title(s finding.Severity) string {
	name := s.String()
	return string(name[0]-'a'+'A') + name[1:]
}

// write logs the metrics whatever level the log is set to: a level is for
// people who read too much, and alarms read these.
func (m Metrics) write(ctx context.Context, r *report.Report, undelivered int) error {
	group := metricGroup{Namespace: m.Namespace, Dimensions: [][]string{{"Deployment"}}}
	if group.Namespace == "" {
		group.Namespace = DefaultNamespace
	}
	record := slog.NewRecord(time.Now(), slog.LevelInfo, "metrics", 0)
	for _, x := range metrics(r, undelivered) {
		group.Metrics = append(group.Metrics, metricName{x.name, "Count"})
		record.AddAttrs(slog.Int(x.name, x.value))
	}
	deployment := escape.Clip(r.Deployment, 200)
	if deployment == "" {
		deployment = "unnamed" // a dimension must have a value
	}
	record.AddAttrs(
		slog.String("Deployment", deployment),
		slog.String("audit", r.ID),
		slog.Any("_aws", directive{Timestamp: r.TakenAt.UnixMilli(), CloudWatchMetrics: []metricGroup{group}}),
	)
	logger := m.Logger
	if logger == nil {
		logger = slog.Default()
	}
	if err := logger.Handler().Handle(ctx, record); err != nil {
		return fmt.Errorf("writing the metrics to the log: %w", err)
	}
	return nil
}
