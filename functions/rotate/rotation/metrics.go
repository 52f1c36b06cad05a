package rotation

import (
	"context"
	"log/slog"

	"databricks-credential-rotation/shared/metric"
)

// dimensionDoor is the way a run came in. How long runs take is told apart by
// it, since that a door's runs are missing must show; and with how many secrets
// something failed, since what fails in the daily reconcile, hourly sweeps do not
// look at before it is due. No dimension names a principal: who may see a
// dashboard need not know them, and each value of a dimension is a metric to pay
// for.
const dimensionDoor = "Door"

// failing counts the secrets that somebody must see to: those that failed, also
// beside a block, and those that are blocked, unless a person has decided that.
func (r *Report) failing() (n int) {
	for _, o := range r.Outcomes {
		if o.fault() != nil || o.Block != nil && o.Block.Kind != Revoked && o.Block.Kind != LockedOut {
			n++
		}
	}
	return n
}

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
		n["unseen"] += len(o.Unseen)
	}
	numbers := []metric.Metric{
		{Name: "Secrets", Unit: metric.Count, Value: float64(report.Secrets)},
		{Name: "Rotated", Unit: metric.Count, Value: float64(report.Counts[Rotated] + report.Counts[Issued])},
		{Name: "Retired", Unit: metric.Count, Value: float64(n["retired"])},
		{Name: "Failed", Unit: metric.Count, Value: float64(report.Counts[Failed] + n["failed"])},
		{Name: "Blocked", Unit: metric.Count, Value: float64(n["blocked"])},
		{Name: "Held", Unit: metric.Count, Value: float64(n["held"])},
		{Name: "Queued", Unit: metric.Count, Value: float64(report.Queued)},
		{Name: "Left", Unit: metric.Count, Value: float64(len(report.Left))},
	}
	// Only a run that has looked knows that there is none, and one that had not
	// and said so would end an alarm. Whatever is overdue, each sweep looks at.
	// What the reconcile finds dead, or too much to remove, no sweep looks at
	// before it is due.
	for _, m := range []struct {
		name   string
		count  int
		looked bool
	}{
		{"Overdue", n["overdue"], r.all},
		{"DeadCurrent", n["dead"], r.all && r.check},
		{"Withheld", n["withheld"], r.all && r.check},
		{"MayBeInUse", n["unseen"], r.all && r.Usage != nil},
	} {
		if m.looked || m.count > 0 {
			numbers = append(numbers, metric.Metric{Name: m.name, Unit: metric.Count, Value: float64(m.count)})
		}
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
	// By the time at which it began, by which Lambda counts its errors as well: an
	// alarm holds the two of one hour against each other.
	err := metric.Write(ctx, r.Log, r.began, []metric.Group{
		{Dimensions: []string{metric.Deployment}, Metrics: r.numbers(report)},
		{Dimensions: []string{metric.Deployment, dimensionDoor}, Metrics: []metric.Metric{
			{Name: "Duration", Unit: metric.Seconds, Value: r.now().Sub(r.began).Seconds()},
			{Name: "FailedByDoor", Unit: metric.Count, Value: float64(report.failing())},
		}},
	}, slog.String(metric.Deployment, r.Deployment), slog.String(dimensionDoor, r.door))
	if err != nil {
		r.Log.ErrorContext(ctx, "the run's metrics cannot be written", "error", err.Error())
	}
}
