package rotation

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"databricks-credential-rotation/shared/managedsecret"
)

// Status sums an outcome up in a word.
type Status string

// Statuses, from nothing to trouble.
const (
	Unchanged Status = "unchanged"
	Retired   Status = "retired"
	Issued    Status = "issued"
	Rotated   Status = "rotated"
	Overtaken Status = "overtaken"
	Blocked   Status = "blocked"
	Failed    Status = "failed"
)

// Outcome is what became of one managed secret in a run.
type Outcome struct {
	// Secret is the managed secret's name.
	Secret string `json:"secret"`
	// ClientID is the service principal's application id, empty if the value
	// could not be read.
	ClientID string `json:"client_id,omitempty"`
	// Reason says why a credential was issued, or was to be.
	Reason Reason `json:"reason,omitempty"`
	// Issued is the new OAuth secret's id and Version the version that holds
	// it.
	Issued  string `json:"oauth_secret_id,omitempty"`
	Version string `json:"version_id,omitempty"`
	// Retired are the OAuth secrets that were deleted.
	Retired []string `json:"retired,omitempty"`
	// Cleared is a pending version that was given up.
	Cleared string `json:"cleared_version_id,omitempty"`
	// Foreign are the principal's OAuth secrets that are somebody else's. They
	// are known only of secrets that were looked at.
	Foreign []string `json:"foreign,omitempty"`
	// Withheld are OAuth secrets that should go, over the run's budget.
	Withheld []string `json:"withheld,omitempty"`
	// Unseen are predecessors past their grace that may still be in use: they
	// are kept for longer, if the policy says so, or ended.
	Unseen []Unseen `json:"may_be_in_use,omitempty"`
	// IssuedAt and ExpiresAt are those of the credential that is current after
	// the run, zero if they are not known.
	IssuedAt  time.Time `json:"issued_at,omitzero"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// Overtaken tells that another run was first.
	Overtaken bool `json:"overtaken,omitempty"`
	// Planned tells that this was a dry run: nothing of it was done.
	Planned bool `json:"dry_run,omitempty"`
	// Block is why what should be done cannot be.
	Block *Block `json:"block,omitempty"`
	Err   error  `json:"-"`

	// dead tells that the current credential did not authenticate, though
	// nobody has revoked it.
	dead bool
	// live counts the principal's OAuth secrets, zero if they were not asked
	// for.
	live int
	// postponed counts the removals for which the secret's plan waits.
	postponed int
	// asks are the questions to the usage log for which it waits.
	asks []Question
}

// MarshalJSON adds the status, and the error as text.
func (o Outcome) MarshalJSON() ([]byte, error) {
	type plain Outcome
	out := struct {
		Status Status `json:"status"`
		plain
		Error string `json:"error,omitempty"`
	}{Status: o.Status(), plain: plain(o)}
	if err := o.fault(); err != nil {
		out.Error = err.Error()
	}
	return json.Marshal(out)
}

func newOutcome(s managedsecret.Secret, current Version) Outcome {
	return Outcome{Secret: s.Name, ClientID: current.Credential.ClientID}
}

// fail takes down what went wrong, or what stands in the way.
func (o Outcome) fail(err error) Outcome {
	o.Err = err
	if blocked := (*blockedError)(nil); errors.As(err, &blocked) {
		o.Block = &Block{blocked.Kind, err.Error()} // with what became of the new credential
	}
	return o
}

// fault is what went wrong besides what the block tells.
func (o Outcome) fault() error {
	if errors.As(o.Err, new(*blockedError)) {
		return nil
	}
	return o.Err
}

func (o Outcome) planned(p Plan) Outcome {
	o.Planned = true
	o.Cleared = p.Clear
	o.Retired = idsOf(p.Retire)
	if p.Issue != nil {
		o.Reason = p.Issue.Reason
	}
	return o
}

// Status is the most telling thing about the outcome.
func (o Outcome) Status() Status {
	switch {
	case o.Block != nil:
		return Blocked
	case o.Err != nil:
		return Failed
	case o.Reason == Fresh && !o.Overtaken:
		return Issued
	case o.Reason != "" && !o.Overtaken:
		return Rotated
	case o.Overtaken:
		return Overtaken
	case len(o.Retired) > 0 || o.Cleared != "":
		return Retired
	default:
		return Unchanged
	}
}

// trouble is what the person on call has to know, empty if there is nothing.
func (o Outcome) trouble() string {
	var parts []string
	if o.Block != nil {
		parts = append(parts, fmt.Sprintf("%s: %s", o.Block.Kind, o.Block.Message))
	}
	if err := o.fault(); err != nil {
		parts = append(parts, err.Error())
	}
	return strings.Join(parts, "; and ")
}

// problem is the line for the person on call, empty if there is none.
func (o Outcome) problem() string {
	if trouble := o.trouble(); trouble != "" {
		return o.Secret + ": " + trouble
	}
	return ""
}

// Report is the result of a run over any number of secrets.
type Report struct {
	// Door is the way the run came in.
	Door string `json:"door"`
	// Secrets counts the managed secrets that were looked at.
	Secrets int `json:"secrets"`
	// Counts are by status.
	Counts map[Status]int `json:"counts"`
	// Unread counts those among them whose values were not read, because the
	// listing shows that they need nothing.
	Unread int `json:"unread,omitempty"`
	// Queued counts the secrets that were handed to other invocations, because
	// they are many or the run's time was over.
	Queued int `json:"queued,omitempty"`
	// Left are the secrets that were not looked at because the run's time was
	// over.
	Left []string `json:"left,omitempty"`
	// Oldest is when the oldest current credential was issued, FirstExpiry when
	// the first of them expires; zero if there is none whose times are known,
	// and if any was not read.
	Oldest      time.Time `json:"oldest_issued_at,omitzero"`
	FirstExpiry time.Time `json:"first_expiry,omitzero"`
	// OverBudget says what the run did not remove, and why, empty if nothing.
	OverBudget string `json:"over_budget,omitempty"`
	// DryRun tells that nothing of it was done.
	DryRun bool `json:"dry_run,omitempty"`
	// Outcomes are those that are not unchanged.
	Outcomes []Outcome `json:"outcomes,omitempty"`
}

func newReport(r *run) *Report {
	return &Report{Door: r.door, DryRun: r.dry, Counts: map[Status]int{}}
}

func (r *Report) add(o Outcome) {
	r.Secrets++
	r.Counts[o.Status()]++
	if o.Status() != Unchanged || len(o.Foreign) > 0 || len(o.Withheld) > 0 || len(o.Unseen) > 0 {
		r.Outcomes = append(r.Outcomes, o)
	}
	r.Oldest = earlier(r.Oldest, o.IssuedAt)
	r.FirstExpiry = earlier(r.FirstExpiry, o.ExpiresAt)
}

// earlier is the earlier of two times of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// maxProblems is how many problems an error spells out. The log has them all;
// an error's text must stay readable in an alarm.
const maxProblems = 20

// Err is nil if every secret is as it should be. Otherwise it names those that
// are not, the first of them if there are many, so that the invocation fails and
// the alarm has something to say.
func (r *Report) Err() error {
	var problems []string
	for _, o := range r.Outcomes {
		if p := o.problem(); p != "" {
			problems = append(problems, p)
		}
	}
	if n := len(r.Left); n > 0 {
		problems = append(problems, fmt.Sprintf("%d secrets were left for the next run, for time was over: %s", n, abridge(r.Left)))
	}
	if r.OverBudget != "" {
		problems = slices.Insert(problems, 0, r.OverBudget)
	}
	if len(problems) == 0 {
		return nil
	}
	shown := problems
	rest := ""
	if len(shown) > maxProblems {
		shown = shown[:maxProblems]
		rest = fmt.Sprintf("\n… and %d more, in the log", len(problems)-maxProblems)
	}
	good := r.Secrets - r.Counts[Blocked] - r.Counts[Failed]
	return fmt.Errorf("%d of %d managed secrets need attention, %d are as they should be:\n%s%s",
		r.Secrets-good+len(r.Left), r.Secrets+len(r.Left), good, strings.Join(shown, "\n"), rest)
}

// abridge lists names for an error.
func abridge(names []string) string {
	if len(names) > maxProblems {
		return fmt.Sprintf("%s, … and %d more", strings.Join(names[:maxProblems], ", "), len(names)-maxProblems)
	}
	return strings.Join(names, ", ")
}
