package databricks_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/databrickstest"
)

func TestSecretsLife(t *testing.T) {
	eachLevel(t, func(t *testing.T, f *fleet, l level) {
		ctx := t.Context()
		before := time.Now().Add(-time.Second)
		issued, err := l.client.CreateSecret(ctx, l.host, f.sp(), lifetime, nil)
		if err != nil {
			t.Fatal(err)
		}
		if issued.Lifetime() != lifetime {
			t.Errorf("lives for %v, want %v to the second: it is the fingerprint", issued.Lifetime(), lifetime)
		}
		if issued.CreateTime.Before(before) || issued.Expired(issued.ExpireTime.Add(-1)) || !issued.Expired(issued.ExpireTime) {
			t.Errorf("created at %v, expires at %v", issued.CreateTime, issued.ExpireTime)
		}
		if !f.Authenticates(f.app.ApplicationID, issued.Value.Reveal()) {
			t.Error("the issued value does not authenticate")
		}
		if err := l.client.Verify(ctx, l.host, f.app.ApplicationID, issued.Value, nil); err != nil {
			t.Errorf("Verify: %v", err)
		}
		listed, err := l.client.ListSecrets(ctx, l.host, f.sp())
		if diff := cmp.Diff([]databricks.OAuthSecret{issued.OAuthSecret}, listed, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("ListSecrets (-issued +listed): %v\n%s", err, diff)
		}
		for _, what := range []string{"delete", "delete what is gone"} {
			if err := l.client.DeleteSecret(ctx, l.host, f.sp(), issued.ID); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		err = l.client.Verify(ctx, l.host, f.app.ApplicationID, issued.Value, nil)
		if !errors.Is(err, databricks.ErrRefused) {
			t.Errorf("Verify of a deleted secret: %v, want ErrRefused", err)
		}
	})
}

// Invariant 5: the scopes of a secret are seen, sent and read back.
func TestScopesAreKept(t *testing.T) {
	eachLevel(t, func(t *testing.T, f *fleet, l level) {
		old := f.add(f.app, databrickstest.SecretSpec{Scopes: []string{"sql", "jobs"}})
		listed, err := l.client.ListSecrets(t.Context(), l.host, f.sp())
		if err != nil || len(listed) != 1 || !cmp.Equal(listed[0].Scopes, old.Scopes) {
			t.Fatalf("listed %+v, %v, want scopes %v", listed, err, old.Scopes)
		}
		issued, err := l.client.CreateSecret(t.Context(), l.host, f.sp(), lifetime, listed[0].Scopes)
		if err != nil || !cmp.Equal(issued.Scopes, old.Scopes) {
			t.Fatalf("issued %+v, %v, want scopes %v", issued, err, old.Scopes)
		}
		for _, made := range f.Secrets(f.app.ID) {
			if !cmp.Equal(made.Scopes, old.Scopes) {
				t.Errorf("secret %s has scopes %v", made.ID, made.Scopes)
			}
		}
		if err := l.client.Verify(t.Context(), l.host, f.app.ApplicationID, issued.Value, issued.Scopes); err != nil {
			t.Errorf("Verify with its own scopes: %v", err)
		}
		err = l.client.Verify(t.Context(), l.host, f.app.ApplicationID, issued.Value, []string{"clusters"})
		if !errors.Is(err, databricks.ErrRejected) {
			t.Errorf("Verify with a scope that it lacks: %v, want ErrRejected", err)
		}
		f.IgnoreScopes(true)
		wide, err := l.client.CreateSecret(t.Context(), l.host, f.sp(), lifetime, []string{"sql"})
		if err != nil || len(wide.Scopes) > 0 {
			t.Errorf("a host that ignores scopes must show as one: %v, %v", wide.Scopes, err)
		}
	})
}

// The simulator's second page is always empty, and pages hold two secrets.
func TestListGoesOverAllPages(t *testing.T) {
	eachLevel(t, func(t *testing.T, f *fleet, l level) {
		want := map[string]bool{}
		for range databricks.MaxSecrets {
			want[f.add(f.app, databrickstest.SecretSpec{}).ID] = true
		}
		listed, err := l.client.ListSecrets(t.Context(), l.host, f.sp())
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for _, s := range listed {
			got[s.ID] = true
		}
		if diff := cmp.Diff(want, got); diff != "" || len(listed) != databricks.MaxSecrets {
			t.Errorf("%d listed (-made +listed):\n%s", len(listed), diff)
		}
		if pages := f.count(l.list); pages < 4 {
			t.Errorf("%d pages: the list did not pass an empty one", pages)
		}
	})
}

func TestSecretThatDoesNotExpire(t *testing.T) {
	f := newFleet(t)
	l := f.account()
	f.add(f.app, databrickstest.SecretSpec{NoExpiry: true})
	listed, err := l.client.ListSecrets(t.Context(), l.host, f.sp())
	if err != nil || len(listed) != 1 {
		t.Fatalf("%+v, %v", listed, err)
	}
	if s := listed[0]; !s.ExpireTime.IsZero() || s.Lifetime() != 0 || s.Expired(time.Now().AddDate(100, 0, 0)) {
		t.Errorf("%+v lives for %v", s, s.Lifetime())
	}
	if got := (databricks.OAuthSecret{ExpireTime: time.Now()}).Lifetime(); got != 0 {
		t.Errorf("a secret of unknown age has the lifetime %v, which could pass for a fingerprint", got)
	}
}

// Invariant 4: a full principal is refused for certain, and nothing is made.
func TestCreateOnFullPrincipal(t *testing.T) {
	eachLevel(t, func(t *testing.T, f *fleet, l level) {
		for range databricks.MaxSecrets {
			f.add(f.app, databrickstest.SecretSpec{})
		}
		_, err := l.client.CreateSecret(t.Context(), l.host, f.sp(), lifetime, nil)
		if !errors.Is(err, databricks.ErrRejected) || errors.Is(err, databricks.ErrUncertain) {
			t.Errorf("%v, want ErrRejected", err)
		}
		if n := f.count(l.create); n != 1 {
			t.Errorf("%d requests: the SDK takes this refusal for a throttle", n)
		}
	})
}

func TestMissingPrincipal(t *testing.T) {
	f := newFleet(t)
	l := f.account()
	if _, err := l.client.ListSecrets(t.Context(), l.host, "12"); !errors.Is(err, databricks.ErrNotFound) {
		t.Errorf("ListSecrets: %v, want ErrNotFound", err)
	}
	if _, err := l.client.CreateSecret(t.Context(), l.host, "12", lifetime, nil); !errors.Is(err, databricks.ErrNotFound) {
		t.Errorf("CreateSecret: %v, want ErrNotFound", err)
	}
}
