package databrickstest_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"databricks-credential-rotation/shared/databrickstest"
)

func TestLagReads(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	target := w.accountSecretsURL(w.app.ID)
	for range 3 {
		w.secret(w.app, databrickstest.SecretSpec{})
	}
	w.asAdmin()
	count := func() int { return len(slices.Concat(w.pages(target, w.asAdmin())...)) }
	if n := count(); n != 3 {
		t.Fatalf("%d listed before the lag, want 3", n)
	}
	w.LagReads(true)
	if n := count(); n != 3 {
		t.Errorf("%d listed without a write, want 3", n)
	}

	made := w.api(http.MethodPost, target, w.asAdmin(), `{}`)
	value, _ := made.body["secret"].(string)
	id, _ := made.body["id"].(string)
	if first, second := count(), count(); first != 3 || second != 4 {
		t.Errorf("listings after a create show %d and %d, want 3 and 4", first, second)
	}
	if w.Authenticates(w.app.ApplicationID, value) {
		t.Error("the truth says that an unseen secret authenticates")
	}
	var statuses []int
	for range 3 {
		statuses = append(statuses, w.token(w.accountTokenURL(), w.app, value, "").status)
	}
	if !slices.Equal(statuses, []int{401, 200, 200}) {
		t.Errorf("token requests with a new secret: %v, want one refusal", statuses)
	}

	w.api(http.MethodDelete, target+"/"+id, w.asAdmin(), "")
	if got := w.api(http.MethodDelete, target+"/"+id, w.asAdmin(), ""); got.status != 404 {
		t.Errorf("writes lag too: %+v", got)
	}
	// All pages of the first listing are of one state.
	if first, second := count(), count(); first != 4 || second != 3 {
		t.Errorf("listings after a delete show %d and %d, want 4 and 3", first, second)
	}
	if n := len(w.Secrets(w.app.ID)); n != 3 {
		t.Errorf("the truth lags: %d", n)
	}

	w.LagReads(false)
	w.secret(w.app, databrickstest.SecretSpec{})
	if n := count(); n != 4 {
		t.Errorf("%d listed after the lag, want 4", n)
	}
}

// A listing that has begun goes on; the one that begins after the write lags.
func TestLagReadsAmidAListing(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	w.LagReads(true)
	target := w.accountSecretsURL(w.manager.ID)
	first := w.api(http.MethodGet, target+"?page_size=1", w.asAdmin(), "")
	token, _ := first.body["next_page_token"].(string)
	w.secret(w.manager, databrickstest.SecretSpec{})
	w.api(http.MethodGet, target+"?page_size=1&page_token="+token, w.asAdmin(), "")
	if n := len(slices.Concat(w.pages(target, w.asAdmin())...)); n != 1 {
		t.Errorf("%d listed, want the 1 from before the write", n)
	}
}

func TestRateLimit(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	target := w.accountSecretsURL(w.app.ID)
	w.asAdmin()
	list := func() answer { return w.api(http.MethodGet, target, w.asAdmin(), "") }
	burst := func(n int) (ok int, last answer) {
		for range n {
			if last = list(); last.status == http.StatusOK {
				ok++
			}
		}
		return ok, last
	}
	w.RateLimit(4)
	ok, last := burst(10)
	if ok != 4 || last.status != 429 || last.code() != "REQUEST_LIMIT_EXCEEDED" || last.header.Get("Retry-After") != "1" {
		t.Errorf("%d of a burst were served, and then %+v", ok, last)
	}
	if got := w.token(w.accountTokenURL(), w.app, "x", ""); got.status != 429 || got.code() != "REQUEST_LIMIT_EXCEEDED" {
		t.Errorf("token request over the limit: %+v", got)
	}
	if got := w.send(t.Context(), http.MethodGet, w.AccountHost()+"/.well-known/databricks-config", "", "", ""); got.status != 200 {
		t.Errorf("discovery over the limit: %+v", got)
	}
	w.clock.advance(500 * time.Millisecond)
	if ok, _ := burst(10); ok != 2 {
		t.Errorf("%d were served after half a second, want 2", ok)
	}
	w.clock.advance(time.Minute)
	if ok, _ := burst(10); ok != 4 {
		t.Errorf("%d were served after a minute, want the 4 of a burst", ok)
	}
	w.RateLimit(0)
	if ok, _ := burst(10); ok != 10 {
		t.Errorf("%d were served without a limit, want 10", ok)
	}
}

func TestRateLimitCreates(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	w.RateLimitCreates(1)
	target := w.accountSecretsURL(w.app.ID)
	create := func() int { return w.api(http.MethodPost, target, w.asAdmin(), `{}`).status }
	if first, second := create(), create(); first != 200 || second != 429 {
		t.Errorf("creates: %d, %d, want 200, 429", first, second)
	}
	if got := w.api(http.MethodGet, target, w.asAdmin(), ""); got.status != 200 {
		t.Errorf("list under a limit of creates: %+v", got)
	}
	w.clock.advance(time.Second)
	if got := create(); got != 200 {
		t.Errorf("create a second later: %d", got)
	}
	if n := w.Throttled(); n != 1 {
		t.Errorf("%d requests were over a limit, want 1", n)
	}
}

func TestRefuseNew(t *testing.T) {
	s := databrickstest.New(databrickstest.Config{})
	p := s.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "etl"})
	before, err := s.AddSecret(p.ID, databrickstest.SecretSpec{})
	if err != nil {
		t.Fatal(err)
	}
	s.RefuseNew(true)
	useless, err := s.AddSecret(p.ID, databrickstest.SecretSpec{})
	if err != nil {
		t.Fatal(err)
	}
	s.RefuseNew(false)
	if !s.Authenticates(p.ApplicationID, before.Value) || s.Authenticates(p.ApplicationID, useless.Value) {
		t.Error("RefuseNew refuses the wrong secret")
	}
}
