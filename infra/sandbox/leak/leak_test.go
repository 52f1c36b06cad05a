package leak_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/infra/sandbox/leak"
)

func TestLook(t *testing.T) {
	const (
		secret = "dose0123456789abcdef0123456789abcdef"
		token  = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
		jwt    = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJhcm46YXdzOmlhbSJ9.c2ln"
	)
	tests := map[string]struct {
		texts map[string]string
		want  []string
	}{
		"clean":                    {map[string]string{"log": "dose0123456789abcdef0123456789abcde and nothing else"}, nil},
		"whole text":               {map[string]string{"log": secret}, []string{"log"}},
		"within a word":            {map[string]string{"log": "xx" + secret + "yy"}, []string{"log"}},
		"twice counts once":        {map[string]string{"log": secret + " " + secret}, []string{"log"}},
		"two values, two texts":    {map[string]string{"log": token + secret, "error": token, "screen": ""}, []string{"error", "log", "log"}},
		"web token of any content": {map[string]string{"log": "subject_token=" + jwt}, []string{"log"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := leak.Look([]string{secret, token, secret, "short"}, test.texts)
			if diff := cmp.Diff(test.want, got.Found); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
			bytes := 0
			for _, text := range test.texts {
				bytes += len(text)
			}
			if got.Values != 2 || got.Bytes != bytes {
				t.Errorf("looked for %d values in %d bytes, want 2 in %d", got.Values, got.Bytes, bytes)
			}
		})
	}
}
