package revocation_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"databricks-credential-rotation/functions/revoke/revocation"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/fingerprint"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/secret"
)

func TestMain(m *testing.M) {
	flag.Parse()
	fixed := true
	flag.Visit(func(f *flag.Flag) { fixed = fixed && f.Name != "rapid.seed" })
	if fixed {
		_ = flag.Set("rapid.seed", "1") // so that a test that fails does so again
	}
	os.Exit(m.Run())
}

// past is something that has happened to a principal of two managed secrets
// before a request comes.
type past int

const (
	sweep past = iota
	wait
	makeByHand
	storeByHand
	rewriteByHand
	pasteByHand
	deleteCurrent
	deleteAny
	copyIt
	storeInCopy
	replaceIt
	revokeIt
	revokeAll
	lockItOut
	releaseIt
)

// drill is a past, a request, and what fails while it is carried out.
type drill struct {
	Past []past
	Mode revocation.Mode
	// Selector is the kind of selector, and Pick which of those there are.
	Selector, Pick int
	Foreign        bool
	// Fault is an operation that fails meanwhile, empty for none. A list does
	// not fail but lag.
	Fault string
}

var drills = rapid.Custom(func(t *rapid.T) drill {
	return drill{
		Past:     rapid.SliceOfN(rapid.SampledFrom([]past{sweep, wait, makeByHand, storeByHand, rewriteByHand, pasteByHand, deleteCurrent, deleteAny, copyIt, storeInCopy, replaceIt, revokeIt, revokeAll, lockItOut, releaseIt}), 0, 7).Draw(t, "past"),
		Mode:     rapid.SampledFrom([]revocation.Mode{revocation.Replace, revocation.Replace, revocation.Revoke, revocation.Revoke, revocation.Lockout, revocation.Release}).Draw(t, "mode"),
		Selector: rapid.IntRange(0, 4).Draw(t, "selector"),
		Pick:     rapid.IntRange(0, 7).Draw(t, "pick"),
		Foreign:  rapid.Bool().Draw(t, "foreign"),
		Fault:    rapid.SampledFrom([]string{"", "", databrickstest.OpAccountCreateSecret, databrickstest.OpAccountDeleteSecret, databrickstest.OpAccountToken, databrickstest.OpAccountListSecrets, "PutSecretValue", "TagResource"}).Draw(t, "fault"),
	}
})

// Whatever has happened to a principal, a revocation keeps its promises:
//
//   - what it says is complete has ended what it was asked to end;
//   - it deletes nothing that nobody has recorded and that does not carry our
//     fingerprint, unless it is named, or asked to;
//   - while it replaces, whoever reads AWSCURRENT of any managed secret gets
//     what authenticates, if it did so before and is not held (invariant 1);
//   - a managed secret that it does not name in its reply is left as it was;
//   - what it has done when it is complete, its dry run has said;
//   - what has ended stays dead, through sweeps and releases; and after a release
//     that is complete readers have what authenticates.
func TestPromises(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := drills.Draw(rt, "drill")
		var broken []string
		synctest.Test(t, func(t *testing.T) { broken = (&promises{world: newWorld(t)}).play(d) })
		if len(broken) > 0 {
			rt.Fatalf("%+v:\n%s", d, strings.Join(broken, "\n"))
		}
	})
}

type promises struct {
	*world
	m, twin *estatetest.Managed
	// ended are the values that complete revocations have ended.
	ended []string
	// lags tells that Databricks' list lags: what it does not show and no
	// version holds, nobody can know of.
	lags bool
}

func (p *promises) play(d drill) []string {
	p.m = p.register(estatetest.Registration{Name: "etl", AccountLevel: true, Scopes: []string{"sql"}})
	for _, what := range d.Past {
		time.Sleep(10 * time.Minute)
		p.happen(what)
	}
	time.Sleep(10 * time.Minute)
	req, ok := p.request(d)
	if !ok {
		return nil
	}
	var broken []string
	report := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }

	before := p.Databricks.Secrets(p.m.Principal.ID)
	worked := map[*estatetest.Managed]bool{}
	for _, m := range p.secrets() {
		// A copy of what etl has replaced lives as long as its grace lasts, and
		// each issue for etl retires it.
		copied := slices.ContainsFunc(p.current(p.m).Predecessors, func(pred credential.Predecessor) bool {
			s, _ := p.Secret(p.m, pred.OAuthSecretID)
			return m == p.twin && s.Value == p.current(m).ClientSecret.Reveal()
		})
		worked[m] = !copied && !p.isHeld(m) && p.works(p.m, p.current(m).ClientSecret)
	}
	p.lags = d.Fault == databrickstest.OpAccountListSecrets
	foreign, doomed := p.foreign(before), p.doomed(req, before)

	req.DryRun = true
	plan, err := p.revoker.Revoke(p.t.Context(), req)
	if err != nil {
		return nil // it is refused, and other tests say by right
	}
	req.DryRun = false
	if d.Fault != "" {
		fault := faulttest.Fault{Op: d.Fault, Kind: faulttest.ServerError, Times: faulttest.Forever}
		switch d.Fault {
		case databrickstest.OpAccountToken:
			fault.Target = p.m.Principal.ApplicationID
		case databrickstest.OpAccountListSecrets:
			fault.Kind = faulttest.StaleRead
		}
		p.Databricks.Faults().Add(fault)
		p.AWS.Faults().Add(fault)
	}
	if req.Mode == revocation.Replace {
		watch := func(c faulttest.Call) {
			for m, did := range worked {
				if did && !p.works(p.m, p.current(m).ClientSecret) && len(broken) == 0 {
					report("after %s AWSCURRENT of %s does not authenticate any more", c.Op, m.Name)
				}
			}
		}
		p.Databricks.Faults().OnCall(watch, watch)
		p.AWS.Faults().OnCall(watch, watch)
	}
	reply, err := p.revoker.Revoke(p.t.Context(), req)
	p.Databricks.Faults().Clear()
	p.AWS.Faults().Clear()
	p.Databricks.Faults().OnCall(nil, nil)
	p.AWS.Faults().OnCall(nil, nil)
	if err != nil {
		if d.Fault == "" {
			report("it is refused, and the dry run is not: %v", err)
		}
		return broken
	}
	if d.Fault == "" && reply.Complete {
		if diff := cmp.Diff(actions(plan), actions(reply)); diff != "" {
			report("plan and deed differ (-plan +done):\n%s", diff)
		}
	}
	after := map[string]bool{}
	for _, s := range p.Databricks.Secrets(p.m.Principal.ID) {
		after[s.ID] = true
	}
	for _, s := range before {
		switch {
		case !after[s.ID] && slices.Contains(foreign, s.ID) && !req.IncludeForeign && s.ID != req.OAuthSecretID:
			report("%s is gone, which is somebody else's", s.ID)
		case reply.Complete && slices.Contains(doomed, s.ID) && p.Databricks.Authenticates(p.m.Principal.ApplicationID, s.Value):
			report("it says that it is complete, and %s still works", s.ID)
		}
	}
	for m, did := range worked {
		if did && !slices.Contains(reply.Secrets, m.Name) && req.Mode != revocation.Lockout && !p.works(p.m, p.current(m).ClientSecret) {
			report("%s, which it is not about, has nothing that works", m.Name)
		}
	}
	if reply.Complete && req.Mode == revocation.Release && (d.Fault == "" || len(reply.Steps) > 0) {
		for _, m := range p.secrets() {
			if (req.Secret == "" || m == p.m) && !p.works(p.m, p.current(m).ClientSecret) {
				report("%s is released, and has nothing that works", m.Name)
			}
		}
	}
	if reply.Complete {
		p.end(req, before)
	}
	if len(broken) > 0 {
		broken = append(broken, reply.Text())
	}
	for _, what := range []past{sweep, releaseIt, sweep} {
		time.Sleep(hour)
		p.happen(what)
		for _, value := range p.ended {
			if p.Databricks.Authenticates(p.m.Principal.ApplicationID, value) {
				report("after %s: what has ended authenticates again", map[past]string{sweep: "a sweep", releaseIt: "a release"}[what])
			}
		}
	}
	return broken
}

// end notes what a request has ended. What a lockout has only switched off
// comes back with its release, if nobody has recorded it.
func (p *promises) end(req revocation.Request, before []databrickstest.OAuthSecret) {
	if req.Mode == revocation.Release {
		return
	}
	meant := p.secrets()
	if req.Secret != "" && req.Mode != revocation.Lockout {
		meant = meant[:1]
	}
	values, _ := p.recorded(meant...)
	doomed := p.doomed(req, before)
	for _, s := range before {
		if slices.Contains(doomed, s.ID) && (req.Mode != revocation.Lockout || values[s.Value] || req.IncludeForeign && !p.lags) {
			p.ended = append(p.ended, s.Value)
		}
	}
}

// send sends a request that is part of the past.
func (p *promises) send(req revocation.Request) {
	req.Secret, req.Reason = "etl", "drill"
	before := p.Databricks.Secrets(p.m.Principal.ID)
	if reply, err := p.revoker.Revoke(p.t.Context(), req); err == nil && reply.Complete {
		p.end(req, before)
	}
}

func (p *promises) secrets() []*estatetest.Managed {
	if p.twin == nil {
		return []*estatetest.Managed{p.m}
	}
	return []*estatetest.Managed{p.m, p.twin}
}

func (p *promises) happen(what past) {
	live := p.Databricks.Secrets(p.m.Principal.ID)
	switch what {
	case sweep:
		_, _ = p.engine.Sweep(p.t.Context(), true, false)
	case wait:
		time.Sleep(p.policy.Interval)
	case makeByHand:
		p.MakeByHand(p.m, 365*day)
	case storeByHand:
		p.must(p.StoreByHand(p.t.Context(), p.m, 365*day))
	case rewriteByHand:
		p.must(p.RewriteByHand(p.t.Context(), p.m))
	case pasteByHand:
		if made, ok := p.MakeByHand(p.m, 365*day); ok {
			p.edit(p.m, func(value map[string]string) { value[credential.KeyClientSecret] = made.Value })
		}
	case deleteCurrent:
		for _, s := range live {
			if s.Value == p.current(p.m).ClientSecret.Reveal() {
				p.DeleteByHand(p.m, s.ID)
			}
		}
	case deleteAny:
		if len(live) > 0 {
			p.DeleteByHand(p.m, live[0].ID)
		}
	case copyIt:
		if p.twin == nil {
			v, _ := p.AWS.Current(p.m.Name)
			arn, err := p.AWS.CreateSecret("twin", v.Value, map[string]string{managedsecret.TagKey: managedsecret.TagValue})
			p.must(err)
			p.twin = &estatetest.Managed{Name: "twin", ARN: arn}
		}
	case replaceIt:
		p.send(revocation.Request{Mode: revocation.Replace})
	case revokeIt:
		p.send(revocation.Request{Mode: revocation.Revoke})
	case revokeAll:
		p.send(revocation.Request{Mode: revocation.Revoke, IncludeForeign: true})
	case lockItOut:
		p.send(revocation.Request{Mode: revocation.Lockout})
	case releaseIt:
		p.send(revocation.Request{Mode: revocation.Release})
	case storeInCopy:
		if made, ok := p.MakeByHand(p.m, 365*day); ok && p.twin != nil {
			p.edit(p.twin, func(value map[string]string) {
				value[credential.KeyClientSecret] = made.Value
				delete(value, credential.KeyOAuthSecretID)
			})
		}
	}
}

// values are those that the versions of some managed secrets hold, and the ids
// beside them.
func (p *promises) recorded(secrets ...*estatetest.Managed) (values, ids map[string]bool) {
	values, ids = map[string]bool{}, map[string]bool{}
	for _, m := range secrets {
		for _, v := range p.AWS.Versions(m.Name) {
			if c, err := credential.Parse(secret.New(v.Value)); err == nil {
				values[c.ClientSecret.Reveal()], ids[c.OAuthSecretID] = true, true
				for _, pred := range c.Predecessors {
					ids[pred.OAuthSecretID] = true
				}
			}
		}
	}
	return values, ids
}

// foreign are those that people made and whose ids are recorded nowhere. Some
// of them may be what is stored by hand, but nobody can know which.
func (p *promises) foreign(listed []databrickstest.OAuthSecret) []string {
	_, ids := p.recorded(p.secrets()...)
	var foreign []string
	for _, s := range listed {
		ours := slices.ContainsFunc(p.secrets(), func(m *estatetest.Managed) bool {
			return fingerprint.Matches(m.ARN, s.ExpireTime.Sub(s.CreateTime))
		})
		if !ids[s.ID] && !ours {
			foreign = append(foreign, s.ID)
		}
	}
	return foreign
}

// doomed are those that a request is to end: the one that is named, or what
// versions hold.
func (p *promises) doomed(req revocation.Request, listed []databrickstest.OAuthSecret) []string {
	meant := p.secrets()
	if req.Secret != "" && req.Mode != revocation.Lockout {
		meant = meant[:1]
	}
	values, _ := p.recorded(meant...)
	var doomed []string
	for _, s := range listed {
		if req.Mode == revocation.Release {
			return nil
		}
		named := s.ID == req.OAuthSecretID || secret.New(s.Value).SHA256() == req.SHA256
		if named || req.Mode == revocation.Lockout || !req.One() && (values[s.Value] || req.IncludeForeign && !p.lags && len(meant) == len(p.secrets())) {
			doomed = append(doomed, s.ID)
		}
	}
	return doomed
}

func (p *promises) request(d drill) (revocation.Request, bool) {
	req := revocation.Request{Mode: d.Mode, IncludeForeign: d.Foreign, Reason: "drill"}
	live := p.Databricks.Secrets(p.m.Principal.ID)
	switch d.Selector {
	case 0, 1:
		req.Secret = "etl"
	case 2:
		req.ServicePrincipal = p.m.Principal.ApplicationID
	case 3:
		if len(live) == 0 || d.Mode == revocation.Release {
			return req, false
		}
		req.OAuthSecretID = live[d.Pick%len(live)].ID
	case 4:
		if d.Mode == revocation.Release {
			return req, false
		}
		values, _ := p.recorded(p.secrets()...)
		var hashes []string
		for v := range values {
			hashes = append(hashes, secret.New(v).SHA256())
		}
		slices.Sort(hashes)
		req.SHA256 = hashes[d.Pick%len(hashes)]
	}
	return req, true
}
