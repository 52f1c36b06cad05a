package revocation_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"databricks-credential-rotation/functions/revoke/revocation"
	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
)

// Two runs at once, in every order: one of them is played in full between any
// two calls of the other.

// other is what comes in between.
type other struct {
	name string
	run  func(w *world, p *process, m *estatetest.Managed) error
}

var others = []other{
	{"a sweep", func(_ *world, p *process, _ *estatetest.Managed) error {
		_, err := p.engine.Sweep(p.Ctx, true, false)
		return err
	}},
	{"a rotation that is asked for", func(_ *world, p *process, m *estatetest.Managed) error {
		_, err := p.engine.Rotate(p.Ctx, "direct", rotation.RotateRequest{Secrets: []string{m.Name}, Force: true})
		return err
	}},
	{"a rotation by protocol", func(_ *world, p *process, m *estatetest.Managed) error {
		for _, step := range []rotation.Step{rotation.CreateSecret, rotation.SetSecret, rotation.TestSecret, rotation.FinishSecret} {
			if err := p.engine.RunStep(p.Ctx, rotation.StepRequest{Step: step, SecretID: m.ARN, Token: token}); err != nil {
				return err
			}
		}
		return nil
	}},
}

// token is that of a rotation by Secrets Manager.
var token = strings.Repeat("t", 36)

// between plays second between the nth call of first and the one after it. It
// returns false if first makes fewer calls.
func (w *world) between(n int, first, second func() error) bool {
	calls, played := 0, false
	hook := func(c faulttest.Call) {
		w.sample(c)
		if calls++; calls == n && !played {
			played = true
			_ = second()
		}
	}
	w.Databricks.Faults().OnCall(w.sample, hook)
	w.AWS.Faults().OnCall(w.sample, hook)
	_ = first()
	w.Databricks.Faults().OnCall(w.sample, w.sample)
	w.AWS.Faults().OnCall(w.sample, w.sample)
	return played
}

// orderStride plays every so many orders.
func orderStride() int { return max(1, *stride/4) }

// Invariants 1, 3 and 8: whatever comes in between, a replacement leaves one
// working credential, and what was revoked stays dead.
func TestInterleaved(t *testing.T) {
	played := 0
	for _, d := range deeds {
		if strings.HasPrefix(d.name, "release") {
			continue
		}
		for _, o := range others {
			for _, revocationFirst := range []bool{false, true} {
				for n := 1 + played%orderStride(); ; n += orderStride() {
					more := false
					var found []string
					synctest.Test(t, func(t *testing.T) {
						more, found = interleave(t, d, o, revocationFirst, n)
					})
					if !more {
						break
					}
					played++
					for _, what := range found {
						t.Errorf("%s and %s, revocation begins first: %v, after call %d: %s", d.name, o.name, revocationFirst, n, what)
					}
				}
			}
		}
	}
	if played < 500/orderStride() {
		t.Errorf("only %d orders were played", played)
	}
	t.Logf("%d orders", played)
}

func interleave(t *testing.T, d deed, o other, revocationFirst bool, n int) (more bool, found []string) {
	w := newWorld(t)
	m := w.prepare(d)
	if !d.begun && d.crowd == 0 { // else all is as it was prepared
		time.Sleep(w.policy.Interval) // so that a sweep has something to do
	}
	if d.name == "replace an earlier one" {
		_, _ = w.engine.Sweep(w.t.Context(), true, false)
	}
	req := w.request(d, m)
	revoke := func() error { return w.send(m, req) }
	rotate := func() error {
		p := w.start()
		defer p.End()
		return o.run(w, p, m)
	}
	if revocationFirst {
		more = w.between(n, revoke, rotate)
	} else {
		more = w.between(n, rotate, revoke)
	}
	if !more {
		return false, nil
	}
	held := w.isHeld(m)
	if want := req.Mode != revocation.Replace && !req.One(); want && !held {
		found = append(found, "the secret is not held")
	}
	for range 3 {
		time.Sleep(26 * time.Hour)
		_, err := w.engine.Sweep(w.t.Context(), true, false)
		if err != nil && !held {
			found = append(found, "a later sweep fails: "+err.Error())
		}
	}
	for _, v := range slices.Concat(w.found, w.Settled(w.policy.Grace)) {
		found = append(found, v.String())
	}
	if works := w.works(m, w.current(m).ClientSecret); works == held && !d.open {
		found = append(found, fmt.Sprintf("held: %v, and AWSCURRENT works: %v", held, works))
	}
	return true, found
}
