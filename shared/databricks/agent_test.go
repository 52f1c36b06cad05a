package databricks_test

import (
	"net/http"
	"testing"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/secret"
)

// In the usage log a trial of a credential must not pass for a reader of it.
func TestAgent(t *testing.T) {
	c, host, _ := stub(t, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, `{"id":"1"}`) })
	transport, ok := c.Transport.(faulttest.Transport)
	if !ok {
		t.Fatalf("%T", c.Transport)
	}
	var agents []string
	c.Transport = faulttest.Transport{Route: func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/oidc/v1/token" {
				agents = append(agents, r.UserAgent())
			}
			transport.Route(name).ServeHTTP(w, r)
		})
	}}
	if err := c.Verify(t.Context(), host, "app", secret.New("dose0123456789"), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Principal(t.Context(), host, "1"); err != nil {
		t.Fatal(err)
	}
	if len(agents) != 2 || agents[0] != databricks.Agent || agents[1] != databricks.Agent {
		t.Errorf("authenticated as %q, want %q twice", agents, databricks.Agent)
	}
}
