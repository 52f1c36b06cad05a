package show

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"databricks-credential-rotation/functions/audit/auditing"
	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/prune"
	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/infra/sandbox/leak"
	"databricks-credential-rotation/infra/sandbox/planted"
	"databricks-credential-rotation/infra/sandbox/stage"
	"databricks-credential-rotation/infra/sandbox/terminal"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/policy"
)

const (
	// notice is the notice period of the audited company, to be waited for.
	notice = time.Second
	// shownFindings is how many findings are shown one by one.
	shownFindings = 6
	week          = 7 * 24 * time.Hour
)

// company is the audited estate on a stage of its own: the fleet's imperfections
// are another story.
type company struct {
	*stage.Stage
	estate *planted.Estate
}

// playAudit shows an audit of an estate with planted faults, and what is done
// about them.
func (s *Show) playAudit(ctx context.Context) error {
	defer s.watch(func() string { return "auditing" })()
	s.screen.Heading("Another account is audited: 40 service principals, 3 workspaces, 400 tokens")
	second, err := stage.Open(ctx, stage.Config{Binaries: s.dir, Seed: s.config.Seed + 1, Policy: policy.Default()})
	if err != nil {
		return err
	}
	defer second.Close()
	c := &company{Stage: second}
	if err := c.plant(ctx); err != nil {
		return err
	}
	for _, act := range []func(context.Context, *company) error{s.auditFirst, s.auditAgain, s.auditGreedily, s.auditMended} {
		if err := act(ctx, c); err != nil {
			return err
		}
	}
	return s.searchAudits(c)
}

func (c *company) plant(ctx context.Context) error {
	c.Databricks.StatementPolls(0)
	research := c.Databricks.AddWorkspace("research") //nolint:contextcheck // the simulator listens until it is closed
	c.Databricks.Assign(c.Rotator.ID, research, true)
	var err error
	c.estate, err = planted.Plant(planted.Clouds{ //nolint:contextcheck // what it calls is in this process
		Databricks: c.Databricks, AWS: c.AWS, Secrets: c.SecretsManager(operatorRole), Rotator: c.Rotator, Now: c.Clock.Now,
		Workspaces: []*databrickstest.Workspace{c.Analytics, c.Production, research},
	})
	if err != nil {
		return err
	}
	if err := c.estate.Enforce(notice); err != nil {
		return err
	}
	return c.PutPolicy(ctx, c.estate.Policy)
}

// audit has the function audit, and returns its answer and the report that it
// stored.
func (c *company) audit(ctx context.Context) (auditing.Answer, *report.Report, error) {
	var answer auditing.Answer
	reply, err := c.Invoke(ctx, "audit", []byte(`{"action":"audit","asked_by":"sandbox"}`))
	if err != nil {
		return answer, nil, fmt.Errorf("the audit failed: %w", err)
	}
	if err := json.Unmarshal(reply, &answer); err != nil {
		return answer, nil, fmt.Errorf("the answer to an audit: %w", err)
	}
	objects, err := c.AWS.Objects(stage.DataBucket)
	if err != nil {
		return answer, nil, err
	}
	key := strings.TrimPrefix(answer.Report, "s3://"+stage.DataBucket+"/")
	for name, body := range objects {
		if strings.HasPrefix(name, key[:strings.LastIndex(key, "/")+1]) && strings.HasSuffix(name, "report.json") {
			r, err := report.Decode(body)
			return answer, r, err
		}
	}
	return answer, nil, fmt.Errorf("there is no report at %s", answer.Report)
}

// auditFirst finds what is wrong, and gives notice.
func (s *Show) auditFirst(ctx context.Context, c *company) error {
	begin := time.Now()
	answer, r, err := c.audit(ctx)
	if err != nil {
		return err
	}
	s.screen.Line("  %d credentials looked at in %v, %s", answer.Credentials, time.Since(begin).Round(10*time.Millisecond), counted(answer.Open))
	rows := make([][]terminal.Cell, 0, shownFindings)
	shown := map[string]bool{}
	for _, f := range r.Findings {
		if len(rows) == shownFindings {
			break
		}
		if !shown[f.Rule] {
			shown[f.Rule] = true
			rows = append(rows, []terminal.Cell{{Text: f.Severity.String(), Style: paint(f.Severity)}, {Text: f.Rule}, {Text: f.Title}})
		}
	}
	s.screen.Table([]string{"severity", "rule", "finding"}, rows)
	for _, m := range c.AWS.Published(c.Topic) {
		s.screen.Line("  mail: %s", m.Subject)
	}
	missing, more := compareFaults(c.estate.Faults, r)
	s.expect(fmt.Sprintf("every one of %d planted faults is found, and nothing else: recall %.3f, precision %.3f", len(c.estate.Faults),
		share(len(c.estate.Faults)-len(missing), len(c.estate.Faults)), share(len(r.Findings)-len(more), len(r.Findings))), faultsErr(missing, more))
	s.expect("prune gives notice first, and changes nothing", func() error {
		if answer.Prune.Notice == 0 || answer.Prune.Due != 0 || len(answer.Prune.Results) > 0 {
			return fmt.Errorf("it says %+v", answer.Prune)
		}
		return nil
	}())
	return nil
}

// auditAgain removes and narrows what notice was given of, but for a token that
// was used since.
func (s *Show) auditAgain(ctx context.Context, c *company) error {
	expected := map[string]bool{}
	used := ""
	for _, id := range c.estate.Stale {
		if _, ok := c.Databricks.Token(id); ok {
			if used == "" {
				used = id
				continue
			}
			expected[id] = true
		}
	}
	c.Databricks.UseToken(used, c.Clock.Now(), "sql")
	time.Sleep(notice)
	answer, r, err := c.audit(ctx)
	if err != nil {
		return err
	}
	s.screen.Line("  the notice is over; in the meantime one of the tokens was used. %d removed, %d narrowed to what they use",
		answer.Prune.Results[prune.Removed], answer.Prune.Results[prune.Narrowed])
	s.expect("the next audit removes exactly those, and not the one that was used", func() error {
		removed := pruned(r, prune.Removed)
		if want := slices.Sorted(maps.Keys(expected)); !slices.Equal(want, removed) {
			return fmt.Errorf("removed are %v, want %v", removed, want)
		}
		for id := range expected {
			if _, ok := c.Databricks.Token(id); ok {
				return fmt.Errorf("token %s is still there", id)
			}
		}
		if _, ok := c.Databricks.Token(used); !ok {
			return errors.New("the one that was used is gone")
		}
		return nil
	}())
	s.expect("an unrestricted token is narrowed to the scopes that it uses; one still watched is left alone", func() error {
		for id, want := range c.estate.Wide {
			token, ok := c.Databricks.Token(id)
			if scopes := slices.Sorted(slices.Values(token.Scopes)); !ok || !slices.Equal(scopes, want) {
				return fmt.Errorf("token %s has %v, want %v", id, scopes, want)
			}
		}
		if token, ok := c.Databricks.Token(c.estate.Watched); !ok || len(token.Scopes) > 0 {
			return errors.New("the watched one has changed")
		}
		return nil
	}())
	return nil
}

// auditGreedily has a policy that would remove most of the estate.
func (s *Show) auditGreedily(ctx context.Context, c *company) error {
	document, err := c.estate.Greedy(notice)
	if err != nil {
		return err
	}
	if err := c.PutPolicy(ctx, document); err != nil {
		return err
	}
	if _, _, err := c.audit(ctx); err != nil {
		return err
	}
	time.Sleep(notice)
	answer, r, err := c.audit(ctx)
	if err != nil {
		return err
	}
	s.screen.Line("  somebody writes a policy that removes whatever was not used yesterday:")
	s.screen.Line("  %s", answer.Prune.Stopped)
	s.expect("the budget stops it: nothing is removed", func() error {
		switch {
		case answer.Prune.Stopped == "":
			return errors.New("it was not stopped")
		case len(pruned(r, prune.Removed)) > 0:
			return fmt.Errorf("removed are %v", pruned(r, prune.Removed))
		}
		return nil
	}())
	return c.PutPolicy(ctx, c.estate.Policy)
}

// auditMended audits after people have mended everything and a week has
// passed.
func (s *Show) auditMended(ctx context.Context, c *company) error {
	c.estate.Age(week + 24*time.Hour)
	if err := c.estate.Fix(); err != nil {
		return err
	}
	if err := c.PutPolicy(ctx, c.estate.Policy); err != nil {
		return err
	}
	answer, r, err := c.audit(ctx)
	if err != nil {
		return err
	}
	s.screen.Line("  a week later people have mended everything: %s, %d resolved", counted(answer.Open), answer.Resolved)
	s.expect("all findings are resolved, none has come back, and the trend has a point for each audit", func() error {
		switch {
		case answer.Open.Total() > 0:
			return fmt.Errorf("still open: %s %s", r.Findings[0].Rule, r.Findings[0].Subject.ID)
		case r.WithStatus(report.Reopened) > 0:
			return errors.New("some were opened again")
		case len(r.Trend) < 5:
			return fmt.Errorf("the trend has %d points", len(r.Trend))
		}
		return nil
	}())
	return nil
}

// searchAudits looks for secrets in all that the audits wrote.
func (s *Show) searchAudits(c *company) error {
	objects, err := c.AWS.Objects(stage.DataBucket)
	if err != nil {
		return err
	}
	texts := map[string]string{"the errors of failed audits": strings.Join(c.Failures(), "\n")}
	for function, text := range c.Logs.Texts() {
		texts["the log of "+function] = text
	}
	for key, body := range objects {
		texts["s3://"+stage.DataBucket+"/"+key] = string(body)
	}
	for i, m := range c.AWS.Published(c.Topic) {
		texts[fmt.Sprintf("message %d", i+1)] = m.Subject + "\n" + m.Body
	}
	search := leak.Look(c.Secrets(), texts)
	s.screen.Line("  %d secret values, tokens among them; searched %d KB of reports, messages, trail and logs", search.Values, (search.Bytes+1023)/1024)
	s.expect("none of them is in there", judgeLeak(search))
	s.expect("the audits asked neither simulator for anything that it does not know", func() error {
		if unknown := c.Unknown(); len(unknown) > 0 {
			return fmt.Errorf("asked for %v", unknown)
		}
		return nil
	}())
	return nil
}

func pruned(r *report.Report, result prune.Result) []string {
	var ids []string
	for _, a := range r.Prune.Actions() {
		if a.Result == result {
			ids = append(ids, a.Subject.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// compareFaults returns the faults that were not found, and the findings that
// are no faults.
func compareFaults(faults []planted.Fault, r *report.Report) (missing, more []string) {
	want := map[string]bool{}
	for _, f := range faults {
		want[f.String()] = true
	}
	for _, f := range r.Findings {
		id := f.Rule + " " + f.Subject.ID
		if !want[id] {
			more = append(more, id)
		}
		delete(want, id)
	}
	return slices.Sorted(maps.Keys(want)), more
}

func faultsErr(missing, more []string) error {
	if len(missing)+len(more) == 0 {
		return nil
	}
	return fmt.Errorf("not found: %v; found, and not planted: %v", missing, more)
}

func share(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

func counted(c report.Counts) string {
	return fmt.Sprintf("%d findings: %d critical, %d high, %d medium, %d low", c.Total(), c.Critical, c.High, c.Medium, c.Low)
}

func paint(s finding.Severity) terminal.Style {
	if s >= finding.High {
		return terminal.Red
	}
	return terminal.Dim
}
