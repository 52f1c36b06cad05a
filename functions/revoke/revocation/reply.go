package revocation

import (
	"fmt"
	"strings"
	"time"
)

// Reply is what became of a revocation.
type Reply struct {
	Mode        Mode   `json:"mode"`
	Selector    string `json:"selector"`
	Reason      string `json:"reason"`
	RequestedBy string `json:"requested_by,omitempty"`
	DryRun      bool   `json:"dry_run"`
	// Complete tells that everything was done. It is false for a dry run.
	Complete   bool      `json:"complete"`
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at"`
	// Principal is whose credentials they are; Secrets names the managed
	// secrets.
	Principal *Principal `json:"principal,omitempty"`
	Secrets   []string   `json:"secrets,omitempty"`
	// LookedIn tells how much was searched for what the request names.
	LookedIn *LookedIn `json:"looked_in,omitempty"`
	// Before is what was live at first.
	Before []Credential `json:"before"`
	// Steps is what was done, or in a dry run what would be.
	Steps []Step `json:"steps"`
	// Proofs are attempts to use what was revoked.
	Proofs []Proof `json:"proofs,omitempty"`
	// Alive is what still works, and until when.
	Alive []Alive `json:"still_alive"`
	// Failures is what could not be done. The same request continues.
	Failures []string `json:"failures,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	// Next is what the operator does now.
	Next []string `json:"next"`
}

// Principal is a service principal, or the person whose tokens they are.
type Principal struct {
	ClientID string `json:"client_id,omitempty"`
	ID       string `json:"id,omitempty"`
	Name     string `json:"name,omitempty"`
	Host     string `json:"host"`
}

// LookedIn counts what was searched.
type LookedIn struct {
	Secrets  int `json:"secrets"`
	Versions int `json:"versions"`
}

// Credential is an OAuth secret or a personal access token, by its id.
type Credential struct {
	Kind      string     `json:"kind"`
	ID        string     `json:"id"`
	Secret    string     `json:"secret,omitempty"`
	CreatedAt *time.Time `json:"created_at,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	// Leaked tells that the request names it.
	Leaked bool `json:"leaked,omitempty"`
}

func (c Credential) String() string {
	s := c.Kind + " " + c.ID
	if c.Secret != "" {
		s += " of " + c.Secret
	}
	if c.Leaked {
		s += ", the one named"
	}
	switch {
	case c.ExpiresAt != nil:
		s += ", expires " + stamp(*c.ExpiresAt)
	default:
		s += ", does not expire"
	}
	return s
}

// Step is one change.
type Step struct {
	// Action is what is done: switch off, hold, replace, delete, delete token,
	// release, switch on.
	Action Action `json:"action"`
	// What it is done to.
	What string `json:"what"`
	Why  string `json:"why,omitempty"`
	// Outcome is planned, done, failed or skipped.
	Outcome Outcome    `json:"outcome"`
	At      *time.Time `json:"at,omitempty"`
	Error   string     `json:"error,omitempty"`
	// Result is what came of it, such as the new OAuth secret's id.
	Result string `json:"result,omitempty"`
}

// Action is a kind of step.
type Action string

// Actions of a revocation.
const (
	SwitchOff   Action = "switch off"
	SwitchOn    Action = "switch on"
	Hold        Action = "hold"
	Unhold      Action = "release"
	Issue       Action = "replace"
	Delete      Action = "delete"
	DeleteToken Action = "delete token"
)

// Outcome is what became of a step.
type Outcome string

// Outcomes of a step.
const (
	Planned Outcome = "planned"
	Done    Outcome = "done"
	Failed  Outcome = "failed"
	Skipped Outcome = "skipped"
)

// Proof is an attempt to authenticate with what was revoked.
type Proof struct {
	What    string    `json:"what"`
	Refused bool      `json:"refused"`
	At      time.Time `json:"at"`
	Error   string    `json:"error,omitempty"`
}

// Alive is something that still works.
type Alive struct {
	What string `json:"what"`
	// Until is when it ends by itself, nil for never.
	Until *time.Time `json:"until,omitempty"`
	Why   string     `json:"why"`
}

// finish fills in what follows from the rest.
func (r *Reply) finish(now time.Time) {
	r.FinishedAt = now
	r.Complete = len(r.Failures) == 0 && !r.DryRun
	if r.Before == nil {
		r.Before = []Credential{}
	}
	if r.Steps == nil {
		r.Steps = []Step{}
	}
	if r.Alive == nil {
		r.Alive = []Alive{}
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }

func (r *Reply) verdict() string {
	switch {
	case r.DryRun:
		return "dry run"
	case !r.Complete:
		return "NOT COMPLETE"
	case len(r.Steps) == 0:
		return "nothing to do"
	default:
		return "complete"
	}
}

// subject fits a message's subject: printable ASCII, at most 100 bytes.
func (r *Reply) subject() string {
	s := strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, fmt.Sprintf("Databricks credentials: %s %s: %s", r.Mode, r.verdict(), r.about()))
	if len(s) > 100 {
		s = s[:97] + "..."
	}
	return s
}

func (r *Reply) about() string {
	switch {
	case len(r.Secrets) > 0:
		return strings.Join(r.Secrets, ", ")
	case r.Principal != nil:
		return r.Principal.label()
	default:
		return r.Selector
	}
}

func (p *Principal) label() string {
	switch {
	case p.Name != "" && p.ClientID != "":
		return p.Name + " (" + p.ClientID + ")"
	case p.ClientID != "":
		return p.ClientID
	default:
		return p.Name
	}
}

// Text is the reply for a reader.
func (r *Reply) Text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	section := func(title string, lines []string) {
		if len(lines) == 0 {
			return
		}
		line("\n%s:", title)
		for _, l := range lines {
			line("- %s", l)
		}
	}
	line("%s of %s: %s", r.Mode, r.about(), r.verdict())
	if r.Principal != nil {
		line("whose: %s at %s", r.Principal.label(), r.Principal.Host)
	}
	line("asked for by %s: %s", r.Selector, r.Reason)
	if r.RequestedBy != "" {
		line("requested by: %s", r.RequestedBy)
	}
	line("began: %s UTC, and took %.2f s", r.StartedAt.UTC().Format("2006-01-02 15:04:05.000"), r.FinishedAt.Sub(r.StartedAt).Seconds())
	section("Failed", r.Failures)
	var before, steps, proofs, alive []string
	for _, c := range r.Before {
		before = append(before, c.String())
	}
	for _, s := range r.Steps {
		steps = append(steps, s.String())
	}
	for _, p := range r.Proofs {
		proofs = append(proofs, p.String())
	}
	for _, a := range r.Alive {
		alive = append(alive, a.String())
	}
	if len(before) == 0 {
		before = []string{"nothing"}
	}
	section("Live before", before)
	title := "Done"
	if r.DryRun {
		title = "Would be done"
	}
	section(title, steps)
	section("Tried afterwards", proofs)
	if len(alive) == 0 && !r.DryRun {
		alive = []string{"nothing that this revocation is about"}
	}
	section("Still alive", alive)
	section("Note", r.Warnings)
	section("Next", r.Next)
	return b.String()
}

func (s Step) String() string {
	text := fmt.Sprintf("%s %s", s.Action, s.What)
	if s.At != nil {
		text = clock(*s.At) + " " + text
	}
	if s.Outcome != Done && s.Outcome != Planned {
		text += ": " + strings.ToUpper(string(s.Outcome))
	}
	if s.Why != "" {
		text += " (" + s.Why + ")"
	}
	if s.Result != "" {
		text += ": " + s.Result
	}
	if s.Error != "" {
		text += ": " + s.Error
	}
	return text
}

func (p Proof) String() string {
	switch {
	case p.Refused:
		return clock(p.At) + " " + p.What + " is refused"
	case p.Error != "":
		return clock(p.At) + " " + p.What + " could not be tried: " + p.Error
	default:
		return clock(p.At) + " " + p.What + " IS STILL ACCEPTED"
	}
}

func (a Alive) String() string {
	until := "until somebody ends it"
	if a.Until != nil {
		until = "until " + stamp(*a.Until)
	}
	return fmt.Sprintf("%s, %s: %s", a.What, until, a.Why)
}
