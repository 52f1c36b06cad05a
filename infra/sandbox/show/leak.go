package show

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"databricks-credential-rotation/functions/revoke/revocation"
	"databricks-credential-rotation/infra/sandbox/drill"
	"databricks-credential-rotation/infra/sandbox/leak"
	"databricks-credential-rotation/infra/sandbox/stage"
	"databricks-credential-rotation/infra/sandbox/terminal"
)

// playLeak rehearses a leak in each mode, on a stage of its own.
func (s *Show) playLeak(ctx context.Context) error {
	defer s.watch(func() string { return "a thief at work" })()
	s.screen.Heading("Three credentials leak, in another account")
	d, err := drill.Open(ctx, s.dir, s.config.Seed+2)
	if err != nil {
		return err
	}
	defer d.Close()
	s.screen.Line("  A thief uses each without pause, and so do four applications. The revoke function is told the hash of what leaked.")
	var rows [][]terminal.Cell
	var results []*drill.Result
	for _, mode := range []revocation.Mode{revocation.Replace, revocation.Revoke, revocation.Lockout} {
		r, err := d.Play(ctx, mode)
		if err != nil {
			return err
		}
		results = append(results, r)
		then := "work on"
		if mode != revocation.Replace {
			then = "stand still, sweeps included, until the release"
		}
		rows = append(rows, []terminal.Cell{
			{Text: string(mode)}, {Text: r.Secret}, {Text: milliseconds(r.Refused)}, {Text: milliseconds(r.Call)}, {Text: then, Style: terminal.Dim},
		})
	}
	s.screen.Table([]string{"mode", "secret", "thief refused after", "call took", "applications"}, rows)
	s.screen.Line("  What the team is told of the first:")
	for line := range strings.Lines(results[0].Reply.Text()) {
		s.screen.Line("    %s", s.screen.Paint(terminal.Dim, strings.TrimRight(line, "\n")))
	}
	s.expect(fmt.Sprintf("the thief is refused within %v of the call, and for good", drill.Limit), judgeDrills(results, d))
	s.expect("of a replacement, no application notices more than one refusal", func() error {
		if n := results[0].Refusals; n > 1 {
			return fmt.Errorf("one met %d", n)
		}
		return nil
	}())
	return s.searchDrill(d)
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

func judgeDrills(results []*drill.Result, d *drill.Drill) error {
	var faults []error
	for _, r := range results {
		for _, problem := range r.Problems {
			faults = append(faults, fmt.Errorf("%s: %w", r.Mode, problem))
		}
		if !r.Recovered {
			faults = append(faults, fmt.Errorf("%s: the applications have not recovered", r.Mode))
		}
	}
	return errors.Join(append(faults, d.Unknown())...)
}

// searchDrill looks for what leaked, and all other secrets, in what was
// written about it.
func (s *Show) searchDrill(d *drill.Drill) error {
	entries, err := d.Stage.Trail()
	if err != nil {
		return err
	}
	texts := map[string]string{"the errors of failed invocations": strings.Join(d.Stage.Failures(), "\n")}
	for function, text := range d.Stage.Logs.Texts() {
		texts["the log of "+function] = text
	}
	for key, body := range entries {
		texts["s3://"+stage.DataBucket+"/"+key] = body
	}
	for i, m := range d.Stage.AWS.Published(d.Stage.Topic) {
		texts[fmt.Sprintf("message %d", i+1)] = m.Subject + "\n" + m.Body
	}
	search := leak.Look(d.Stage.Secrets(), texts)
	s.expect("no secret value is in the drills' messages, trail, logs or errors", judgeLeak(search))
	return nil
}
