// Package revocation kills a leaked credential within seconds, and says what
// is still alive.
//
// A revocation looks at what the two clouds hold, makes a plan of it, and
// carries the plan out, what protects first going first. A step that fails
// stops only what depends on it; the same request, sent again, continues. What
// was revoked stays dead: the managed secret is held by a tag that every other
// run respects, until it is released.
package revocation

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/secret"
	"databricks-credential-rotation/shared/trail"
)

// Databricks is what a revocation needs of Databricks.
type Databricks interface {
	ListSecrets(ctx context.Context, host databricks.Host, principal string) ([]databricks.OAuthSecret, error)
	DeleteSecret(ctx context.Context, host databricks.Host, principal, id string) error
	Verify(ctx context.Context, host databricks.Host, clientID string, clientSecret secret.Text, scopes []string) error
	Principal(ctx context.Context, host databricks.Host, id string) (databricks.ServicePrincipal, error)
	FindPrincipal(ctx context.Context, host databricks.Host, applicationID string) (databricks.ServicePrincipal, error)
	PrincipalsNamed(ctx context.Context, host databricks.Host, name string) ([]databricks.ServicePrincipal, error)
	SetActive(ctx context.Context, host databricks.Host, id string, active bool) error
	OtherAdmin(ctx context.Context, host databricks.Host, applicationID string) (string, error)
	Tokens(ctx context.Context, workspace databricks.Host) ([]databricks.Token, error)
	Token(ctx context.Context, workspace databricks.Host, id string) (databricks.Token, error)
	DeleteToken(ctx context.Context, workspace databricks.Host, id string) error
}

// Replacer issues a new credential for a managed secret and makes it current.
type Replacer interface {
	Replace(ctx context.Context, door, id string, sacrifice []string) (rotation.Outcome, error)
}

// Announcer tells people. A nil one is silent.
type Announcer interface {
	Announce(ctx context.Context, subject, text string) error
}

// Revoker carries revocations out. It keeps nothing between invocations but
// its clients.
type Revoker struct {
	Store      managedsecret.Store
	Databricks Databricks
	Engine     Replacer
	// Allowed are the hosts that may be talked to.
	Allowed databricks.AllowedHosts
	// Rotator gives the client id by which this product itself works.
	Rotator  func(context.Context) (string, error)
	Trail    trail.Trail
	Announce Announcer
	Log      *slog.Logger
	// Now is the clock, nil for [time.Now].
	Now func() time.Time
}

const (
	door = "revocation"
	// reserve is kept of the function's time for telling what was done.
	reserve = 5 * time.Second
	// stepTimeout ends one step. What cannot be done within seconds is
	// reported, and the request sent again.
	stepTimeout = 10 * time.Second
	// lockoutTrial is how long a lockout may be held up by finding out which
	// values are dead.
	lockoutTrial = 2 * time.Second
	// announceTimeout bounds the message about it.
	announceTimeout = 4 * time.Second
)

func (r *Revoker) now() time.Time {
	if r.Now != nil {
		return r.Now().UTC()
	}
	return time.Now().UTC()
}

// Handle is the Lambda handler. A request that is refused changes nothing. A
// revocation that is not complete is an error, whose text is the whole reply.
func (r *Revoker) Handle(ctx context.Context, payload json.RawMessage) (*Reply, error) {
	req, err := ParseRequest(payload)
	if err != nil {
		return nil, err
	}
	reply, err := r.Revoke(ctx, req)
	if err != nil {
		return nil, err
	}
	if len(reply.Failures) > 0 {
		return nil, errors.New(reply.Text())
	}
	return reply, nil
}

// Revoke carries one request out. The error is of a request that was refused:
// nothing was changed then. What failed later is in the reply.
func (r *Revoker) Revoke(ctx context.Context, req Request) (*Reply, error) {
	reply := &Reply{
		Mode: req.Mode, Selector: req.Selector(), Reason: req.Reason, RequestedBy: req.RequestedBy, DryRun: req.DryRun,
		StartedAt: r.now(),
	}
	inv := &invocation{Revoker: r, req: req, reply: reply, holds: map[string]*managedsecret.Hold{}}
	var err error
	if req.Tokens() {
		err = inv.revokeTokens(ctx)
	} else {
		err = inv.revokeSecrets(ctx)
	}
	if err != nil {
		return nil, err
	}
	reply.finish(r.now())
	inv.end(ctx)
	inv.tell(ctx)
	return reply, nil
}

// invocation is one revocation under way.
type invocation struct {
	*Revoker
	req   Request
	reply *Reply
	// holds are those that this invocation has set, or with nil taken off.
	holds map[string]*managedsecret.Hold
	// begun is the trail's entry of the whole, nil if nothing was begun.
	begun *trail.Entry
	// unsettled tells that a value may be alive whose OAuth secret is not known.
	unsettled bool
	// lastDeletion is when the last credential was deleted.
	lastDeletion time.Time
}

// begin writes into the trail that a revocation begins.
func (i *invocation) begin(ctx context.Context, e trail.Entry) error {
	if err := trail.Begin(ctx, i.Trail, e); err != nil {
		return err
	}
	i.begun = &e
	return nil
}

// end writes the reply into the trail, which has each step already.
func (i *invocation) end(ctx context.Context) {
	if i.begun == nil {
		return
	}
	e := *i.begun
	e.Why += "\n" + i.reply.Text()
	if len(i.reply.Failures) > 0 {
		e.Err = errors.New(strings.Join(i.reply.Failures, "; "))
	}
	if err := trail.End(ctx, i.Trail, e); err != nil {
		i.fail("%v", err)
		i.reply.finish(i.now())
	}
}

// tell writes the reply where people look: the log and the topic.
func (i *invocation) tell(ctx context.Context) {
	level := slog.LevelInfo
	if len(i.reply.Failures) > 0 {
		level = slog.LevelError
	}
	if i.Announce != nil && !i.req.DryRun {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), announceTimeout)
		defer cancel()
		if err := i.Announce.Announce(ctx, i.reply.subject(), i.reply.Text()); err != nil {
			i.reply.Warnings = append(i.reply.Warnings, "nobody was told: "+err.Error())
		}
	}
	i.Log.LogAttrs(ctx, level, "revocation", slog.Any("reply", i.reply))
}

// entry is a trail entry of this revocation.
func (i *invocation) entry(t *target, action string) trail.Entry {
	e := trail.Entry{Action: action, Why: string(i.req.Mode) + ": " + i.req.Reason, Door: door, RequestedBy: i.req.RequestedBy}
	if t != nil {
		e.Host, e.ClientID = t.host.URL, t.clientID
	}
	return e
}

// record makes a change with an entry in the trail on either side of it, if
// there is time for it.
func (i *invocation) record(ctx context.Context, entry trail.Entry, change func(context.Context) error) error {
	if deadline, ok := ctx.Deadline(); ctx.Err() != nil || ok && time.Until(deadline) < reserve {
		return errors.New("no time was left for it")
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	return trail.Change(ctx, i.Trail, &entry, func() error { return change(ctx) })
}
