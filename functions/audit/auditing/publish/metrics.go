package publish

import (
	"context"
	"log/slog"

	"databricks-credential-rotation/functions/audit/auditing/escape"
	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/prune"
	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/shared/metric"
)

// Metrics writes an audit's numbers to the log.
type Metrics struct {
	// Logger must write JSON to the function's log; nil for the default one.
	Logger *slog.Logger
}

// numbers are the metrics, at most 100.
func numbers(r *report.Report, undelivered int) []metric.Metric {
	var list []metric.Metric
	add := func(name string, n int) {
		list = append(list, metric.Metric{Name: name, Unit: metric.Count, Value: float64(n)})
	}
	c, t, p := r.Counts(), r.Measures.Totals, r.Prune
	stopped := 0
	if p.Plan.Stopped != "" {
		stopped = 1
	}
	add("Audits", 1)
	add("Findings", c.Total())
	for _, s := range report.Severities() {
		add("Findings"+title(s), c.Of(s))
	}
	add("FindingsNew", r.WithStatus(report.New))
	add("FindingsReopened", r.WithStatus(report.Reopened))
	add("FindingsResolved", len(r.JustResolved()))
	add("FindingsUnchecked", r.WithStatus(report.Unchecked))
	add("Gaps", len(r.Gaps))
	add("ServicePrincipals", t.ServicePrincipals)
	add("OAuthSecrets", t.OAuthSecrets)
	add("Tokens", t.Tokens)
	add("OAuthApps", t.Apps)
	add("FederationPolicies", t.FederationPolicies)
	add("ManagedSecrets", t.ManagedSecrets)
	add("PruneNoticed", p.InState(prune.Notice))
	add("PruneDue", p.InState(prune.Due))
	add("PruneRemoved", p.Count(prune.Removed))
	add("PruneNarrowed", p.Count(prune.Narrowed))
	add("PruneFailed", p.Count(prune.Failed))
	add("PruneStopped", stopped)
	add("Undelivered", undelivered)
	return list
}

func title(s finding.Severity) string {
	name := s.String()
	return string(name[0]-'a'+'A') + name[1:]
}

func (m Metrics) write(ctx context.Context, r *report.Report, undelivered int) error {
	deployment := escape.Clip(r.Deployment, 200)
	if deployment == "" {
		deployment = "unnamed" // a dimension must have a value
	}
	logger := m.Logger
	if logger == nil {
		logger = slog.Default()
	}
	group := metric.Group{Dimensions: []string{metric.Deployment}, Metrics: numbers(r, undelivered)}
	return metric.Write(ctx, logger, r.TakenAt, []metric.Group{group}, slog.String(metric.Deployment, deployment), slog.String("audit", r.ID))
}
