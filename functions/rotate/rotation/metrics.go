package rotation

import (
	"context"
	"log/slog"

	"databricks-credential-rotation/shared/metric"
)

// dimensionDoor is the way a run came in. Only how long runs take is told apart
// by it: that a door's runs are missing must show. No dimension names a
// principal: who may see a dashboard need not know them, and each value of a
// dimension is a metric to pay for.
const dimensionDoor = "Door"

// numbers are the metrics of a run, by its stack.
func (r *run) numbers(report *Report) []metric.Metric {
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
			if o.fault() != nil {
				n["failed"]++ // besides what blocks it
			}
		}
		if o.dead {
			n["dead"]++
		}
		n["retired"] += len(o.Retired)
		n["withheld"] += len(o.Withheld)
	}
	numbers := []metric.Metric{
		{Name: "Secrets", Unit: metric.Count, Value: float64(report.Secrets)},
		{Name: "Rotated", Unit: metric.Count, Value: float64(report.Counts[Rotated] + report.Counts[Issued])},
		{Name: "Retired", Unit: metric.Count, Value: float64(n["retired"])},
		{Name: "Failed", Unit: metric.Count, Value: float64(report.Counts[Failed] + n["failed"])},
		{Name: "Blocked", Unit: metric.Count, Value: float64(n["blocked"])},
		{Name: "Held", Unit: metric.Count, Value: float64(n["held"])},
		{Name: "Overdue", Unit: metric.Count, Value: float64(n["overdue"])},
		{Name: "DeadCurrent", Unit: metric.Count, Value: float64(n["dead"])},
		{Name: "Withheld", Unit: metric.Count, Value: float64(n["withheld"])},
		{Name: "Queued", Unit: metric.Count, Value: float64(report.Queued)},
		{Name: "Left", Unit: metric.Count, Value: float64(len(report.Left))},
	}
	// Only a run that has read every value knows the oldest.
	if r.all && !report.Oldest.IsZero() {
		numbers = append(numbers, metric.Metric{Name: "OldestCredentialDays", Unit: metric.None, Value: r.now().Sub(report.Oldest).Hours() / 24})
	}
	if r.all && !report.FirstExpiry.IsZero() {
		numbers = append(numbers, metric.Metric{Name: "DaysToFirstExpiry", Unit: metric.None, Value: report.FirstExpiry.Sub(r.now()).Hours() / 24})
	}
	return numbers
}

// measure writes the run's numbers to the log. A dry run has none, for it has
// done nothing that they could count.
func (r *run) measure(ctx context.Context, report *Report) {
	if r.dry || r.Deployment == "" {
		return
	}
	now := r.now()
	err := metric.Write(ctx, r.Log, now, []metric.Group{
		{Dimensions: []string{metric.Deployment}, Metrics: r.numbers(report)},
		{Dimensions: []string{metric.Deployment, dimensionDoor}, Metrics: []metric.Metric{
			{Name: "Duration", Unit: metric.Seconds, Value: now.Sub(r.began).Seconds()},
		}},
	}, slog.String(metric.Deployment, r.Deployment), slog.String(dimensionDoor, r.door))
	if err != nil {
		r.Log.ErrorContext(ctx, "the run's metrics cannot be written", "error", err.Error())
	}
}
