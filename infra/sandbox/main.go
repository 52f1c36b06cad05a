// Command sandbox plays a day in the life of the product on one machine, with
// both clouds simulated and the functions compiled as for Lambda. It needs Go
// and nothing else. Its exit code is 0 only if everything held.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"databricks-credential-rotation/infra/sandbox/show"
	"databricks-credential-rotation/infra/sandbox/terminal"
)

func main() {
	var (
		serve   = flag.Bool("serve", false, "stay up after the show, for your own clients, until interrupted")
		quick   = flag.Bool("quick", false, "end the show after the first sweep")
		service = show.Service{Interval: 3 * time.Minute, Grace: 30 * time.Second}
	)
	flag.DurationVar(&service.Interval, "interval", service.Interval, "with -serve: age at which a credential is rotated")
	flag.DurationVar(&service.Grace, "grace", service.Grace, "with -serve: how long a predecessor stays valid")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	screen := terminal.New(os.Stdout, terminal.Detect(os.Stdout, os.Getenv))
	if err := run(ctx, screen, *quick, *serve, service); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted: nothing is known of what was not shown")
		}
		screen.Line("%s", screen.Paint(terminal.Red, err.Error()))
		os.Exit(1) //nolint:gocritic // the signal handler ends with the process
	}
}

func run(ctx context.Context, screen *terminal.Screen, quick, serve bool, service show.Service) error {
	s, err := show.Open(ctx, show.Config{
		Grace: 6 * time.Second, Pause: 10 * time.Millisecond, Latency: 200 * time.Millisecond, Quick: quick,
	}, screen)
	if err != nil {
		return err
	}
	defer s.Close()
	result, err := s.Play(ctx)
	if err != nil {
		return err
	}
	if failed := result.Failed(); len(failed) > 0 {
		return fmt.Errorf("%d of %d expectations do not hold", len(failed), len(result.Expectations))
	}
	screen.Line("\n%s", screen.Paint(terminal.Green, fmt.Sprintf("All %d expectations hold.", len(result.Expectations))))
	if !serve {
		return nil
	}
	if err := s.Serve(ctx, service); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
