// Package metric writes numbers as one log line in CloudWatch's embedded
// metric format: no call, no permission, and the line is there to be read.
package metric

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// Namespace is where the metrics are in CloudWatch.
const Namespace = "DatabricksCredentials"

// Deployment is the dimension that tells stacks apart.
const Deployment = "Deployment"

// Units of metrics.
const (
	Count   = "Count"
	Seconds = "Seconds"
	// None is of what CloudWatch has no unit for, such as days.
	None = "None"
)

// Metric is one number.
type Metric struct {
	Name, Unit string
	Value      float64
}

// Group are metrics with the same dimensions. CloudWatch takes 100 of them.
type Group struct {
	// Dimensions are the names of attributes of the line.
	Dimensions []string
	Metrics    []Metric
}

type directive struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []definition
}

type definition struct{ Name, Unit string }

// Write writes the groups as of a time, with attributes that hold the values
// of their dimensions, and whatever else helps a reader.
//
// The line goes to the handler whatever the logger's level: that is for people
// who read too much, and alarms read this. CloudWatch finds a document only at
// the root of a line, where the handler puts attributes.
func Write(ctx context.Context, log *slog.Logger, at time.Time, groups []Group, attrs ...slog.Attr) error {
	record := slog.NewRecord(time.Now(), slog.LevelInfo, "metrics", 0)
	var directives []directive
	for _, g := range groups {
		d := directive{Namespace: Namespace, Dimensions: [][]string{g.Dimensions}}
		for _, m := range g.Metrics {
			d.Metrics = append(d.Metrics, definition{m.Name, m.Unit})
			record.AddAttrs(slog.Float64(m.Name, m.Value))
		}
		directives = append(directives, d)
	}
	record.AddAttrs(attrs...)
	record.AddAttrs(slog.Any("_aws", struct {
		Timestamp         int64
		CloudWatchMetrics []directive
	}{at.UnixMilli(), directives}))
	if err := log.Handler().Handle(ctx, record); err != nil {
		return fmt.Errorf("writing the metrics to the log: %w", err)
	}
	return nil
}
