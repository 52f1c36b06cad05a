// Package show is a day in the life of the product, played in half a minute:
// acts that a person can watch, and expectations that each of them is held to.
package show

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"databricks-credential-rotation/infra/sandbox/consumer"
	"databricks-credential-rotation/infra/sandbox/fleet"
	"databricks-credential-rotation/infra/sandbox/leak"
	"databricks-credential-rotation/infra/sandbox/ledger"
	"databricks-credential-rotation/infra/sandbox/stage"
	"databricks-credential-rotation/infra/sandbox/terminal"
	"databricks-credential-rotation/shared/policy"
)

const (
	interval = 720 * time.Hour
	lifetime = 2160 * time.Hour

	// readingTime is how long the readers may go on reading at the end.
	readingTime = 10 * time.Second

	// applicationRole is whom the readers call AWS as, operatorRole the person
	// who works with the system.
	applicationRole = "application"
	operatorRole    = "operator"
)

// Config sets a show up.
type Config struct {
	// Grace is the grace period that the rotate function is deployed with.
	Grace time.Duration
	// Pause is how long each reader rests between two authentications.
	Pause time.Duration
	// Latency is how long Databricks takes to list, create or delete an OAuth
	// secret.
	Latency time.Duration
	// Quick ends the show after the first sweep.
	Quick bool
	// Seed makes the ids and secret values of the simulated clouds.
	Seed uint64
}

// Show is a stage with a fleet on it, and the audience's screen.
type Show struct {
	config Config
	screen *terminal.Screen
	dir    string
	began  time.Time

	stage   *stage.Stage
	fleet   *fleet.Fleet
	readers *consumer.Group
	book    ledger.Book
	// orphan is the id of the OAuth secret that a killed run left.
	orphan string
	result Result
}

// Open builds the functions, starts the clouds and makes the fleet.
func Open(ctx context.Context, cfg Config, screen *terminal.Screen) (*Show, error) {
	dir, err := os.MkdirTemp("", "databricks-credential-rotation-")
	if err != nil {
		return nil, fmt.Errorf("a place for the functions: %w", err)
	}
	s := &Show{config: cfg, screen: screen, dir: dir}
	if err := s.open(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Show) open(ctx context.Context) error {
	s.screen.Heading("The stage")
	s.screen.Status("  compiling the functions …")
	begin := time.Now()
	if err := stage.Build(ctx, s.dir); err != nil {
		return err
	}
	s.screen.Clear()
	s.screen.Line("  %d functions compiled as for Lambda, in %v: %s",
		len(stage.Functions), time.Since(begin).Round(100*time.Millisecond), strings.Join(stage.Functions, ", "))

	s.began = time.Now()
	var err error
	s.stage, err = stage.Open(ctx, stage.Config{
		Binaries: s.dir, Seed: s.config.Seed,
		Policy: policy.Policy{Interval: interval, Grace: s.config.Grace, Lifetime: lifetime},
	})
	if err != nil {
		return err
	}
	s.screen.Line("  Databricks simulated: account at %s, workspaces %s at %s, %s at %s", s.stage.Databricks.AccountHost(),
		s.stage.Analytics.Name, s.stage.Analytics.Host(), s.stage.Production.Name, s.stage.Production.Host())
	s.screen.Line("  AWS emulated at %s", s.stage.Endpoint())
	if s.fleet, err = fleet.Seed(ctx, s.stage.Clouds); err != nil {
		return err
	}
	s.screen.Line("  policy and trail in s3://%s", stage.DataBucket)
	s.screen.Line("  rotation interval %d days, grace period %v; the rotator has no secret of its own, its AWS role is its identity",
		int(interval.Hours()/24), s.config.Grace)
	s.screen.Heading("The fleet: %d managed secrets with a past, and one that is not managed", len(s.fleet.Managed))
	s.tellFleet()
	s.readers = s.newReaders(ctx, s.config.Pause, s.config.Grace/2)
	s.book = ledger.Book{
		Databricks: s.stage.Databricks.Faults(), AWS: s.stage.AWS.Faults(),
		Role: s.stage.AWS.RoleARN(stage.RotateRole), Rotator: s.stage.Rotator.ApplicationID,
		Readers: s.readers.TokenRequests,
	}
	return nil
}

// maxShown is how many failures are shown one by one. If something is wrong,
// there are thousands, and the first ones say what.
const maxShown = 20

// newReaders are the applications of the fleet. What fails is shown at once.
func (s *Show) newReaders(ctx context.Context, pause, cache time.Duration) *consumer.Group {
	var shown atomic.Int64
	return consumer.New(ctx, consumer.Config{
		Store: s.stage.SecretsManager(applicationRole), Pause: pause, Cache: cache,
		OnFailure: func(f consumer.Failure) {
			text := "  FAILURE " + f.String()
			switch n := shown.Add(1); {
			case n == maxShown:
				text += "; further failures are only counted"
			case n > maxShown:
				return
			}
			s.screen.Line("%s", s.screen.Paint(terminal.Red, text))
		},
	})
}

// Play plays the acts. The error is of the stage; what the product got wrong
// is in the result.
func (s *Show) Play(ctx context.Context) (Result, error) {
	acts := []func(context.Context) error{s.playInterruption, s.playSweep, s.playPatience, s.playProtocol, s.playRetirement, s.playQuiet, s.playReconcile, s.playRepair, s.playAudit, s.playLeak}
	if s.config.Quick {
		acts = acts[:2]
	}
	for _, act := range acts {
		if err := act(ctx); err != nil {
			return s.result, err
		}
		if err := ctx.Err(); err != nil {
			return s.result, err
		}
	}
	s.awaitReads(ctx)
	s.readers.Stop()
	s.reckon()
	return s.result, nil
}

// awaitReads gives the readers of a slow machine, or of a quick show, the time
// to read often enough.
func (s *Show) awaitReads(ctx context.Context) {
	defer s.watch(func() string { return "reading on" })()
	for end := time.Now().Add(readingTime); time.Now().Before(end) && ctx.Err() == nil && s.readers.Count().Reads < minReads; {
		time.Sleep(s.config.Pause)
	}
}

// Close ends everything and removes the binaries.
func (s *Show) Close() {
	s.screen.Clear()
	if s.readers != nil {
		s.readers.Stop()
	}
	if s.stage != nil {
		s.stage.Close()
	}
	// What stays is in the temporary directory.
	_ = os.RemoveAll(s.dir)
}

// search looks for secrets in everything that was written so far.
func (s *Show) search(trail string) leak.Search {
	texts := map[string]string{
		"the trail in S3":                  trail,
		"the sandbox's own output":         s.screen.Transcript(),
		"the errors of failed invocations": strings.Join(s.stage.Failures(), "\n"),
	}
	for function, text := range s.stage.Logs.Texts() {
		texts["the log of "+function] = text
	}
	return leak.Look(s.stage.Secrets(), texts)
}

// watch keeps a line up to date until the returned function is called.
func (s *Show) watch(activity func() string) (stop func()) {
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			c := s.readers.Count()
			s.screen.Status("  %s · readers: %s", activity(), describe(c))
			select {
			case <-tick.C:
			case <-done:
				s.screen.Clear()
				return
			}
		}
	}()
	return func() {
		close(done)
		<-over
	}
}

func describe(c consumer.Count) string {
	return fmt.Sprintf("%d reads, %d authentications, %d failures", c.Reads, c.Authentications, c.Failures)
}
