// Package command is the bootstrap's command line: flags, questions, what is
// printed, and exit codes.
package command

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"databricks-credential-rotation/infra/bootstrap/console"
	"databricks-credential-rotation/infra/bootstrap/login"
	"databricks-credential-rotation/infra/bootstrap/setup"
	"databricks-credential-rotation/infra/bootstrap/trial"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/rotator"
)

// Exit codes.
const (
	Done = iota
	// Failed: a call failed, or something was not as it should be; the message
	// says what was done until then.
	Failed
	// Usage: what was asked for makes no sense. Nothing was done.
	Usage
	// Incomplete: something is missing, and nothing was changed.
	Incomplete
	// NoRight: whoever is logged in lacks a right, which the message names.
	NoRight
)

// Command is the bootstrap with its surroundings.
type Command struct {
	In       io.Reader
	Out, Err io.Writer
	// Login is where the login is looked for beyond the flags.
	Login login.Options
	// STS makes the client for a trial, by the AWS credentials at hand.
	STS func(context.Context) (rotator.STS, error)
	// Wait pauses, nil for as long as it says.
	Wait func(context.Context, time.Duration) error
}

type options struct {
	login      login.Options
	wanted     setup.Wanted
	check, yes bool
	try        bool
}

const usage = `Creates the rotator's service principal in Databricks, its federation policies
and its roles, or checks them. It shows what is missing and asks before it
changes anything; it may be repeated. It makes no secret.

  go run ./infra/bootstrap -account-admin
  go run ./infra/bootstrap -workspace analytics -manage <application id> -check

You are who the Databricks SDK finds: the environment, a profile of
~/.databrickscfg, or databricks auth login.

Exit codes: 0 all is in place; 1 failed; 2 the flags make no sense; 3 something
is missing and nothing was changed; 4 you lack a right, which is named. (go run
itself exits with 1 whatever the program's code.)

`

// list collects a flag that may be given more than once.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func (c *Command) parse(args []string) (options, error) {
	o := options{login: c.Login}
	f := flag.NewFlagSet("bootstrap", flag.ContinueOnError)
	f.SetOutput(c.Err)
	f.Usage = func() {
		_, _ = io.WriteString(c.Err, usage)
		f.PrintDefaults()
	}
	f.StringVar(&o.login.Host, "host", o.login.Host, "`URL` of the account's console or of a workspace (default: what the SDK finds)")
	f.StringVar(&o.login.AccountID, "account-id", o.login.AccountID, "Databricks account `id` (default: what the SDK finds or the host says)")
	f.StringVar(&o.login.Profile, "profile", o.login.Profile, "`name` of a profile in ~/.databrickscfg")
	f.StringVar(&o.wanted.Name, "name", setup.DefaultName, "display `name` of the rotator's service principal")
	f.StringVar(&o.wanted.ClientID, "client-id", "", "application `id` of a service principal that is there, to use that one")
	f.BoolVar(&o.wanted.AccountAdmin, "account-admin", false, "principals are managed at the account's host: make the rotator an account admin")
	f.Var((*list)(&o.wanted.Workspaces), "workspace", "principals are managed at this workspace's host: make the rotator an admin there; `id`, name or URL; may be repeated")
	f.Var((*list)(&o.wanted.Managed), "manage", "with -workspace: application `id` of a principal that the rotator manages there; may be repeated")
	f.StringVar(&o.wanted.Issuer, "issuer", "", "`URL` of the AWS account's issuer of web identity tokens")
	f.Var((*list)(&o.wanted.Subjects), "subject", "`ARN` of a function's role; may be repeated")
	f.BoolVar(&o.check, "check", false, "tell what is missing, and change nothing")
	f.BoolVar(&o.yes, "yes", false, "do not ask")
	f.BoolVar(&o.try, "try", false, "prove it, too, by the AWS credentials at hand, which must be those of a function's role")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	var faults []error
	if f.NArg() > 0 {
		faults = append(faults, fmt.Errorf("there are only flags: what is %q?", f.Arg(0)))
	}
	if o.check && o.yes {
		faults = append(faults, errors.New("-check changes nothing, so -yes makes no sense with it"))
	}
	if o.try && len(o.wanted.Subjects) == 0 {
		faults = append(faults, errors.New("-try needs -issuer and -subject: without a federation policy there is nothing to prove"))
	}
	return o, errors.Join(append(faults, o.wanted.Check())...)
}

// Run carries out the command and returns the exit code.
func (c *Command) Run(ctx context.Context, args []string) int {
	o, err := c.parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return Done
	case err != nil:
		c.tell(err)
		return Usage
	}
	err = c.run(ctx, o, args)
	if err == nil {
		return Done
	}
	c.tell(err)
	return code(err)
}

func (c *Command) tell(err error) {
	for _, line := range strings.Split(err.Error(), "\n") {
		_, _ = fmt.Fprintf(c.Err, "bootstrap: %s\n", line)
	}
}

// code is the exit code for an error. Of several, the one that a person has to
// look at first decides.
func code(err error) int {
	//nolint:errorlint // what each error is by itself, and then what it holds
	switch e := err.(type) {
	case *setup.RightError:
		return NoRight
	case *setup.RequestError:
		return Usage
	case *databricks.Error:
		return Failed
	case interface{ Unwrap() []error }:
		worst := Incomplete
		for _, held := range e.Unwrap() {
			if c := code(held); slices.Index(urgency, c) < slices.Index(urgency, worst) {
				worst = c
			}
		}
		return worst
	case interface{ Unwrap() error }:
		return code(e.Unwrap())
	}
	if errors.Is(err, setup.ErrIncomplete) || errors.Is(err, setup.ErrDeclined) {
		return Incomplete
	}
	return Failed
}

// urgency orders the exit codes, the worst first.
var urgency = []int{Failed, Usage, NoRight, Incomplete}

func (c *Command) run(ctx context.Context, o options, args []string) error {
	who, err := login.Open(ctx, o.login)
	if err != nil {
		return err
	}
	allowed, err := databricks.ParseAllowedHosts(who.Host)
	if err != nil {
		return err
	}
	client := &databricks.Client{Allowed: allowed, Identity: who, Transport: o.login.Transport}
	place, err := console.Open(ctx, client, who.Host, who.AccountID)
	if err != nil {
		return err
	}
	place.Wait = c.Wait
	kind := "account console"
	if !place.OfAccount() {
		kind = "workspace"
	}
	c.say("Databricks account %s, %s %s, logged in by %s", place.AccountID, kind, place.Host, who.How)
	s := &setup.Setup{Console: place, Wanted: o.wanted, Out: c.Out}
	if !o.yes {
		s.Ask = c.ask
	}
	if o.try {
		api, err := c.STS(ctx)
		if err != nil {
			return fmt.Errorf("AWS: %w", err)
		}
		s.Try = trial.Trial{STS: api, Transport: o.login.Transport}.Run
	}
	do := s.Apply
	if o.check {
		do = s.Check
	}
	r, err := do(ctx)
	if err != nil {
		return err
	}
	c.next(o, r, place, args)
	return nil
}

// next says what to do with what is in place.
func (c *Command) next(o options, r setup.Rotator, place *console.Console, args []string) {
	c.say("\nParameters for sam deploy:\n  %s", strings.Join(r.Parameters(place.Host.URL), " "))
	c.say("\nPolicy, or a part of yours, so that audits do not report the rotator as an admin\n(README, Deploy, step 5):\n%s", r.Policy())
	if len(o.wanted.Subjects) > 0 {
		return
	}
	c.say(`
Once the stack is deployed, run this again with its outputs, to let the
functions in:
  out() { aws cloudformation describe-stacks --stack-name databricks-credential-rotation \
    --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue" --output text; }
  go run ./infra/bootstrap %s \
    -issuer "$(aws iam get-outbound-web-identity-federation-info --query IssuerIdentifier --output text)" \
    -subject "$(out RotatorSubject)" -subject "$(out AuditSubject)" -subject "$(out RevokeSubject)"`, again(args))
}

// again is what was asked for as words for a shell, without how to go about it.
func again(args []string) string {
	var words []string
	for _, arg := range args {
		switch strings.TrimLeft(arg, "-") {
		case "yes", "check":
			continue
		}
		if strings.ContainsFunc(arg, func(r rune) bool { return !strings.ContainsRune(plainRunes, r) }) {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}

const plainRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=@,"

func (c *Command) say(format string, args ...any) {
	_, _ = fmt.Fprintf(c.Out, format+"\n", args...)
}

// ask asks whether to go on. No answer, as from a pipeline, is a no, and so is
// an interruption: the wait for an answer must not outlive it.
func (c *Command) ask(ctx context.Context) (bool, error) {
	_, _ = io.WriteString(c.Out, "Make what is missing? [y/N] ")
	type reply struct {
		text string
		err  error
	}
	answer := make(chan reply, 1)
	go func() {
		text, err := bufio.NewReader(c.In).ReadString('\n')
		answer <- reply{text, err}
	}()
	select {
	case r := <-answer:
		if r.err != nil && !errors.Is(r.err, io.EOF) {
			return false, fmt.Errorf("read the answer: %w", r.err)
		}
		switch strings.ToLower(strings.TrimSpace(r.text)) {
		case "y", "yes":
			return true, nil
		}
	case <-ctx.Done():
	}
	c.say("")
	return false, nil
}
