package rotation

import (
	"context"
	"log/slog"
	"time"
)

// MetricNamespace is where the metrics are in CloudWatch, beside the audit's.
const MetricNamespace = "DatabricksCredentials"

// Dimensions of metrics. Neither names a principal: who may see a dashboard
// need not know them, and each value of a dimension is a metric to pay for.
const (
	// dimensionDeployment is the stack.
	dimensionDeployment = "Deployment"
	// dimensionDoor is the way a run came in. Only how long runs take is told
	// apart by it: that a door's runs are missing must show.
	dimensionDoor = "Door"
)

// metric is a number of a run.
type metric struct {
	name, unit string
	value      float64
}

const (
	unitCount   = "Count"
	unitSeconds = "Seconds"
	// unitNone is of days, for which CloudWatch has no unit.
	unitNone = "None"
)

// numbers are the metrics of a run, by its stack.
func (r *run) numbers(report *Report) []metric {
	n := map[string]int{}
	for _, o := range report.Outcomes {
		if o.Block != nil {
			switch o.Block.Kind {
			case Overdue:
				n["overdue"]++
			case Revoked, LockedOut:
				n["held"]++ // a person has decided that
			default:
				n["blocked"]++
			}
		}
		if o.dead {
			n["dead"]++
		}
		n["retired"] += len(o.Retired)
		n["withheld"] += len(o.Withheld)
	}
	metrics := []metric{
		{"Secrets", unitCount, float64(report.Secrets)},
		{"Rotated", unitCount, float64(report.Counts[Rotated] + report.Counts[Issued])},
		{"Retired", unitCount, float64(n["retired"])},
		{"Failed", unitCount, float64(report.Counts[Failed])},
		{"Blocked", unitCount, float64(n["blocked"])},
		{"Held", unitCount, float64(n["held"])},
		{"Overdue", unitCount, float64(n["overdue"])},
		{"DeadCurrent", unitCount, float64(n["dead"])},
		{"Withheld", unitCount, float64(n["withheld"])},
		{"Queued", unitCount, float64(report.Queued)},
		{"Left", unitCount, float64(len(report.Left))},
	}
	// A run over a few secrets knows nothing of the oldest.
	if r.all && !report.Oldest.IsZero() {
		metrics = append(metrics, metric{"OldestCredentialDays", unitNone, r.now().Sub(report.Oldest).Hours() / 24})
	}
	if r.all && !report.FirstExpiry.IsZero() {
		metrics = append(metrics, metric{"DaysToFirstExpiry", unitNone, report.FirstExpiry.Sub(r.now()).Hours() / 24})
	}
	return metrics
}

type metricDirective struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []metricDefinition
}

type metricDefinition struct{ Name, Unit string }

// measure writes the run's numbers as one log line in CloudWatch's embedded
// metric format: no call, no permission, and the line is there to be read. A
// dry run has none, for it has done nothing that they could count.
//
// The line goes to the handler whatever the logger's level: that is for people
// who read too much, and alarms read this. CloudWatch finds a document only at
// the root of a line, where the handler puts attributes.
func (r *run) measure(ctx context.Context, report *Report) {
	if r.dry || r.Deployment == "" {
		return
	}
	now := r.now()
	record := slog.NewRecord(time.Now(), slog.LevelInfo, "metrics", 0)
	byStack := metricDirective{Namespace: MetricNamespace, Dimensions: [][]string{{dimensionDeployment}}}
	for _, m := range r.numbers(report) {
		byStack.Metrics = append(byStack.Metrics, metricDefinition{m.name, m.unit})
		record.AddAttrs(slog.Float64(m.name, m.value))
	}
	byDoor := metricDirective{
		Namespace: MetricNamespace, Dimensions: [][]string{{dimensionDeployment, dimensionDoor}},
		Metrics: []metricDefinition{{"Duration", unitSeconds}},
	}
	record.AddAttrs(
		slog.Float64("Duration", now.Sub(r.began).Seconds()),
		slog.String(dimensionDeployment, r.Deployment),
		slog.String(dimensionDoor, r.door),
		slog.Any("_aws", struct {
			Timestamp         int64
			CloudWatchMetrics []metricDirective
		}{now.UnixMilli(), []metricDirective{byStack, byDoor}}),
	)
	if err := r.Log.Handler().Handle(ctx, record); err != nil {
		r.Log.ErrorContext(ctx, "the run's metrics cannot be written", "error", err.Error())
	}
}
