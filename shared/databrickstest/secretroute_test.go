package databrickstest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databrickstest"
)

func (w *world) accountSecretsURL(sp int64) string {
	return fmt.Sprintf("%s/api/2.0/accounts/%s/servicePrincipals/%d/credentials/secrets", w.AccountHost(), w.AccountID(), sp)
}

func (w *world) workspaceSecretsURL(sp int64) string {
	return fmt.Sprintf("%s/api/2.0/accounts/servicePrincipals/%d/credentials/secrets", w.workspace.Host(), sp)
}

func TestCreateSecret(t *testing.T) {
	tests := []struct {
		name, body string
		status     int
		code       string
		says       string
		lifetime   time.Duration
		scopes     []string
	}{
		{name: "defaults", body: `{}`, status: 200, lifetime: databrickstest.MaxLifetime},
		{name: "shortest", body: `{"lifetime":"1s"}`, status: 200, lifetime: time.Second},
		{name: "longest", body: `{"lifetime":"63072000s"}`, status: 200, lifetime: databrickstest.MaxLifetime},
		{
			name: "scopes", body: `{"lifetime":"60s","scopes":["sql","files"]}`, status: 200,
			lifetime: time.Minute, scopes: []string{"sql", "files"},
		},
		{name: "no scopes", body: `{"lifetime":"60s","scopes":[]}`, status: 200, lifetime: time.Minute},
		{name: "zero", body: `{"lifetime":"0s"}`, status: 400, code: "INVALID_PARAMETER_VALUE", says: "from 1s to 63072000s"},
		{name: "too long", body: `{"lifetime":"63072001s"}`, status: 400, code: "INVALID_PARAMETER_VALUE", says: "63072001s"},
		{name: "negative", body: `{"lifetime":"-5s"}`, status: 400, code: "INVALID_PARAMETER_VALUE", says: "-5s"},
		{name: "no unit", body: `{"lifetime":"86400"}`, status: 400, code: "INVALID_PARAMETER_VALUE", says: "whole seconds"},
		{name: "fraction", body: `{"lifetime":"1.5s"}`, status: 400, code: "INVALID_PARAMETER_VALUE", says: "whole seconds"},
		{name: "overflow", body: `{"lifetime":"99999999999999999999s"}`, status: 400, code: "INVALID_PARAMETER_VALUE"},
		{name: "empty scope", body: `{"scopes":[""]}`, status: 400, code: "INVALID_PARAMETER_VALUE", says: "scope"},
		{name: "two scopes in one", body: `{"scopes":["sql files"]}`, status: 400, code: "INVALID_PARAMETER_VALUE", says: "sql files"},
		{name: "unknown field", body: `{"life":"60s"}`, status: 400, code: "INVALID_PARAMETER_VALUE", says: `"life"`},
		{name: "wrong type", body: `{"lifetime":60}`, status: 400, code: "MALFORMED_REQUEST", says: "lifetime"},
		{name: "not JSON", body: `lifetime=60s`, status: 400, code: "MALFORMED_REQUEST"},
		{name: "empty", body: ``, status: 400, code: "MALFORMED_REQUEST", says: "empty"},
		{name: "two values", body: `{}{}`, status: 400, code: "MALFORMED_REQUEST", says: "goes on"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, databrickstest.Config{})
			got := w.api(http.MethodPost, w.accountSecretsURL(w.app.ID), w.asAdmin(), test.body)
			if got.status != test.status || got.code() != test.code || !strings.Contains(got.message(), test.says) {
				t.Fatalf("answered %+v, want %d %s saying %q", got, test.status, test.code, test.says)
			}
			secrets := w.Secrets(w.app.ID)
			if test.status != http.StatusOK {
				if len(secrets) > 0 {
					t.Errorf("a refused create made %+v", secrets)
				}
				return
			}
			made := secrets[0]
			want := map[string]any{
				"id": made.ID, "secret": made.Value, "secret_hash": made.Hash, "status": "ACTIVE",
				"create_time": "2027-03-01T09:00:00.000Z", "update_time": "2027-03-01T09:00:00.000Z",
				"expire_time": w.clock.now.Add(test.lifetime).Format("2006-01-02T15:04:05.000Z"),
			}
			if test.scopes != nil {
				want["scopes"] = []any{"sql", "files"}
			}
			if diff := cmp.Diff(want, got.body); diff != "" {
				t.Errorf("reply (-want +got):\n%s", diff)
			}
			if made.CreatedBy != w.admin.ApplicationID || !slices.Equal(made.Scopes, test.scopes) {
				t.Errorf("made %+v", made)
			}
		})
	}
}

func TestSixthSecretIsRefused(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	for range 4 {
		w.secret(w.app, databrickstest.SecretSpec{})
	}
	short := w.secret(w.app, databrickstest.SecretSpec{Lifetime: time.Hour})
	create := func() answer {
		return w.api(http.MethodPost, w.accountSecretsURL(w.app.ID), w.asAdmin(), `{}`)
	}
	if got := create(); got.status != http.StatusBadRequest || got.code() != "RESOURCE_EXHAUSTED" {
		t.Fatalf("sixth: %+v", got)
	}
	if _, err := w.AddSecret(w.app.ID, databrickstest.SecretSpec{}); err == nil {
		t.Error("a person makes a sixth")
	}
	if n := len(w.Secrets(w.app.ID)); n != 5 {
		t.Fatalf("%d secrets, want 5", n)
	}

	// One that has expired makes room, to the second.
	w.clock.advance(time.Hour - time.Millisecond)
	if !w.Authenticates(w.app.ApplicationID, short.Value) {
		t.Error("a secret ends before its expiry")
	}
	w.clock.advance(time.Millisecond)
	if w.Authenticates(w.app.ApplicationID, short.Value) {
		t.Error("a secret authenticates at its expiry")
	}
	w.adminBearer = "" // expired as well
	if got := create(); got.status != http.StatusOK {
		t.Errorf("sixth after an expiry: %+v", got)
	}
}

// pages walks a listing by its tokens and returns the ids page by page.
func (w *world) pages(target, bearer string) [][]string {
	w.t.Helper()
	var all [][]string
	token := ""
	for range 20 {
		query := url.Values{}
		if token != "" {
			query.Set("page_token", token)
		}
		got := w.api(http.MethodGet, target+"?"+query.Encode(), bearer, "")
		if got.status != http.StatusOK {
			w.t.Fatalf("list: %+v", got)
		}
		var page []string
		rows, _ := got.body["secrets"].([]any)
		for _, row := range rows {
			fields, _ := row.(map[string]any)
			if fields["secret"] != nil {
				w.t.Errorf("a listing shows a value: %v", fields)
			}
			id, _ := fields["id"].(string)
			page = append(page, id)
		}
		all = append(all, page)
		if token, _ = got.body["next_page_token"].(string); token == "" {
			return all
		}
	}
	w.t.Fatal("the listing does not end")
	return nil
}

func TestListIsPaged(t *testing.T) {
	for n, want := range [][]int{
		0: {0},
		1: {1},
		2: {2, 0},
		3: {2, 0, 1},
		4: {2, 0, 2, 0},
		5: {2, 0, 2, 1},
	} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := newWorld(t, databrickstest.Config{})
			var ids []string
			for range n {
				ids = append(ids, w.secret(w.app, databrickstest.SecretSpec{}).ID)
			}
			slices.Sort(ids)
			var sizes []int
			var listed []string
			for _, page := range w.pages(w.accountSecretsURL(w.app.ID), w.asAdmin()) {
				sizes = append(sizes, len(page))
				listed = append(listed, page...)
			}
			if diff := cmp.Diff(want, sizes); diff != "" {
				t.Errorf("page sizes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(ids, listed); diff != "" {
				t.Errorf("ids (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPageTokenIsChecked(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	for range 3 {
		w.secret(w.app, databrickstest.SecretSpec{})
	}
	target := w.accountSecretsURL(w.app.ID)
	first := w.api(http.MethodGet, target+"?page_size=1", w.asAdmin(), "")
	token, _ := first.body["next_page_token"].(string)
	other := w.accountSecretsURL(w.manager.ID)
	for name, bad := range map[string]string{
		"nonsense":                    target + "?page_token=xyz",
		"of another principal":        other + "?page_size=1&page_token=" + token,
		"with another size":           target + "?page_size=2&page_token=" + token,
		"size of zero":                target + "?page_size=0",
		"size of words":               target + "?page_size=ten",
		"parameter given twice":       target + "?page_size=1&page_size=1",
		"parameter that is not known": target + "?limit=1",
	} {
		t.Run(name, func(t *testing.T) {
			if got := w.api(http.MethodGet, bad, w.asAdmin(), ""); got.status != 400 || got.code() != "INVALID_PARAMETER_VALUE" {
				t.Errorf("answered %+v", got)
			}
		})
	}
	if got := w.api(http.MethodGet, target+"?page_size=1&page_token="+token, w.asAdmin(), ""); got.status != 200 {
		t.Errorf("the token itself: %+v", got)
	}
	for size, want := range map[string]int{"1": 1, "2": 2, "100": 2} {
		got := w.api(http.MethodGet, target+"?page_size="+size, w.asAdmin(), "")
		if rows, _ := got.body["secrets"].([]any); len(rows) != want {
			t.Errorf("page_size %s: a page of %d, want %d", size, len(rows), want)
		}
	}
}

func TestListGoesOnAfterChanges(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	for range 3 {
		w.secret(w.app, databrickstest.SecretSpec{})
	}
	target := w.accountSecretsURL(w.app.ID)
	first := w.api(http.MethodGet, target, w.asAdmin(), "")
	token, _ := first.body["next_page_token"].(string)
	for _, o := range w.Secrets(w.app.ID) {
		w.DeleteSecret(w.app.ID, o.ID)
	}
	got := w.api(http.MethodGet, target+"?page_token="+token, w.asAdmin(), "")
	if diff := cmp.Diff(map[string]any{}, got.body); diff != "" {
		t.Errorf("next page of a list that was emptied (-want +got):\n%s", diff)
	}
}

func TestExpiredSecrets(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	dead := w.secret(w.app, databrickstest.SecretSpec{
		Lifetime: time.Hour, CreateTime: w.clock.now.Add(-2 * time.Hour),
	})
	forever := w.secret(w.app, databrickstest.SecretSpec{NoExpiry: true, CreateTime: w.clock.now.AddDate(-9, 0, 0)})
	target := w.accountSecretsURL(w.app.ID)
	remove := func() int {
		return w.api(http.MethodDelete, target+"/"+dead.ID, w.asAdmin(), "").status
	}

	if got := w.pages(target, w.asAdmin()); !cmp.Equal(got, [][]string{{forever.ID}}) {
		t.Errorf("listed %q, want the living one", got)
	}
	row := w.api(http.MethodGet, target, w.asAdmin(), "").body["secrets"].([]any)[0].(map[string]any)
	if _, ok := row["expire_time"]; ok {
		t.Errorf("a secret without expiry shows one: %v", row)
	}
	if !w.Authenticates(w.app.ApplicationID, forever.Value) {
		t.Error("a secret without expiry does not authenticate")
	}
	if got := remove(); got != http.StatusNotFound {
		t.Errorf("delete of an expired secret: %d, want 404", got)
	}

	w.ListExpired(true)
	if n := len(slices.Concat(w.pages(target, w.asAdmin())...)); n != 2 {
		t.Errorf("listed %d with the expired, want 2", n)
	}
	if got := w.Secrets(w.app.ID); len(got) != 1 {
		t.Errorf("the truth lists the expired: %+v", got)
	}
	if got := remove(); got != http.StatusOK {
		t.Errorf("delete of a listed expired secret: %d", got)
	}
}

func TestIgnoreScopes(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	w.IgnoreScopes(true)
	got := w.api(http.MethodPost, w.accountSecretsURL(w.app.ID), w.asAdmin(), `{"scopes":["sql"]}`)
	if _, ok := got.body["scopes"]; got.status != 200 || ok || w.Secrets(w.app.ID)[0].Scopes != nil {
		t.Errorf("answered %+v and made %+v, want an unrestricted secret", got, w.Secrets(w.app.ID))
	}
}

func TestDeleteSecret(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	o := w.secret(w.app, databrickstest.SecretSpec{})
	w.secret(w.manager, databrickstest.SecretSpec{})
	target := w.accountSecretsURL(w.app.ID)
	got := w.api(http.MethodDelete, target+"/"+w.Secrets(w.manager.ID)[0].ID, w.asAdmin(), "")
	if got.status != 404 || got.code() != "RESOURCE_DOES_NOT_EXIST" {
		t.Errorf("delete of another's secret: %+v", got)
	}
	if got := w.api(http.MethodDelete, target+"/"+o.ID, w.asAdmin(), `{}`); got.status != 400 {
		t.Errorf("delete with a body: %+v", got)
	}
	got = w.api(http.MethodDelete, target+"/"+o.ID+"?", w.asAdmin(), "")
	if diff := cmp.Diff(map[string]any{}, got.body); got.status != 200 || diff != "" {
		t.Errorf("delete: %+v", got)
	}
	if w.Authenticates(w.app.ApplicationID, o.Value) {
		t.Error("a deleted secret authenticates")
	}
	if len(w.Secrets(w.manager.ID)) != 2 {
		t.Error("another's secret is gone")
	}
}
