// Package rotation keeps the OAuth secrets of Databricks service principals
// young: it issues a new one, proves that it works, makes it current in
// Secrets Manager, and retires the old one after a grace period.
//
// Every door leads to the same engine: observe what the two clouds hold,
// [MakePlan] from it, and apply the plan one step at a time. Each step is safe
// to repeat, and a run that dies is an observation that the next one starts
// from. Nothing else is remembered anywhere.
package rotation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/secret"
	"databricks-credential-rotation/shared/trail"
	"databricks-credential-rotation/shared/usagelog"
)

// Databricks is what the engine needs of Databricks.
type Databricks interface {
	ListSecrets(ctx context.Context, host databricks.Host, principal string) ([]databricks.OAuthSecret, error)
	CreateSecret(ctx context.Context, host databricks.Host, principal string, lifetime time.Duration, scopes []string) (databricks.IssuedSecret, error)
	DeleteSecret(ctx context.Context, host databricks.Host, principal, id string) error
	Verify(ctx context.Context, host databricks.Host, clientID string, clientSecret secret.Text, scopes []string) error
	Granted(ctx context.Context, host databricks.Host, clientID string, clientSecret secret.Text, scopes []string) ([]string, error)
	Principal(ctx context.Context, host databricks.Host, id string) (databricks.ServicePrincipal, error)
	FindPrincipal(ctx context.Context, host databricks.Host, applicationID string) (databricks.ServicePrincipal, error)
	InactivePrincipals(ctx context.Context, host databricks.Host) (map[string]bool, error)
}

// Engine rotates managed secrets. It keeps nothing between invocations but its
// clients.
type Engine struct {
	Store      managedsecret.Store
	Databricks Databricks
	// Allowed are the hosts that a managed secret may name.
	Allowed databricks.AllowedHosts
	// Policy is read at the start of each invocation.
	Policy func(context.Context) (policy.Policy, error)
	Trail  trail.Trail
	Log    *slog.Logger
	// Now is the clock, nil for [time.Now].
	Now func() time.Time
	// OwnClientID is the rotator's own application id, where it is known. It
	// may do more than any principal that it manages, so its credential is
	// issued into OwnSecretARN, if into anything.
	OwnClientID, OwnSecretARN string
	// Workers is how many secrets are worked on at once, zero for
	// [DefaultWorkers].
	Workers int
	// Queue takes what one run does not get done, nil for none: it is then
	// left to the next sweep.
	Queue Queue
	// Usage is the audit log, which is asked who may still use a predecessor
	// before that goes; nil for none.
	Usage UsageLog
	// Deployment is the stack's name, by which its metrics are told apart. Empty
	// is for no metrics.
	Deployment string
	// QueueAbove is how many secrets of a sweep are worked on by itself, zero
	// for [DefaultQueueAbove].
	QueueAbove int
}

const (
	// DefaultWorkers are enough to reach Secrets Manager's limit of 50 writes
	// a second with rotations of three tenths of a second. How fast requests
	// are sent is for the paces to say, not for the number of workers.
	DefaultWorkers = 16
	// DefaultQueueAbove is what one run gets done in half its time at 25
	// rotations a second, half of what Secrets Manager allows a region. Below
	// it more invocations would not be faster: they share that limit.
	DefaultQueueAbove = 10_000
)

// run is one invocation: one policy, one door.
type run struct {
	*Engine
	policy policy.Policy
	door   string
	began  time.Time
	// dry plans and reports, and changes nothing.
	dry bool
	// check tries every current credential and leaves no predecessor out.
	check bool
	// removals says what becomes of removals that need the budget.
	removals removals
	// all tells that the run looks at every managed secret.
	all bool
	// replacing tells that a revocation has asked for a new credential, and givenUp
	// is the pending version that it has given up for that.
	replacing bool
	givenUp   string
	// unread counts those whose values were not read, because the listing shows
	// that they need nothing.
	unread int
	// census is empty until every managed secret has been read.
	census census
	// asking tells how far the run has got with the usage log, and unseen is
	// what that has answered.
	asking asking
	unseen map[string][]usagelog.Reader

	// survey takes the census at once, and once.
	survey func() (census, error)

	mu       sync.Mutex
	inactive map[databricks.Host]func() map[string]bool
}

func (e *Engine) newRun(ctx context.Context, door string) (*run, error) {
	began := e.now()
	p, err := e.Policy(ctx)
	if err == nil {
		err = p.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("policy: %w; nothing was changed", err)
	}
	r := &run{Engine: e, policy: p, door: door, began: began, inactive: map[databricks.Host]func() map[string]bool{}}
	r.survey = sync.OnceValues(func() (census, error) { return e.takeCensus(ctx) })
	return r, nil
}

func (e *Engine) now() time.Time {
	if e.Now != nil {
		return e.Now()
	}
	return time.Now()
}

// hostOf says where a credential's principal is managed.
func hostOf(c credential.Credential) databricks.Host {
	return databricks.Host{URL: c.Host, AccountID: c.AccountID}
}

// parseCurrent reads a version's value and refuses a host that may not be
// talked to before anything is sent there.
func (e *Engine) parseCurrent(v managedsecret.Version) (Version, error) {
	c, err := credential.Parse(v.Value)
	if err != nil {
		return Version{}, fmt.Errorf("the value of version %s is malformed: %w", v.ID, err)
	}
	if err := e.Allowed.Check(c.Host); err != nil {
		return Version{}, fmt.Errorf("%s: %w", credential.KeyHost, err)
	}
	return Version{ID: v.ID, CreatedAt: v.CreatedAt, Credential: c}, nil
}

// rotate brings one managed secret to the state that the policy asks for, and
// says so if it did not get there in time.
func (r *run) rotate(ctx context.Context, s managedsecret.Secret, current Version, force bool) Outcome {
	return r.watch(r.bring(ctx, s, current, force), current)
}

func (r *run) bring(ctx context.Context, s managedsecret.Secret, current Version, force bool) Outcome {
	out := newOutcome(s, current)
	if holder := s.Holder(managedsecret.Current); holder != "" && holder != current.ID {
		// The listing and the value were read at different moments.
		var err error
		if s, current, err = r.read(ctx, s.ARN); err != nil {
			return out.fail(err)
		}
	}
	if !force && r.idle(s, current) {
		return out
	}
	if block := r.confused(s, current.Credential); block != nil {
		out.Block = block
		return out
	}
	look := Observation{
		Secret: s, Current: current, Force: force, Replacing: r.replacing, GivenUp: r.givenUp,
		Alone: r.alone(current.Credential.ClientID), Withhold: r.removals == withheld,
		CanAsk: r.Usage != nil && r.asking != failed, Unseen: r.unseen,
	}
	look.heed(r.census)
	o, plan, err := r.observe(ctx, look)
	if err != nil {
		return out.fail(err)
	}
	if o.adopts(plan) && !r.replacing { // a revocation knows the other managed secrets itself
		if o, plan, err = r.adopt(ctx, o); err != nil {
			return out.fail(err)
		}
	}
	out.live = len(o.Listed)
	out.dead = o.Current.Credential.Issued() && !o.alive() && s.Hold == nil
	out.Foreign = plan.Foreign
	if out.asks = r.asks(plan); len(out.asks) > 0 {
		// Nor is anything done before the usage log is asked, for all at once.
		return out
	}
	if n := plan.needBudget(); n > 0 && r.removals == undecided {
		// Nothing of this plan is done before all plans of the run are known.
		out.postponed = n
		return out
	}
	out.Block = plan.Block
	out.Withheld = idsOf(plan.Withheld)
	out.Unseen = r.warn(ctx, o, plan)
	if r.dry {
		return out.planned(plan).fail(o.doubted(plan))
	}
	if plan.Clear != "" {
		if err := r.clear(ctx, o, plan.Clear, "a rotation by Secrets Manager never finished"); err != nil {
			return out.fail(err)
		}
		out.Cleared = plan.Clear
	}
	kept := o.doubted(plan)
	for _, retirement := range plan.Retire {
		if err := r.retire(ctx, o, retirement); err != nil {
			kept = errors.Join(kept, err)
			plan.keep(o, retirement.ID)
			continue
		}
		out.Retired = append(out.Retired, retirement.ID)
	}
	// What could not be deleted holds a rotation up only where it takes the
	// place that the new credential needs.
	if plan.Issue == nil || kept != nil && o.live()-len(out.Retired) >= databricks.MaxSecrets {
		return out.fail(kept)
	}
	out.Reason = plan.Issue.Reason
	write := managedsecret.Write{Label: managedsecret.Current, VersionID: o.nextVersionID()}
	issued, err := r.issue(ctx, o, *plan.Issue, write)
	if errors.Is(err, errTaken) {
		// Of all versions, either another one is current now, or an id is found
		// that none has.
		if err = r.readVersions(ctx, &o); err == nil {
			write.VersionID = o.nextVersionID()
			issued, err = r.issue(ctx, o, *plan.Issue, write)
		}
	}
	switch {
	case errors.Is(err, errDisagree), errors.Is(err, errTaken):
		out.Overtaken = true
		return out
	case err == nil || errors.As(err, new(*untoldError)):
		out.Issued, out.Version = issued.OAuthSecretID, write.VersionID
		out.IssuedAt, out.ExpiresAt = issued.IssuedAt, issued.ExpiresAt
	}
	return out.fail(errors.Join(err, kept))
}

// idle tells that a secret needs no look, by what Secrets Manager says alone.
func (r *run) idle(s managedsecret.Secret, current Version) bool {
	return !r.check && !Glance(r.now(), r.policy, s, current)
}

// confused refuses a value that names a principal whose credential must not be
// put there: whoever can write a secret's value could otherwise have any
// principal's credential issued to them.
func (r *run) confused(s managedsecret.Secret, c credential.Credential) *Block {
	switch {
	case s.BoundTo != "" && !strings.EqualFold(s.BoundTo, c.ClientID):
		return &Block{Mismatch, fmt.Sprintf("%s names the service principal %s, and the tag %s binds the secret to %s; correct the one that is wrong",
			credential.KeyClientID, c.ClientID, managedsecret.BindingKey, s.BoundTo)}
	case r.OwnClientID != "" && c.ClientID == r.OwnClientID && s.ARN != r.OwnSecretARN:
		return &Block{Mismatch, fmt.Sprintf("%s names the rotator's own service principal %s, which is given to nobody; find out who wrote this value, and correct it",
			credential.KeyClientID, c.ClientID)}
	default:
		return nil
	}
}

// keep has the next credential remember a predecessor that could not be
// deleted.
func (p Plan) keep(o Observation, id string) {
	if p.Issue == nil {
		return
	}
	for _, pred := range o.Current.Credential.Predecessors {
		if pred.OAuthSecretID == id {
			pred.SupersededAt = supersededAt(pred, o.Secret, o.Current)
			p.Issue.Next.Predecessors = append(p.Issue.Next.Predecessors, pred)
		}
	}
}

// live counts the principal's OAuth secrets that have not expired.
func (o Observation) live() int {
	n := 0
	for _, s := range o.Listed {
		if !s.Expired(o.Now) {
			n++
		}
	}
	return n
}

// nextVersionID is the id under which this run and any other run that saw the
// same current version write its successor.
func (o Observation) nextVersionID() string {
	taken := map[string]bool{}
	for id := range o.Secret.Labels {
		taken[id] = true
	}
	for _, v := range o.Versions {
		taken[v.ID] = true
	}
	for attempt := 0; ; attempt++ {
		if id := successorID(o.Secret.ARN, o.Current.ID, attempt); !taken[id] {
			return id
		}
	}
}

// read gets one secret and its current version.
func (r *run) read(ctx context.Context, id string) (managedsecret.Secret, Version, error) {
	s, err := r.Store.Describe(ctx, id)
	if err != nil {
		return managedsecret.Secret{}, Version{}, err
	}
	switch {
	case !s.Managed:
		err = fmt.Errorf("the secret is not managed: it lacks the tag %s = %s", managedsecret.TagKey, managedsecret.TagValue)
	case s.Deleted:
		err = errors.New("the secret is scheduled for deletion: restore it, or stop rotating it")
	case s.PrimaryRegion != "":
		err = fmt.Errorf("the secret is a replica: rotate it in %s", s.PrimaryRegion)
	}
	if err != nil {
		return s, Version{}, err
	}
	holder := s.Holder(managedsecret.Current)
	if holder == "" {
		return s, Version{}, errors.New("the secret has no AWSCURRENT version: put its registration there")
	}
	// By its id, not by its label: the two answers then cannot be of different
	// moments.
	v, err := r.Store.Version(ctx, s.ARN, holder)
	if err != nil {
		return s, Version{}, err
	}
	if !slices.Contains(v.Labels, managedsecret.Current) {
		return s, Version{}, errDisagree
	}
	current, err := r.parseCurrent(v)
	return s, current, err
}

// errDisagree means that what was read is of different moments. Nothing may be
// concluded from it.
var errDisagree = errors.New("the answers of Secrets Manager disagree about which version is current; the next run will read them again")

// observe lists the principal's OAuth secrets, and makes the plan.
func (r *run) observe(ctx context.Context, o Observation) (Observation, Plan, error) {
	o.Now, o.Check = r.now(), r.check
	host := hostOf(o.Current.Credential)
	if o.Current.Credential.ServicePrincipalID == "" {
		principal, err := r.Databricks.FindPrincipal(ctx, host, o.Current.Credential.ClientID)
		if err != nil {
			return o, Plan{}, missingPrincipal(err, credential.KeyClientID)
		}
		o.Principal = &principal
	}
	var err error
	if o.Listed, err = r.Databricks.ListSecrets(ctx, host, o.principalID()); err != nil {
		return o, Plan{}, missingPrincipal(err, credential.KeyServicePrincipalID)
	}
	return r.complete(ctx, o)
}

// complete makes the plan, and reads more for as long as the plan needs it.
func (r *run) complete(ctx context.Context, o Observation) (Observation, Plan, error) {
	host := hostOf(o.Current.Credential)
	asked := map[Need]bool{}
	for {
		plan := MakePlan(r.policy, o)
		if plan.Issue != nil && o.Principal == nil && r.isInactive(ctx, host, o.Current.Credential.ClientID) {
			o.Inactive = true
			plan = MakePlan(r.policy, o)
		}
		if len(plan.Needs) == 0 {
			return o, plan, nil
		}
		for _, need := range plan.Needs {
			if asked[need] {
				return o, Plan{}, errors.New("the secret changes while it is looked at; the next run will see it again")
			}
			asked[need] = true
			var err error
			switch need {
			case NeedTrial:
				err = r.try(ctx, &o)
			case NeedPrincipal:
				var p databricks.ServicePrincipal
				if p, err = r.Databricks.Principal(ctx, host, o.principalID()); err == nil {
					o.Principal = &p
				}
				err = missingPrincipal(err, credential.KeyServicePrincipalID)
			case NeedClaims:
				var others census
				if others, err = r.survey(); err == nil {
					o.heed(others)
				}
			case NeedVersions:
				err = r.readVersions(ctx, &o)
				if err == nil && o.Misnamed {
					// If it was tried, then with the scopes of another one, perhaps.
					o.Tried, o.Authenticates, o.Granted = false, false, nil
					delete(asked, NeedTrial)
				}
			}
			if err != nil && plan.Sparing && !errors.Is(err, errDisagree) {
				o.Doubt, err = err.Error(), nil
			}
			if err != nil {
				return o, Plan{}, err
			}
		}
	}
}

// doubted is the error of what stays because of a doubt, nil if nothing does.
func (o Observation) doubted(plan Plan) error {
	if len(plan.Doubted) == 0 {
		return nil
	}
	return fmt.Errorf("OAuth secrets that are due to go stay until it is known that they are nobody else's: %s: %s", strings.Join(idsOf(plan.Doubted), ", "), cmp.Or(o.Doubt, "a managed secret cannot be read"))
}

func (o Observation) principalID() string {
	if o.Principal != nil {
		return o.Principal.ID
	}
	return o.Current.Credential.ServicePrincipalID
}

func missingPrincipal(err error, key string) error {
	if errors.Is(err, databricks.ErrNotFound) {
		return fmt.Errorf("the service principal that %s names does not exist, or the rotator cannot see it: %w", key, err)
	}
	return err
}

// try authenticates with the current credential.
func (r *run) try(ctx context.Context, o *Observation) error {
	c := o.Current.Credential
	granted, err := r.Databricks.Granted(ctx, hostOf(c), c.ClientID, c.ClientSecret, o.scopesToAsk())
	if err != nil && !errors.Is(err, databricks.ErrRefused) {
		return err
	}
	o.Tried, o.Authenticates, o.Granted = true, err == nil, granted
	return nil
}

// scopesToAsk are the scopes with which the current credential is tried.
func (o Observation) scopesToAsk() []string {
	for _, s := range o.Listed {
		if s.ID == o.Current.Credential.OAuthSecretID && len(s.Scopes) > 0 {
			return s.Scopes
		}
	}
	return o.Current.Credential.Scopes
}

// isInactive asks once in a run, and for each host, which principals are
// switched off. It is a hint that saves issuing a secret in vain: a host that
// does not answer it stops nothing.
func (r *run) isInactive(ctx context.Context, host databricks.Host, clientID string) bool {
	r.mu.Lock()
	ask, ok := r.inactive[host]
	if !ok {
		ask = sync.OnceValue(func() map[string]bool {
			found, err := r.Databricks.InactivePrincipals(ctx, host)
			if err != nil {
				r.Log.WarnContext(ctx, "cannot tell which service principals are switched off", "host", host.URL, "error", err)
			}
			return found
		})
		r.inactive[host] = ask
	}
	r.mu.Unlock()
	return ask()[clientID]
}

// verifyNew tries a secret just created. A new secret may not have reached
// every server yet, so a refusal is believed only when it stays.
func (r *run) verifyNew(ctx context.Context, host databricks.Host, c credential.Credential) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := r.Databricks.Verify(ctx, host, c.ClientID, c.ClientSecret, c.Scopes)
		if err != nil && !errors.Is(err, databricks.ErrRefused) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, newSecretLag()...)
	return err
}
