package databricks_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/secret"
)

const (
	rotatorSecret = "dose+rotator/secret=0123456789"
	accessToken   = "opaque.access-token~0123456789"
)

// stub is a client of a host that hands out access tokens and leaves the rest
// to the handler, whose calls are counted.
func stub(t *testing.T, api http.HandlerFunc) (*databricks.Client, databricks.Host, *int) {
	t.Helper()
	calls := new(int)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/oidc/") {
			writeJSON(w, http.StatusOK, `{"access_token":"`+accessToken+`","token_type":"Bearer","expires_in":3600}`)
			return
		}
		*calls++
		api(w, r)
	})
	return &databricks.Client{
		Allowed: allow(t, "https://stub.example.com"),
		Identity: databricks.Stored{Read: func(context.Context) (string, secret.Text, error) {
			return "rotator", secret.New(rotatorSecret), nil
		}},
		Transport: faulttest.Transport{Route: func(string) http.Handler { return handler }},
	}, databricks.Host{URL: "https://stub.example.com"}, calls
}

func writeJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}
