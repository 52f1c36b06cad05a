package databrickstest_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databrickstest"
)

func TestUnknownRoutes(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	tests := []struct {
		method, target string
		status         int
		allow          string
	}{
		{http.MethodGet, w.AccountHost() + "/api/2.0/nothing?x=1", 501, ""},
		{http.MethodGet, w.AccountHost() + "/", 501, ""},
		{http.MethodPut, w.accountScimURL() + "/1", 405, "GET, PATCH"},
		{http.MethodGet, w.accountTokenURL(), 405, "POST"},
		{http.MethodGet, w.workspaceTokenURL(), 405, "POST"},
		{http.MethodDelete, w.workspaceSecretsURL(1), 405, "POST, GET"},
		// Each level has its own paths.
		{http.MethodPost, w.AccountHost() + "/oidc/v1/token", 501, ""},
		{http.MethodGet, strings.Replace(w.workspaceSecretsURL(1), w.workspace.Host(), w.AccountHost(), 1), 501, ""},
		{http.MethodGet, strings.Replace(w.accountSecretsURL(1), w.AccountHost(), w.workspace.Host(), 1), 501, ""},
		{http.MethodGet, strings.Replace(w.accountSecretsURL(1), "/1/", "//", 1), 501, ""},
		{http.MethodGet, w.accountSecretsURL(1) + "/", 501, ""},
	}
	var want []string
	for _, test := range tests {
		got := w.send(t.Context(), test.method, test.target, "", "", "")
		path := "/" + strings.SplitN(test.target, "/", 4)[3]
		path, _, _ = strings.Cut(path, "?")
		want = append(want, test.method+" "+path)
		if got.status != test.status || got.header.Get("Allow") != test.allow || !strings.Contains(got.message(), path) {
			t.Errorf("%s %s: %+v, want %d naming the path", test.method, test.target, got, test.status)
		}
	}
	if diff := cmp.Diff(want, w.Unknown()); diff != "" {
		t.Errorf("Unknown (-want +got):\n%s", diff)
	}
}

func TestWorkspaceHeaderIsChecked(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	get := func(id string) int {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, w.workspaceSecretsURL(w.app.ID), http.NoBody)
		r.Header.Set("Authorization", "bearer "+w.asManager())
		r.Header.Set("X-Databricks-Workspace-Id", id)
		reply, err := w.Transport().RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = reply.Body.Close()
		return reply.StatusCode
	}
	if got := get("12"); got != 400 {
		t.Errorf("another workspace's id: %d, want 400", got)
	}
	if got := get(strconv.FormatInt(w.workspace.ID, 10)); got != 200 {
		t.Errorf("the workspace's own id: %d, want 200", got)
	}
}

func TestBodyTooLarge(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	got := w.api(http.MethodPost, w.accountSecretsURL(w.app.ID), w.asAdmin(), strings.Repeat(" ", 1<<20)+"{}")
	if got.status != 400 || got.code() != "MALFORMED_REQUEST" {
		t.Errorf("answered %+v", got)
	}
}
