package revocation_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/revoke/revocation"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/faulttest"
)

func rotatorIs(clientID string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return clientID, nil }
}

// tokenIDs are the live tokens of the workspace, sorted.
func (w *world) tokenIDs() []string {
	var ids []string
	for _, t := range w.Databricks.Tokens(w.Workspace) {
		ids = append(ids, t.ID)
	}
	slices.Sort(ids)
	return ids
}

func sorted(ids ...string) []string {
	slices.Sort(ids)
	return ids
}

func TestTokens(t *testing.T) {
	type people struct{ ann, bob databrickstest.Person }
	for name, test := range map[string]struct {
		request func(p people, tokens []databrickstest.Token) revocation.Request
		gone    []int
	}{
		"one": {func(_ people, tokens []databrickstest.Token) revocation.Request {
			return revocation.Request{TokenID: tokens[1].ID}
		}, []int{1}},
		"all of a person": {func(p people, _ []databrickstest.Token) revocation.Request {
			return revocation.Request{TokensOf: "ann@example.com"}
		}, []int{0, 1}},
		"all of a person by another spelling": {func(p people, _ []databrickstest.Token) revocation.Request {
			return revocation.Request{TokensOf: "Ann@Example.com"}
		}, []int{0, 1}},
		"all of a person by id": {func(p people, _ []databrickstest.Token) revocation.Request {
			return revocation.Request{TokensOf: strconv.FormatInt(p.bob.ID, 10)}
		}, []int{2}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				var p people
				p.ann = w.Databricks.AddPerson(databrickstest.PersonSpec{UserName: "ann@example.com"})
				p.bob = w.Databricks.AddPerson(databrickstest.PersonSpec{UserName: "bob@example.com"})
				var tokens []databrickstest.Token
				for _, id := range []int64{p.ann.ID, p.ann.ID, p.bob.ID} {
					w.Databricks.Assign(id, w.Workspace, false)
					token, err := w.Databricks.AddToken(w.Workspace, id, databrickstest.TokenSpec{Lifetime: 90 * day})
					w.must(err)
					tokens = append(tokens, token)
				}
				req := test.request(p, tokens)
				req.Mode, req.Host = revocation.Revoke, w.Workspace.Host()
				before := w.tokenIDs()

				req.DryRun = true
				w.ResetCalls()
				plan := w.revoke(req)
				if changes := w.Changes(); len(changes) > 0 {
					t.Errorf("a dry run changes %v", changes)
				}
				req.DryRun = false
				done := w.revoke(req)
				if diff := cmp.Diff(actions(plan), actions(done)); diff != "" {
					t.Errorf("plan and deed differ (-plan +done):\n%s", diff)
				}
				var want []string
				for n, token := range tokens {
					if !slices.Contains(test.gone, n) {
						want = append(want, token.ID)
					}
				}
				if diff := cmp.Diff(sorted(want...), w.tokenIDs()); diff != "" {
					t.Errorf("left of %v (-want +got):\n%s", before, diff)
				}
				if !strings.Contains(w.told[0], "Databricks credentials: revoke complete") {
					t.Errorf("told: %s", w.told)
				}
			})
		})
	}
}

// A token that an admin made for a principal is the principal's. Of the admin
// it is told, and left.
func TestTokensMadeForOthers(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.rotated("etl")
		ann := w.Databricks.AddPerson(databrickstest.PersonSpec{UserName: "ann@example.com"})
		w.Databricks.Assign(ann.ID, w.Workspace, true)
		own, err := w.Databricks.AddToken(w.Workspace, ann.ID, databrickstest.TokenSpec{Lifetime: 90 * day})
		w.must(err)
		made, err := w.Databricks.AddToken(w.Workspace, m.Principal.ID, databrickstest.TokenSpec{Lifetime: 90 * day, CreatedBy: ann.ID})
		w.must(err)
		reply := w.revoke(revocation.Request{Mode: revocation.Revoke, TokensOf: "ann@example.com", Host: w.Workspace.Host()})
		if diff := cmp.Diff([]string{"delete token " + own.ID}, actions(reply)); diff != "" {
			t.Error(diff)
		}
		if len(reply.Alive) != 1 || !strings.Contains(reply.Alive[0].What, made.ID) {
			t.Errorf("still alive: %v", reply.Alive)
		}
		reply = w.revoke(revocation.Request{Mode: revocation.Revoke, TokensOf: m.Principal.ApplicationID, Host: w.Workspace.Host()})
		if diff := cmp.Diff([]string{"delete token " + made.ID}, actions(reply)); diff != "" {
			t.Error(diff)
		}
		if len(w.tokenIDs()) > 0 {
			t.Error("tokens are left")
		}
	})
}

// A token that cannot be deleted is named, and does not stop the others.
func TestTokensFail(t *testing.T) {
	inWorld(t, func(w *world) {
		ann := w.Databricks.AddPerson(databrickstest.PersonSpec{UserName: "ann@example.com"})
		w.Databricks.Assign(ann.ID, w.Workspace, false)
		for range 3 {
			_, err := w.Databricks.AddToken(w.Workspace, ann.ID, databrickstest.TokenSpec{Lifetime: 90 * day})
			w.must(err)
			time.Sleep(time.Second)
		}
		stuck := w.Databricks.Tokens(w.Workspace)[1].ID
		w.Databricks.Faults().Add(faulttest.Fault{Op: databrickstest.OpDeleteToken, Target: stuck, Kind: faulttest.ServerError, Times: faulttest.Forever})
		payload := []byte(`{"mode":"revoke","tokens_of":"ann@example.com","host":"` + w.Workspace.Host() + `","reason":"laptop stolen"}`)
		_, err := w.revoker.Handle(w.t.Context(), payload)
		if err == nil {
			t.Fatal("the invocation does not fail")
		}
		for _, part := range []string{"NOT COMPLETE", "delete token " + stuck, "it could not be deleted", "send the same request again"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("the error does not say %q:\n%v", part, err)
			}
		}
		if diff := cmp.Diff([]string{stuck}, w.tokenIDs()); diff != "" {
			t.Error(diff)
		}
		w.Databricks.Faults().Clear()
		if _, err := w.revoker.Handle(w.t.Context(), payload); err != nil || len(w.tokenIDs()) > 0 {
			t.Errorf("once more: %v, left %v", err, w.tokenIDs())
		}
	})
}

func TestOwnTokensAreProtected(t *testing.T) {
	inWorld(t, func(w *world) {
		token, err := w.Databricks.AddToken(w.Workspace, w.Rotator.ID, databrickstest.TokenSpec{Lifetime: 90 * day})
		w.must(err)
		host := w.Workspace.Host()
		w.refuse(revocation.Request{Mode: revocation.Revoke, TokenID: token.ID, Host: host}, "the identity by which this product works")
		w.refuse(revocation.Request{Mode: revocation.Revoke, TokensOf: w.Rotator.ApplicationID, Host: host}, "the identity by which this product works")
		w.revoke(revocation.Request{
			Mode: revocation.Revoke, TokensOf: w.Rotator.ApplicationID, Host: host, Acknowledge: []revocation.Acknowledgement{revocation.OwnIdentity},
		})
		if len(w.tokenIDs()) > 0 {
			t.Error("the token is still there")
		}
	})
}

// Whoever holds one token can make others. One that is made while they are
// deleted is told, and ends with the same request.
func TestTokenMadeMeanwhile(t *testing.T) {
	inWorld(t, func(w *world) {
		ann := w.Databricks.AddPerson(databrickstest.PersonSpec{UserName: "ann@example.com"})
		w.Databricks.Assign(ann.ID, w.Workspace, false)
		_, err := w.Databricks.AddToken(w.Workspace, ann.ID, databrickstest.TokenSpec{Lifetime: 90 * day})
		w.must(err)
		var made databrickstest.Token
		w.Databricks.Faults().OnCall(w.sample, func(c faulttest.Call) {
			if c.Op == databrickstest.OpDeleteToken && made.ID == "" {
				made, err = w.Databricks.AddToken(w.Workspace, ann.ID, databrickstest.TokenSpec{Lifetime: 90 * day})
			}
		})
		req := revocation.Request{Mode: revocation.Revoke, TokensOf: "ann@example.com", Host: w.Workspace.Host(), Reason: "drill"}
		reply, refused := w.revoker.Revoke(w.t.Context(), req)
		w.must(errors.Join(err, refused))
		if want := "personal access token " + made.ID + " was made meanwhile"; reply.Complete || !strings.Contains(reply.Text(), want) {
			t.Errorf("it does not say %q:\n%s", want, reply.Text())
		}
		if reply := w.revoke(req); len(w.tokenIDs()) > 0 {
			t.Errorf("%v are left:\n%s", w.tokenIDs(), reply.Text())
		}
	})
}
