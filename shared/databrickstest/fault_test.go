package databrickstest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/faulttest"
)

// Each kind of failure on the one call that cannot be repeated: what happened
// to the state, and what the caller learned.
func TestFaultsOnCreate(t *testing.T) {
	tests := []struct {
		kind       faulttest.Kind
		made       int
		status     int
		err        error
		kills      int
		retryAfter string
		takes      time.Duration
	}{
		{kind: faulttest.RequestLost, err: io.ErrUnexpectedEOF},
		{kind: faulttest.ReplyLost, made: 1, err: io.ErrUnexpectedEOF},
		{kind: faulttest.Throttled, status: 429, retryAfter: "7"},
		{kind: faulttest.ServerError, status: 500},
		{kind: faulttest.Timeout, err: context.DeadlineExceeded, takes: 10 * time.Second},
		{kind: faulttest.Slow, made: 1, status: 200, takes: 3 * time.Second},
		{kind: faulttest.StaleRead, made: 1, status: 200}, // it is no read
		{kind: faulttest.Kill, err: io.ErrUnexpectedEOF, kills: 1},
		{kind: faulttest.KillAfter, made: 1, err: io.ErrUnexpectedEOF, kills: 1},
	}
	for _, test := range tests {
		t.Run(test.kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, databrickstest.Config{})
				bearer := w.asAdmin()
				kills := 0
				w.Faults().OnKill(func(context.Context, faulttest.Call) { kills++ })
				w.Faults().Add(faulttest.Fault{
					Op: databrickstest.OpAccountCreateSecret, Target: strconv.FormatInt(w.app.ID, 10),
					Kind: test.kind, Delay: 3 * time.Second, RetryAfter: 6500 * time.Millisecond,
				})
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				start := time.Now()
				got := w.send(ctx, http.MethodPost, w.accountSecretsURL(w.app.ID), "Bearer "+bearer, "", `{}`)
				if got.status != test.status || !errors.Is(got.err, test.err) {
					t.Errorf("the caller saw %+v, want %d, %v", got, test.status, test.err)
				}
				if got.status == http.StatusTooManyRequests && got.code() != "REQUEST_LIMIT_EXCEEDED" {
					t.Errorf("throttled as %+v", got)
				}
				if after := got.header.Get("Retry-After"); after != test.retryAfter {
					t.Errorf("Retry-After is %q, want %q", after, test.retryAfter)
				}
				if took := time.Since(start); took != test.takes {
					t.Errorf("took %v, want %v", took, test.takes)
				}
				if n := len(w.Secrets(w.app.ID)); n != test.made {
					t.Errorf("%d secrets were made, want %d", n, test.made)
				}
				if kills != test.kills {
					t.Errorf("killed %d times, want %d", kills, test.kills)
				}
				// The fault is spent.
				if got := w.api(http.MethodPost, w.accountSecretsURL(w.app.ID), bearer, `{}`); got.status != 200 {
					t.Errorf("next create: %+v", got)
				}
			})
		})
	}
}

// Over loopback a lost reply is a closed connection.
func TestReplyLostOnLoopback(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	bearer := w.asAdmin()
	if err := w.Listen(); err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.Faults().Add(faulttest.Fault{Op: databrickstest.OpAccountCreateSecret, Kind: faulttest.ReplyLost})
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, w.accountSecretsURL(w.app.ID), http.NoBody)
	r.Header.Set("Authorization", "Bearer "+bearer)
	r.Body = io.NopCloser(&onceReader{text: `{}`})
	if _, err := http.DefaultTransport.RoundTrip(r); !errors.Is(err, io.EOF) {
		t.Errorf("the caller saw %v, want EOF", err)
	}
	if n := len(w.Secrets(w.app.ID)); n != 1 {
		t.Errorf("%d secrets were made, want 1", n)
	}
}

type onceReader struct{ text string }

func (r *onceReader) Read(p []byte) (int, error) {
	if r.text == "" {
		return 0, io.EOF
	}
	n := copy(p, r.text)
	r.text = r.text[n:]
	return n, nil
}

func TestStaleReads(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	stale := func(op string) {
		w.Faults().Add(faulttest.Fault{Op: op, Kind: faulttest.StaleRead})
	}
	old := w.secret(w.app, databrickstest.SecretSpec{})
	young := w.secret(w.app, databrickstest.SecretSpec{})
	list := func() []string {
		return slices.Concat(w.pages(w.accountSecretsURL(w.app.ID), w.asAdmin())...)
	}
	both := []string{old.ID, young.ID}
	slices.Sort(both)
	w.asAdmin()

	stale(databrickstest.OpAccountListSecrets)
	if diff := cmp.Diff([]string{old.ID}, list()); diff != "" {
		t.Errorf("stale list after a create (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(both, list()); diff != "" {
		t.Errorf("list after a create (-want +got):\n%s", diff)
	}
	stale(databrickstest.OpAccountToken)
	if got := w.token(w.accountTokenURL(), w.app, young.Value, ""); got.status != 401 {
		t.Errorf("stale token request with a new secret: %+v", got)
	}

	// What changes nothing is no write.
	w.SetActive(w.app.ID, true)
	stale(databrickstest.OpAccountListSecrets)
	if diff := cmp.Diff([]string{old.ID}, list()); diff != "" {
		t.Errorf("stale list after a create and no other change (-want +got):\n%s", diff)
	}

	w.DeleteSecret(w.app.ID, old.ID)
	stale(databrickstest.OpAccountListSecrets)
	first := w.api(http.MethodGet, w.accountSecretsURL(w.app.ID), w.asAdmin(), "")
	if rows, _ := first.body["secrets"].([]any); len(rows) != 2 {
		t.Errorf("stale list after a delete: %+v", first)
	}
	stale(databrickstest.OpAccountToken)
	if got := w.token(w.accountTokenURL(), w.app, old.Value, ""); got.status != 200 {
		t.Errorf("stale token request with a deleted secret: %+v", got)
	}

	w.SetActive(w.app.ID, false)
	get := w.accountScimURL() + "/" + strconv.FormatInt(w.app.ID, 10)
	stale(databrickstest.OpAccountGetPrincipal)
	if got := w.api(http.MethodGet, get, w.asAdmin(), ""); got.body["active"] != true {
		t.Errorf("stale get of a deactivated service principal: %+v", got)
	}
	w.DeletePrincipal(w.app.ID)
	stale(databrickstest.OpAccountGetPrincipal)
	if got := w.api(http.MethodGet, get, w.asAdmin(), ""); got.status != 200 {
		t.Errorf("stale get of a deleted service principal: %+v", got)
	}
	if got := w.api(http.MethodGet, get, w.asAdmin(), ""); got.status != 404 {
		t.Errorf("get of a deleted service principal: %+v", got)
	}
}

func TestCallsAreNamed(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	w.asAdmin()
	w.asManager()
	w.Faults().Reset()
	sp := strconv.FormatInt(w.app.ID, 10)
	get := func(target, bearer string) { w.api(http.MethodGet, target, bearer, "") }
	w.token(w.accountTokenURL(), w.app, "x", "")
	w.token(w.workspaceTokenURL(), w.app, "x", "")
	w.api(http.MethodPost, w.accountSecretsURL(w.app.ID), w.asAdmin(), `{}`)
	w.api(http.MethodPost, w.workspaceSecretsURL(w.app.ID), w.asManager(), `{}`)
	get(w.accountSecretsURL(w.app.ID), w.asAdmin())
	get(w.workspaceSecretsURL(w.app.ID), w.asManager())
	w.api(http.MethodDelete, w.accountSecretsURL(w.app.ID)+"/x", w.asAdmin(), "")
	w.api(http.MethodDelete, w.workspaceSecretsURL(w.app.ID)+"/x", "", "")
	get(w.accountScimURL(), w.asAdmin())
	get(w.accountScimURL()+"/"+sp, w.asAdmin())
	get(w.workspaceScimURL(), w.asManager())
	w.api(http.MethodPatch, w.workspaceScimURL()+"/"+sp, w.asManager(), "")
	get(w.workspace.Host()+"/.well-known/databricks-config", "")
	get(w.workspace.Host()+"/nowhere", w.asManager())

	call := func(op, target, caller string, read bool) faulttest.Call {
		return faulttest.Call{Service: "databricks", Op: op, Target: target, Caller: caller, Read: read}
	}
	admin, manager := w.admin.ApplicationID, w.manager.ApplicationID
	want := []faulttest.Call{
		call(databrickstest.OpAccountToken, w.app.ApplicationID, "", true),
		call(databrickstest.OpWorkspaceToken, w.app.ApplicationID, "", true),
		call(databrickstest.OpAccountCreateSecret, sp, admin, false),
		call(databrickstest.OpWorkspaceCreateSecret, sp, manager, false),
		call(databrickstest.OpAccountListSecrets, sp, admin, true),
		call(databrickstest.OpWorkspaceListSecrets, sp, manager, true),
		call(databrickstest.OpAccountDeleteSecret, sp, admin, false),
		call(databrickstest.OpWorkspaceDeleteSecret, sp, "", false),
		call(databrickstest.OpAccountListPrincipals, "", admin, true),
		call(databrickstest.OpAccountGetPrincipal, sp, admin, true),
		call(databrickstest.OpWorkspaceListPrincipals, strconv.FormatInt(w.workspace.ID, 10), manager, true),
		call(databrickstest.OpWorkspacePatchPrincipal, sp, manager, false),
		call(databrickstest.OpDiscoverHost, strconv.FormatInt(w.workspace.ID, 10), "", true),
		call("GET /nowhere", "", manager, true),
	}
	for i := range want {
		want[i].Seq = i + 1
	}
	if diff := cmp.Diff(want, w.Faults().Calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// A hook may use the server, for no lock is held around it.
func TestHooksMayUseTheServer(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	w.asAdmin()
	var before, after int
	w.Faults().OnCall(
		func(faulttest.Call) { before = len(w.Secrets(w.app.ID)) },
		func(faulttest.Call) { after = len(w.Secrets(w.app.ID)) })
	w.api(http.MethodPost, w.accountSecretsURL(w.app.ID), w.asAdmin(), `{}`)
	if before != 0 || after != 1 {
		t.Errorf("hooks saw %d and %d secrets, want 0 and 1", before, after)
	}
}
