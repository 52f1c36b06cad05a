package databricks_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
)

var looksSecret = regexp.MustCompile(`(dose|dapi|dkea|doau|eyJ)[A-Za-z0-9._~+/-]{6,}`)

// FuzzReply has a host answer with arbitrary bytes. Nothing panics, no error
// shows a credential or the body of a success (invariant 6), and a secret that
// is taken from a reply can be recorded.
func FuzzReply(f *testing.F) {
	f.Fuzz(func(t *testing.T, status uint16, body string) {
		code := 200 + int(status%400)
		synctest.Test(t, func(t *testing.T) {
			c, host, _ := stub(t, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, code, body) })
			listed, listErr := c.ListSecrets(t.Context(), host, "4711")
			issued, createErr := c.CreateSecret(t.Context(), host, "4711", lifetime, nil)
			_, findErr := c.FindPrincipal(t.Context(), host, "app")
			for _, err := range []error{listErr, createErr, findErr} {
				if err == nil {
					continue
				}
				if text := err.Error(); looksSecret.MatchString(text) || len(text) > 600 {
					t.Errorf("%d: the error shows a credential, or too much: %q", code, text)
				}
				if code < 300 && len(body) >= 12 && strings.Contains(err.Error(), body) {
					t.Errorf("%d: the error shows the body: %q", code, err)
				}
			}
			if createErr == nil && issued.Value.IsZero() {
				t.Error("a secret without a value was taken for one")
			}
			for _, s := range append(listed, issued.OAuthSecret) {
				if strings.ContainsAny(s.ID, " =\n\x00") || s.ID == "" && createErr == nil {
					t.Errorf("the id %q cannot be recorded", s.ID)
				}
				_ = s.Lifetime()
			}
		})
	})
}
