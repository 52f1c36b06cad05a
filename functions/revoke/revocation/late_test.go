package revocation_test

import (
	"strings"
	"testing"
	"time"

	"databricks-credential-rotation/functions/revoke/revocation"
	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
)

// What somebody has stored a moment ago may not show yet to a revocation whose
// reads lag, or only once it has replaced what it saw. Then it says so.
func TestStoredByHandShowsLate(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Scopes: []string{"sql"}})
		time.Sleep(hour)
		w.must(w.StoreByHand(w.t.Context(), m, 365*day))
		stored := w.current(m).ClientSecret
		time.Sleep(time.Second)
		w.AWS.Faults().Add(faulttest.Fault{Kind: faulttest.StaleRead, Times: faulttest.Forever})
		req := revocation.Request{Mode: revocation.Replace, Secret: m.Name, Reason: "seen in a log"}
		w.expect(req, m)
		reply, err := w.revoker.Revoke(w.t.Context(), req)
		w.must(err)
		if !w.works(m, stored) {
			t.Fatal("it is dead, so reads did not lag")
		}
		if text := reply.Text(); reply.Complete || !strings.Contains(text, "what was current of etl is still accepted: its OAuth secret's id was never recorded") {
			t.Errorf("the reply says\n%s", text)
		}
	})
}

// What a list showed first and then not was not deleted, and nobody can tell
// whether it is gone.
func TestNamedIsListedNoMore(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.rotated("etl")
		named, ok := w.MakeByHand(m, 365*day)
		if !ok {
			t.Fatal("there is no room")
		}
		// A list takes two requests.
		w.Databricks.Faults().Add(faulttest.Fault{Op: databrickstest.OpAccountListSecrets, Kind: faulttest.StaleRead, Skip: 2, Times: faulttest.Forever})
		w.MayGo(m)
		req := revocation.Request{Mode: revocation.Revoke, OAuthSecretID: named.ID, IncludeForeign: true, Reason: "seen in a log"}
		reply, err := w.revoker.Revoke(w.t.Context(), req)
		w.must(err)
		if text := reply.Text(); reply.Complete || !strings.Contains(text, named.ID+" is not listed any more and was not deleted here") {
			t.Errorf("the reply says\n%s", text)
		}
		w.Databricks.Faults().Clear()
		if reply := w.revoke(req, m); !reply.Complete || w.Databricks.Authenticates(m.Principal.ApplicationID, named.Value) {
			t.Errorf("the same request, sent again, says\n%s", reply.Text())
		}
	})
}

// A replacement that finds no room, because what could make it may be about to
// become current, says until when.
func TestNoRoomForNow(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Fresh: true})
		w.sweep("")
		for range 3 {
			w.MakeByHand(m, 365*day)
		}
		time.Sleep(hour)
		w.must(w.engine.RunStep(w.t.Context(), rotation.StepRequest{Step: rotation.CreateSecret, SecretID: m.ARN, Token: token}))
		req := revocation.Request{Mode: revocation.Replace, Secret: m.Name, Reason: "seen in a log"}
		w.expect(req, m)
		for range 2 {
			reply, err := w.revoker.Revoke(w.t.Context(), req)
			w.must(err)
			if text := reply.Text(); reply.Complete || !strings.Contains(text, "made no room for another; it does from "+w.Now().Add(rotation.OrphanAge).UTC().Format("2006-01-02T15:")) {
				t.Errorf("the reply says\n%s", text)
			}
		}
		time.Sleep(rotation.OrphanAge)
		w.revoke(req, m)
	})
}
