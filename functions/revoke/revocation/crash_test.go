package revocation_test

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"databricks-credential-rotation/functions/revoke/revocation"
	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/secret"
)

// The crash matrix of revocation: for each mode, for each call that a
// revocation makes, for each way in which that call can fail. The calls are
// recorded from a run without faults. Afterwards the same request is sent
// until it is complete, and sweeps go on as ever.

// process is one Lambda instance: of this function, or of rotate.
type process struct {
	*estatetest.Process
	engine  *rotation.Engine
	revoker *revocation.Revoker
}

// start makes a process of its own, with as much time as the function has.
func (w *world) start() *process {
	p := &process{Process: w.StartProcess(w.t.Context(), 2*time.Minute)}
	p.engine, p.revoker = w.wire(w.Client(p.Transport(w.Databricks.Transport())), func(o *secretsmanager.Options) {
		o.HTTPClient = &http.Client{Transport: p.Transport(w.AWS.Transport())}
	})
	return p
}

// deed is a request, sent in a process of its own.
type deed struct {
	name    string
	request func(c credential.Credential) revocation.Request
	// byHand is what people have done before: stored a credential of their own
	// beside another one of theirs, so that nobody knows which it is.
	byHand hand
	// open tells that the request must not be reported complete: it may not
	// delete what it would have to.
	open bool
	// crowd is how many OAuth secrets more than one a colleague has made: one leaves
	// room for one, two leave none.
	crowd int
	// begun is a rotation by Secrets Manager after its first step. The request is
	// about what that has made.
	begun bool
}

// request is what a deed asks for of what it has prepared.
func (w *world) request(d deed, m *estatetest.Managed) revocation.Request {
	if !d.begun {
		return d.request(w.current(m))
	}
	v, ok := w.AWS.Labelled(m.Name, managedsecret.Pending)
	if !ok {
		w.t.Fatal("there is no pending version")
	}
	c, err := credential.Parse(secret.New(v.Value))
	w.must(err)
	return d.request(c)
}

type hand int

const (
	nothing hand = iota
	// stored is current; replaced has been, until the next sweep. Rewritten is
	// one of ours, without what was noted of it.
	stored
	replaced
	rewritten
)

var (
	replace = func(credential.Credential) revocation.Request {
		return revocation.Request{Mode: revocation.Replace, Secret: "etl"}
	}
	replaceByID = func(c credential.Credential) revocation.Request {
		return revocation.Request{Mode: revocation.Replace, OAuthSecretID: c.OAuthSecretID}
	}
	revokeByID = func(c credential.Credential) revocation.Request {
		return revocation.Request{Mode: revocation.Revoke, OAuthSecretID: c.OAuthSecretID}
	}
	replaceByHash = func(c credential.Credential) revocation.Request {
		return revocation.Request{Mode: revocation.Replace, SHA256: c.ClientSecret.SHA256()}
	}
	revoke = func(credential.Credential) revocation.Request {
		return revocation.Request{Mode: revocation.Revoke, Secret: "etl"}
	}
	revokeByHash = func(c credential.Credential) revocation.Request {
		return revocation.Request{Mode: revocation.Revoke, SHA256: c.ClientSecret.SHA256()}
	}
	lockout = func(c credential.Credential) revocation.Request {
		return revocation.Request{Mode: revocation.Lockout, ServicePrincipal: c.ClientID}
	}
	release = func(credential.Credential) revocation.Request {
		return revocation.Request{Mode: revocation.Release, Secret: "etl"}
	}
)

func andForeign(request func(credential.Credential) revocation.Request) func(credential.Credential) revocation.Request {
	return func(c credential.Credential) revocation.Request {
		r := request(c)
		r.IncludeForeign = true
		return r
	}
}

var deeds = []deed{
	{name: "replace", request: replace},
	{name: "replace by hash", request: replaceByHash},
	{name: "replace an earlier one", request: func(c credential.Credential) revocation.Request {
		return revocation.Request{Mode: revocation.Replace, OAuthSecretID: c.Predecessors[0].OAuthSecretID}
	}},
	{name: "replace, with room for one", request: replace, crowd: 1},
	{name: "replace, without room", request: replace, crowd: 2},
	{name: "replace the pending one", request: replaceByID, begun: true},
	{name: "replace the pending one by hash", request: replaceByHash, begun: true},
	{name: "revoke the pending one", request: revokeByID, begun: true},
	{name: "revoke the pending one by hash", request: revokeByHash, begun: true},
	{name: "revoke", request: revoke},
	{name: "revoke by hash", request: revokeByHash},
	{name: "lockout", request: lockout},
	{name: "release", request: release},

	{name: "replace what is stored by hand", request: replace, byHand: stored, open: true},
	{name: "replace what is stored by hand, and all", request: andForeign(replace), byHand: stored},
	{name: "replace what is stored by hand by hash, and all", request: andForeign(replaceByHash), byHand: stored},
	{name: "replace what was stored by hand", request: replace, byHand: replaced, open: true},
	{name: "replace what was stored by hand, and all", request: andForeign(replace), byHand: replaced},
	{name: "revoke what is stored by hand", request: revoke, byHand: stored, open: true},
	{name: "revoke what is stored by hand, and all", request: andForeign(revoke), byHand: stored},
	{name: "revoke what is stored by hand by hash", request: revokeByHash, byHand: stored, open: true},
	{name: "revoke what is stored by hand by hash, and what it may be", request: andForeign(revokeByHash), byHand: stored},
	{name: "revoke what was stored by hand", request: revoke, byHand: replaced, open: true},
	{name: "replace what is rewritten", request: replace, byHand: rewritten},
	{name: "revoke what is rewritten by hash", request: revokeByHash, byHand: rewritten},
	{name: "lockout of what is stored by hand", request: lockout, byHand: stored},
	{name: "release of what is stored by hand, and what it may be", request: andForeign(release), byHand: stored},
}

// send sends a request, and holds the reply to what it claims.
func (w *world) send(m *estatetest.Managed, req revocation.Request) error {
	p := w.start()
	defer p.End()
	req.Reason = "drill"
	values, before, listed := w.Values(m), w.current(m), w.Databricks.Secrets(m.Principal.ID)
	w.expect(req, m)
	if req.IncludeForeign {
		w.MayGo(m)
	}
	reply, err := p.revoker.Revoke(p.Ctx, req)
	if err == nil && len(reply.Failures) > 0 {
		err = errors.New(reply.Text())
	}
	if err != nil {
		_, _ = w.log.Write([]byte(err.Error()))
		return err
	}
	if req.IncludeForeign && !req.One() {
		for _, s := range listed {
			if w.IsForeign(m, s.ID) && !slices.Contains(values, s.Value) {
				values = append(values, s.Value)
			}
		}
	}
	switch {
	case req.Mode == revocation.Release:
	case req.Mode == revocation.Replace && req.One():
		w.Killed(m, false, slices.DeleteFunc(w.doomed(req, before, listed), func(v string) bool { return !slices.Contains(values, v) })...)
	case req.Mode == revocation.Replace:
		w.Killed(m, false, values...)
	case !w.isHeld(m) && req.One():
		// A sweep has replaced what is named before it was held. It ends alone.
		w.Killed(m, false, slices.DeleteFunc(values, func(v string) bool { return secret.New(v).SHA256() != req.SHA256 })...)
	default:
		w.Killed(m, true, values...)
	}
	return nil
}

// doomed are the values that a replacement of one named credential ends: if it
// is current, all; if not, it and the earlier ones, but not what is current or
// what another run has just issued.
func (w *world) doomed(req revocation.Request, before credential.Credential, listed []databrickstest.OAuthSecret) []string {
	named := func(s databrickstest.OAuthSecret) bool {
		return s.ID == req.OAuthSecretID || secret.New(s.Value).SHA256() == req.SHA256
	}
	isCurrent := slices.ContainsFunc(listed, func(s databrickstest.OAuthSecret) bool { return named(s) && s.Value == before.ClientSecret.Reveal() })
	var values []string
	for _, s := range listed {
		if m := w.Managed()[0]; isCurrent || named(s) || !w.IsForeign(m, s.ID) && s.CreateTime.Before(before.IssuedAt) {
			values = append(values, s.Value)
		}
	}
	return values
}

func (w *world) isHeld(m *estatetest.Managed) bool {
	_, held := w.AWS.Tags(m.Name)[managedsecret.HoldKey]
	return held
}

type crashCase struct {
	estatetest.Cell
	deed deed
}

func (c crashCase) String() string { return fmt.Sprintf("%s, %v", c.deed.name, c.Cell) }

// prepare makes the state that a deed is for: a current credential, one in
// grace, and a colleague's.
func (w *world) prepare(d deed) *estatetest.Managed {
	m := w.rotated("etl")
	for range 1 + d.crowd {
		w.MakeByHand(m, 365*day)
	}
	time.Sleep(hour)
	switch d.byHand {
	case stored, replaced:
		w.must(w.StoreByHand(w.t.Context(), m, 365*day))
		time.Sleep(hour)
	case rewritten:
		w.must(w.RewriteByHand(w.t.Context(), m))
		time.Sleep(hour)
	case nothing:
	}
	if d.byHand == replaced {
		w.sweep("")
		time.Sleep(hour)
	}
	if d.begun {
		w.must(w.engine.RunStep(w.t.Context(), rotation.StepRequest{Step: rotation.CreateSecret, SecretID: m.ARN, Token: token}))
	}
	if w.request(d, m).Mode == revocation.Release {
		w.revoke(revocation.Request{Mode: revocation.Lockout, Secret: "etl"}, m)
		time.Sleep(hour)
	}
	return m
}

func crashCases(t *testing.T) []crashCase {
	var cases []crashCase
	for _, d := range deeds {
		inWorld(t, func(w *world) {
			m := w.prepare(d)
			w.ResetCalls()
			if err := w.send(m, w.request(d, m)); (err != nil) != d.open {
				t.Fatalf("%s: %v", d.name, err)
			}
			for _, cell := range w.Cells() {
				cases = append(cases, crashCase{cell, d})
			}
		})
	}
	return cases
}

// A prime, so that every kind of fault meets every kind of call.
var stride = flag.Int("crash.stride", 61, "play every so many cases of the crash matrix")

func TestCrashMatrix(t *testing.T) { estatetest.PlayMatrix(t, crashCases(t), *stride, runCrashCase) }

func runCrashCase(t *testing.T, c crashCase) (found []estatetest.Violation) {
	w := newWorld(t)
	m := w.prepare(c.deed)
	req := w.request(c.deed, m)
	report := func(format string, args ...any) {
		found = append(found, estatetest.Violation{Invariant: 8, Secret: m.Name, What: fmt.Sprintf(format, args...)})
	}
	w.Plant(c.Cell)
	err := w.send(m, req)
	w.Databricks.Faults().Clear()
	w.AWS.Faults().Clear()

	sweep := func() error {
		p := w.start()
		defer p.End()
		_, err := p.engine.Sweep(p.Ctx, true, false)
		return err
	}
	// A sweep comes in between before anybody sends the request again.
	if c.deed.open && err == nil {
		report("it is complete, and what was stored by hand may be alive")
	}
	if err != nil {
		time.Sleep(10 * time.Minute)
		if c.deed.crowd > 1 {
			time.Sleep(rotation.OrphanAge) // until then nothing makes room
		}
		_ = sweep()
		switch err := w.send(m, req); {
		case c.deed.open && err == nil:
			report("the same request, sent again, is complete, and what was stored by hand may be alive")
		case !c.deed.open && err != nil:
			report("the same request, sent again, is not complete: %v", err)
		}
	}
	held := req.Mode == revocation.Revoke || req.Mode == revocation.Lockout
	if held && !w.isHeld(m) {
		// A sweep replaces what is stored by hand, and then it ends alone.
		// A read that is stale for good does not show what is pending.
		unseen := c.deed.begun && c.Fault.Kind == faulttest.StaleRead
		if !req.One() || c.Call.Op != "TagResource" && c.deed.byHand == nothing && !unseen {
			report("the secret is not held")
		}
		held = false
	}
	for n := range 10 {
		time.Sleep([]time.Duration{10 * time.Minute, 25 * time.Hour}[n/6])
		switch err := sweep(); {
		case held && (err == nil || !strings.Contains(err.Error(), string(rotation.Revoked)+":") && !strings.Contains(err.Error(), string(rotation.LockedOut)+":")):
			report("a later sweep does not say that the secret is held: %v", err)
		case !held && err != nil:
			report("a later sweep fails: %v", err)
		}
	}
	found = append(found, w.Settled(w.policy.Grace)...)
	if held {
		again := revocation.Request{Mode: revocation.Release, Secret: "etl"}
		err := w.send(m, again)
		if c.deed.byHand != nothing && err != nil {
			// What was stored by hand would be alive again.
			again.IncludeForeign = true
			err = w.send(m, again)
		}
		if err != nil {
			report("it cannot be released: %v", err)
		}
	}
	if !w.works(m, w.current(m).ClientSecret) {
		found = append(found, estatetest.Violation{Invariant: 1, Secret: m.Name, What: "at the end AWSCURRENT does not authenticate"})
	}
	found = append(found, w.found...)
	w.ResetCalls()
	if err := sweep(); err != nil {
		report("the last sweep fails: %v", err)
	}
	if changes := w.Changes(); len(changes) > 0 {
		report("the last sweep still changes something: %v", changes)
	}
	if n := w.Leaks(w.log.String() + strings.Join(w.told, "")); n > 0 {
		found = append(found, estatetest.Violation{Invariant: 6, Secret: m.Name, What: fmt.Sprintf("%d secrets are in log or messages", n)})
	}
	return found
}
