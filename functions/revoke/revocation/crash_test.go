package revocation_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
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

var errDead = errors.New("process killed")

type process struct {
	engine  *rotation.Engine
	revoker *revocation.Revoker
	dead    atomic.Bool
	ctx     context.Context
	end     context.CancelFunc
}

type mortal struct {
	process *process
	next    http.RoundTripper
}

type processKey struct{}

func (m mortal) RoundTrip(r *http.Request) (*http.Response, error) {
	if m.process.dead.Load() {
		return nil, errDead
	}
	resp, err := m.next.RoundTrip(r.WithContext(context.WithValue(r.Context(), processKey{}, m.process)))
	if m.process.dead.Load() {
		return nil, errDead // the reply reaches nobody
	}
	return resp, err
}

// start makes a process of its own, with as much time as the function has.
func (w *world) start() *process {
	p := &process{}
	p.ctx, p.end = context.WithTimeout(w.t.Context(), 2*time.Minute)
	p.engine, p.revoker = w.wire(w.Client(mortal{p, w.Databricks.Transport()}), managedsecret.Store{
		API: w.SecretsManager("revoke", func(o *secretsmanager.Options) {
			o.HTTPClient = &http.Client{Transport: mortal{p, w.AWS.Transport()}}
		}),
	})
	kill := func(ctx context.Context, _ faulttest.Call) {
		if p, ok := ctx.Value(processKey{}).(*process); ok {
			p.dead.Store(true)
			p.end()
		}
	}
	w.Databricks.Faults().OnKill(kill)
	w.AWS.Faults().OnKill(kill)
	return p
}

// deed is a request, sent in a process of its own.
type deed struct {
	name    string
	request func(c credential.Credential) revocation.Request
}

var deeds = []deed{
	{"replace", func(credential.Credential) revocation.Request {
		return revocation.Request{Mode: revocation.Replace, Secret: "etl"}
	}},
	{"replace by hash", func(c credential.Credential) revocation.Request {
		return revocation.Request{Mode: revocation.Replace, SHA256: c.ClientSecret.SHA256()}
	}},
	{"replace an earlier one", func(c credential.Credential) revocation.Request {
		return revocation.Request{Mode: revocation.Replace, OAuthSecretID: c.Predecessors[0].OAuthSecretID}
	}},
	{"revoke", func(credential.Credential) revocation.Request {
		return revocation.Request{Mode: revocation.Revoke, Secret: "etl"}
	}},
	{"revoke by hash", func(c credential.Credential) revocation.Request {
		return revocation.Request{Mode: revocation.Revoke, SHA256: c.ClientSecret.SHA256()}
	}},
	{"lockout", func(c credential.Credential) revocation.Request {
		return revocation.Request{Mode: revocation.Lockout, ServicePrincipal: c.ClientID}
	}},
	{"release", func(credential.Credential) revocation.Request {
		return revocation.Request{Mode: revocation.Release, Secret: "etl"}
	}},
}

// send sends a request, and holds the reply to what it claims.
func (w *world) send(m *estatetest.Managed, req revocation.Request) error {
	p := w.start()
	defer p.end()
	req.Reason = "drill"
	values, before, listed := w.Values(m), w.current(m), w.Databricks.Secrets(m.Principal.ID)
	w.expect(req, m)
	reply, err := p.revoker.Revoke(p.ctx, req)
	if err == nil && len(reply.Failures) > 0 {
		err = errors.New(reply.Text())
	}
	if err != nil {
		_, _ = w.log.Write([]byte(err.Error()))
		return err
	}
	switch {
	case req.Mode == revocation.Release:
	case req.Mode == revocation.Replace && req.One():
		w.Killed(m, false, slices.DeleteFunc(w.doomed(req, before, listed), func(v string) bool { return !slices.Contains(values, v) })...)
	case req.Mode == revocation.Replace:
		w.Killed(m, false, values...)
	case !w.isHeld(m) && req.One():
		// Nothing was left to do: a sweep has replaced what is named, because
		// the hold could not be set.
		w.Killed(m, false, slices.DeleteFunc(values, func(v string) bool { return v == w.current(m).ClientSecret.Reveal() })...)
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
	isCurrent := slices.ContainsFunc(listed, func(s databrickstest.OAuthSecret) bool { return named(s) && s.ID == before.OAuthSecretID })
	var values []string
	for _, s := range listed {
		if m := w.Managed()[0]; !w.IsForeign(m, s.ID) && (isCurrent || named(s) || s.CreateTime.Before(before.IssuedAt)) {
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
	deed    deed
	service string
	call    faulttest.Call
	fault   faulttest.Fault
}

func (c crashCase) String() string {
	times := "once"
	if c.fault.Times == faulttest.Forever {
		times = "for good"
	}
	return fmt.Sprintf("%s, %s #%d %v %s", c.deed.name, c.call.Op, c.fault.Skip+1, c.fault.Kind, times)
}

func faultsOf(c faulttest.Call) []faulttest.Fault {
	var faults []faulttest.Fault
	for _, kind := range []faulttest.Kind{faulttest.RequestLost, faulttest.ReplyLost, faulttest.Throttled, faulttest.ServerError, faulttest.Timeout} {
		faults = append(faults, faulttest.Fault{Kind: kind}, faulttest.Fault{Kind: kind, Times: faulttest.Forever})
	}
	faults = append(faults, faulttest.Fault{Kind: faulttest.Kill}, faulttest.Fault{Kind: faulttest.KillAfter})
	if c.Read {
		faults = append(faults, faulttest.Fault{Kind: faulttest.StaleRead}, faulttest.Fault{Kind: faulttest.StaleRead, Times: faulttest.Forever})
	}
	for n := range faults {
		faults[n].Op = c.Op
	}
	return faults
}

// prepare makes the state that a deed is for: a current credential, one in
// grace, and a colleague's.
func (w *world) prepare(d deed) *estatetest.Managed {
	m := w.rotated("etl")
	w.MakeByHand(m, 365*day)
	if d.name == "release" {
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
			w.resetCalls()
			w.must(w.send(m, d.request(w.current(m))))
			for service, calls := range map[string][]faulttest.Call{"databricks": w.Databricks.Faults().Calls(), "aws": w.AWS.Faults().Calls()} {
				seen := map[string]int{}
				for _, call := range calls {
					for _, fault := range faultsOf(call) {
						fault.Skip = seen[call.Op]
						cases = append(cases, crashCase{d, service, call, fault})
					}
					seen[call.Op]++
				}
			}
		})
	}
	return cases
}

// A prime, so that every kind of fault meets every kind of call.
var stride = flag.Int("crash.stride", 29, "play every so many cases of the crash matrix")

func TestCrashMatrix(t *testing.T) {
	cases := crashCases(t)
	if len(cases) < 300 {
		t.Errorf("only %d cases: the recording found too few calls", len(cases))
	}
	violations, played := 0, 0
	for n := 0; n < len(cases); n += *stride {
		c := cases[n]
		played++
		synctest.Test(t, func(t *testing.T) {
			for _, v := range runCrashCase(t, c) {
				violations++
				t.Errorf("%v: %v", c, v)
			}
		})
		if violations > 20 {
			t.Fatal("too many violations; the rest is not run")
		}
	}
	t.Logf("crash matrix: %d of %d cases, %d violations", played, len(cases), violations)
}

func runCrashCase(t *testing.T, c crashCase) (found []estatetest.Violation) {
	w := newWorld(t)
	m := w.prepare(c.deed)
	req := c.deed.request(w.current(m))
	report := func(format string, args ...any) {
		found = append(found, estatetest.Violation{Invariant: 8, Secret: m.Name, What: fmt.Sprintf(format, args...)})
	}
	injector := w.Databricks.Faults()
	if c.service == "aws" {
		injector = w.AWS.Faults()
	}
	injector.Add(c.fault)
	err := w.send(m, req)
	w.Databricks.Faults().Clear()
	w.AWS.Faults().Clear()

	sweep := func() error {
		p := w.start()
		defer p.end()
		_, err := p.engine.Sweep(p.ctx, true, false)
		return err
	}
	// A sweep comes in between before anybody sends the request again.
	if err != nil {
		time.Sleep(10 * time.Minute)
		_ = sweep()
		if err := w.send(m, req); err != nil {
			report("the same request, sent again, is not complete: %v", err)
		}
	}
	held := req.Mode == revocation.Revoke || req.Mode == revocation.Lockout
	if held && !w.isHeld(m) {
		if !req.One() || c.call.Op != "TagResource" {
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
		if err := w.send(m, revocation.Request{Mode: revocation.Release, Secret: "etl"}); err != nil {
			report("it cannot be released: %v", err)
		}
	}
	if !w.works(m, w.current(m).ClientSecret) {
		found = append(found, estatetest.Violation{Invariant: 1, Secret: m.Name, What: "at the end AWSCURRENT does not authenticate"})
	}
	found = append(found, w.found...)
	w.resetCalls()
	if err := sweep(); err != nil {
		report("the last sweep fails: %v", err)
	}
	if changes := w.changes(); len(changes) > 0 {
		report("the last sweep still changes something: %v", changes)
	}
	if n := w.Leaks(w.log.String() + strings.Join(w.told, "")); n > 0 {
		found = append(found, estatetest.Violation{Invariant: 6, Secret: m.Name, What: fmt.Sprintf("%d secrets are in log or messages", n)})
	}
	return found
}
