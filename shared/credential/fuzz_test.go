package credential_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/secret"
)

// FuzzParse reads arbitrary text. Nothing panics, no error shows a part of the
// input (invariant 6), and what parses is written so that it parses to the
// same (invariant 5).
func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		c, err := credential.Parse(secret.New(text))
		if err != nil {
			if shown := shows(err.Error(), text); shown != "" {
				t.Errorf("the error %q shows %q", err, shown)
			}
			return
		}
		encoded, err := c.Encode()
		if err != nil {
			if len(text) <= credential.MaxSize/2 {
				t.Fatalf("what parses does not encode: %v", err)
			}
			return
		}
		again, err := credential.Parse(encoded)
		if err != nil {
			t.Fatalf("what was encoded does not parse: %v", err)
		}
		if diff := cmp.Diff(c, again, equal); diff != "" {
			t.Errorf("encoding changed (-before +after):\n%s", diff)
		}
		twice, err := again.Encode()
		if err != nil || !twice.Equal(encoded) {
			t.Errorf("encoding again gives another text, %v", err)
		}
	})
}

// shows returns a string of the input that the error repeats. What has no
// digits may be the error's own words; every credential has some.
func shows(err, text string) string {
	err = strings.ReplaceAll(err, "2026-03-01T03:00:00Z", "") // the example
	found := []string{text}
	dec := json.NewDecoder(strings.NewReader(text))
	for {
		token, tokenErr := dec.Token()
		if tokenErr != nil {
			break
		}
		if s, ok := token.(string); ok {
			found = append(found, s)
		}
	}
	for _, s := range found {
		if len(s) >= 8 && strings.ContainsAny(s, "0123456789") && strings.Contains(err, s) {
			return s
		}
	}
	return ""
}
