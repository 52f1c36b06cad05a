// Command bench measures the product: how fast a fleet is rotated, what a
// rotation and an idle secret cost, how the queue is worked off, and how the
// functions start.
//
//	go run ./infra/bench
//	go run ./infra/bench -principals 1000 -only sweep,calls
//
// What is measured are the compiled functions behind the Lambda Runtime API, as
// the template deploys them and under its policies. The clouds are simulated in
// this process, with the latencies below and the quotas of Secrets Manager. The
// figures are printed as a table, and written as JSON and in the format of Go's
// benchmarks. The exit code is 1 if one of them misses its target.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"databricks-credential-rotation/infra/bench/figure"
	"databricks-credential-rotation/infra/sandbox/stage"
)

// bench is one run of everything.
type bench struct {
	// principals and queued are the sizes of the fleets.
	principals, queued int
	// factor multiplies all quotas.
	factor int
	// databricks and aws are how long calls take.
	databricks, aws time.Duration
	// starts is how often each function is started.
	starts int
	// python is an interpreter that has boto3, "" for none.
	python string
	// profile is a file for the CPU profile of the sweep, "" for none.
	profile string

	binaries string
	progress io.Writer
	sheet    figure.Sheet
}

// say tells a person what goes on. It is no result.
func (b *bench) say(format string, args ...any) { _, _ = fmt.Fprintf(b.progress, format+"\n", args...) }

func main() {
	b := bench{progress: os.Stderr}
	flag.IntVar(&b.principals, "principals", 10_000, "principals that one invocation rotates")
	flag.IntVar(&b.queued, "queued", 5_000, "messages that go through the queue")
	flag.IntVar(&b.factor, "factor", 1, "factor on all quotas, for a quick run")
	flag.DurationVar(&b.databricks, "databricks", 40*time.Millisecond, "latency of Databricks")
	flag.DurationVar(&b.aws, "aws", 15*time.Millisecond, "latency of AWS")
	flag.IntVar(&b.starts, "starts", 21, "starts of each function")
	flag.StringVar(&b.python, "python", "", "a Python that has boto3, to compare with")
	flag.StringVar(&b.profile, "profile", "", "file for a CPU profile of the sweep; what is measured then is the sweep alone")
	only := flag.String("only", "", "scenarios to run, of "+strings.Join(scenarioNames(), ", ")+"; all if empty")
	dir := flag.String("out", "", "directory for bench.json and bench.txt, none if empty")
	flag.Parse()
	if err := run(&b, *only, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// scenario is one kind of measurement.
type scenario struct {
	name string
	run  func(*bench, context.Context) error
}

var scenarios = []scenario{
	{"start", (*bench).start},
	{"calls", (*bench).calls},
	{"month", (*bench).month},
	{"queue", (*bench).queue},
	{"sweep", func(b *bench, ctx context.Context) error { return b.sweep(ctx, bounds[0]) }},
	{"creates", func(b *bench, ctx context.Context) error { return b.sweep(ctx, bounds[1]) }},
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

func run(b *bench, only, out string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if b.profile != "" {
		only = "sweep"
	}
	chosen := scenarios
	if only != "" {
		names := strings.Split(only, ",")
		for _, name := range names {
			if !slices.Contains(scenarioNames(), name) {
				return fmt.Errorf("there is no scenario %q", name)
			}
		}
		chosen = slices.DeleteFunc(slices.Clone(scenarios), func(s scenario) bool { return !slices.Contains(names, s.name) })
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b.binaries = dir
	b.say("building the functions")
	if err := stage.Build(ctx, dir); err != nil {
		return err
	}
	if b.profile != "" {
		if err := b.buildProfiled(ctx); err != nil {
			return err
		}
	}
	var faults []error
	for _, s := range chosen {
		began := time.Now()
		if err := s.run(b, ctx); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", s.name, err))
		}
		b.say("%s: %s", s.name, time.Since(began).Round(100*time.Millisecond))
	}
	if _, err := fmt.Printf("%s %s/%s, %d cores; latencies: Databricks %s, AWS %s; quotas times %d\n\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), b.databricks, b.aws, b.factor); err != nil {
		return err
	}
	faults = append(faults, b.sheet.Table(os.Stdout))
	if out != "" {
		faults = append(faults, write(filepath.Join(out, "bench.json"), b.sheet.JSON), write(filepath.Join(out, "bench.txt"), b.sheet.Benchmarks))
	}
	if missed := b.sheet.Missed(); len(missed) > 0 {
		faults = append(faults, fmt.Errorf("%d figures miss their targets", len(missed)))
	}
	return errors.Join(faults...)
}

func write(path string, content func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	f, err := os.Create(path) //nolint:gosec // the caller's own choice
	if err != nil {
		return err
	}
	return errors.Join(content(f), f.Close())
}
