package credential_test

import (
	"testing"

	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/secret"
)

// Which OAuth secret a client secret is of is known from the first value that
// recorded both, and never from an id that was left beside another one.
func TestLedger(t *testing.T) {
	type value struct{ clientSecret, id string }
	tests := map[string]struct {
		noted []value
		want  map[string]string
	}{
		"nothing noted":                   {nil, map[string]string{"a": ""}},
		"recorded":                        {[]value{{"a", "1"}, {"b", "2"}}, map[string]string{"a": "1", "b": "2", "c": ""}},
		"put back without its id":         {[]value{{"a", "1"}, {"b", "2"}, {"a", ""}}, map[string]string{"a": "1", "b": "2"}},
		"id known later":                  {[]value{{"a", ""}, {"a", "1"}}, map[string]string{"a": "1"}},
		"pasted over one, whose id stays": {[]value{{"a", "1"}, {"b", "1"}}, map[string]string{"a": "1", "b": ""}},
		"pasted over one, and then named": {[]value{{"a", "1"}, {"b", "1"}, {"b", "2"}}, map[string]string{"a": "1", "b": "2"}},
		"two ids of one":                  {[]value{{"a", "1"}, {"a", "2"}}, map[string]string{"a": "1"}},
		"an id of a second id is free":    {[]value{{"a", "1"}, {"a", "2"}, {"b", "2"}}, map[string]string{"a": "1", "b": "2"}},
		"a registration":                  {[]value{{"", "1"}, {"a", "1"}}, map[string]string{"a": "1"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var l credential.Ledger
			for _, v := range test.noted {
				l.Note(credential.Credential{ClientSecret: secret.New(v.clientSecret), OAuthSecretID: v.id})
			}
			for clientSecret, want := range test.want {
				if got := l.Of(secret.New(clientSecret)).OAuthSecretID; got != want {
					t.Errorf("%s is of OAuth secret %q, want %q", clientSecret, got, want)
				}
			}
		})
	}
}
