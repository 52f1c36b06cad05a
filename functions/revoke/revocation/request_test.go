package revocation_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/revoke/revocation"
)

func TestParseRequest(t *testing.T) {
	hash := strings.Repeat("0a", 32)
	tests := map[string]struct {
		payload string
		want    revocation.Request
	}{
		"a managed secret": {
			`{"mode":"replace","secret":"prod/etl","reason":"seen in a log"}`,
			revocation.Request{Mode: revocation.Replace, Secret: "prod/etl", Reason: "seen in a log"},
		},
		"an ARN": {
			`{"mode":"revoke","secret":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/etl-a1b2c3","reason":"r"}`,
			revocation.Request{Mode: revocation.Revoke, Secret: "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/etl-a1b2c3", Reason: "r"},
		},
		"a principal with everything": {
			`{"mode":"lockout","service_principal":"nightly loads","host":"https://accounts.cloud.databricks.com",
			  "account_id":"6d1c2a4e-9f30-4b57-8f0e-2b7c51d8a930","include_foreign":true,"dry_run":true,
			  "acknowledge":["rotator","last-admin"],"reason":"r","requested_by":"m. huber"}`,
			revocation.Request{
				Mode: revocation.Lockout, ServicePrincipal: "nightly loads", Host: "https://accounts.cloud.databricks.com",
				AccountID: "6d1c2a4e-9f30-4b57-8f0e-2b7c51d8a930", IncludeForeign: true, DryRun: true,
				Acknowledge: []revocation.Acknowledgement{revocation.OwnIdentity, revocation.LastAdmin}, Reason: "r", RequestedBy: "m. huber",
			},
		},
		"a hash": {
			`{"mode":"replace","sha256":"` + hash + `","reason":"r"}`,
			revocation.Request{Mode: revocation.Replace, SHA256: hash, Reason: "r"},
		},
		"an OAuth secret": {
			`{"mode":"revoke","oauth_secret_id":"9fe0","reason":"r"}`,
			revocation.Request{Mode: revocation.Revoke, OAuthSecretID: "9fe0", Reason: "r"},
		},
		"a token": {
			`{"mode":"revoke","token_id":"12ab","host":"https://dbc-1.cloud.databricks.com","reason":"r"}`,
			revocation.Request{Mode: revocation.Revoke, TokenID: "12ab", Host: "https://dbc-1.cloud.databricks.com", Reason: "r"},
		},
		"all tokens of a person": {
			`{"mode":"revoke","tokens_of":"ann@example.com","host":"https://dbc-1.cloud.databricks.com","reason":"r"}`,
			revocation.Request{Mode: revocation.Revoke, TokensOf: "ann@example.com", Host: "https://dbc-1.cloud.databricks.com", Reason: "r"},
		},
		"release": {
			`{"mode":"release","secret":"prod/etl","reason":"clean again"}`,
			revocation.Request{Mode: revocation.Release, Secret: "prod/etl", Reason: "clean again"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := revocation.ParseRequest([]byte(test.payload))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseRequestRefuses(t *testing.T) {
	const (
		secret = "dose0123456789abcdef0123456789abcdef"
		tail   = "; nothing was changed"
		place  = "secret, service_principal, oauth_secret_id, sha256, token_id, tokens_of"
	)
	tests := map[string]struct{ payload, want string }{
		"no object":      {`[]`, "request: it must be a JSON object" + tail},
		"nothing":        {``, "request: it must be a JSON object" + tail},
		"cut off":        {`{"mode":"revoke"`, "request: it is not valid JSON" + tail},
		"more behind":    {`{"mode":"revoke"} {}`, "request: there is more behind the JSON object" + tail},
		"unknown field":  {`{"mode":"revoke","secret":"s","reason":"r","dryrun":true}`, "request: dryrun is not a known field" + tail},
		"another case":   {`{"mode":"revoke","secret":"s","reason":"r","Secret":"t"}`, "request: Secret is not a known field" + tail},
		"odd field":      {`{"mode":"revoke","secret":"s","reason":"r","a b":1}`, "request: a field is not known, and its name is not shown" + tail},
		"secret field":   {`{"mode":"revoke","secret":"s","reason":"r","` + secret + `":1}`, "request: a field is not known, and its name is not shown" + tail},
		"twice":          {`{"mode":"revoke","secret":"s","secret":"t","reason":"r"}`, "request: secret is given twice" + tail},
		"wrong type":     {`{"mode":"revoke","secret":["s"],"reason":"r"}`, "request: secret must be a string" + tail},
		"null":           {`{"mode":"revoke","secret":null,"reason":"r"}`, "request: secret must be a string" + tail},
		"not a flag":     {`{"mode":"revoke","secret":"s","reason":"r","dry_run":"yes"}`, "request: dry_run must be true or false" + tail},
		"not a list":     {`{"mode":"revoke","secret":"s","reason":"r","acknowledge":"rotator"}`, "request: acknowledge must be a list of strings" + tail},
		"no mode":        {`{"secret":"s","reason":"r"}`, "request: mode is missing: replace, revoke, lockout or release" + tail},
		"unknown mode":   {`{"mode":"kill","secret":"s","reason":"r"}`, "request: mode must be replace, revoke, lockout or release" + tail},
		"no selector":    {`{"mode":"revoke","reason":"r"}`, "request: a selector is missing: say what leaked by one of " + place + tail},
		"two selectors":  {`{"mode":"revoke","secret":"s","service_principal":"p","reason":"r"}`, "request: secret and service_principal exclude each other: give one selector" + tail},
		"no reason":      {`{"mode":"revoke","secret":"s"}`, "request: reason is missing: say in a few words why, for the trail" + tail},
		"blank reason":   {`{"mode":"revoke","secret":"s","reason":" "}`, "request: reason is missing: say in a few words why, for the trail" + tail},
		"two lines":      {`{"mode":"revoke","secret":"s","reason":"a\nb"}`, "request: reason must be one line of printable text" + tail},
		"escapes":        {`{"mode":"revoke","secret":"s","reason":"r","requested_by":"\u001b[31m"}`, "request: requested_by must be one line of printable text" + tail},
		"long reason":    {`{"mode":"revoke","secret":"s","reason":"` + strings.Repeat("r", 501) + `"}`, "request: reason must have at most 500 bytes" + tail},
		"secret reason":  {`{"mode":"revoke","secret":"s","reason":"` + secret + ` leaked"}`, "request: reason holds what looks like a credential itself: leave it out" + tail},
		"secret as hash": {`{"mode":"revoke","sha256":"` + secret + `","reason":"r"}`, "request: sha256 holds what looks like a credential itself: send its hash as sha256, and treat the value as leaked to wherever this event is kept" + tail},
		"short hash":     {`{"mode":"revoke","sha256":"00","reason":"r"}`, "request: sha256 must be 64 hex digits in lower case: the hash of the value, never the value" + tail},
		"odd secret":     {`{"mode":"revoke","secret":"a b","reason":"r"}`, "request: secret must be the name or ARN of a secret" + tail},
		"odd id":         {`{"mode":"revoke","oauth_secret_id":"../x","reason":"r"}`, "request: oauth_secret_id must be an OAuth secret's id, of letters and digits" + tail},
		"odd token id":   {`{"mode":"revoke","token_id":"a/b","host":"https://h.example","reason":"r"}`, "request: token_id must be a token's id, of letters and digits" + tail},
		"token nowhere":  {`{"mode":"revoke","token_id":"1","reason":"r"}`, "request: host is missing: the URL of the workspace that the token belongs to" + tail},
		"token replaced": {`{"mode":"replace","token_id":"1","host":"https://h.example","reason":"r"}`, "request: mode must be revoke for a personal access token: nobody but its holder can put another in its place" + tail},
		"hash released":  {`{"mode":"release","oauth_secret_id":"1","reason":"r"}`, "request: oauth_secret_id cannot be released: name the secret or the service_principal" + tail},
		"odd host":       {`{"mode":"revoke","service_principal":"p","host":"h.example/x","reason":"r"}`, "request: host must be a URL such as https://dbc-1a2b.cloud.databricks.com, without a path" + tail},
		"odd account":    {`{"mode":"revoke","service_principal":"p","host":"https://h.example","account_id":"7","reason":"r"}`, "request: account_id must be a UUID in lower case" + tail},
		"lone account":   {`{"mode":"revoke","service_principal":"p","account_id":"6d1c2a4e-9f30-4b57-8f0e-2b7c51d8a930","reason":"r"}`, "request: account_id needs host, the account console's URL" + tail},
		"token account":  {`{"mode":"revoke","token_id":"1","host":"https://h.example","account_id":"6d1c2a4e-9f30-4b57-8f0e-2b7c51d8a930","reason":"r"}`, "request: account_id does not go with personal access tokens: host must be the workspace that they belong to" + tail},
		"acknowledge":    {`{"mode":"revoke","secret":"s","reason":"r","acknowledge":["rotator","all"]}`, "request: acknowledge[1] must be rotator or last-admin" + tail},
		"all at once": {
			`{"mode":"kill","secret":7,"dryrun":true}`,
			"request: 4 mistakes, nothing was changed:\n- secret must be a string\n- dryrun is not a known field\n- mode must be replace, revoke, lockout or release\n- reason is missing: say in a few words why, for the trail",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := revocation.ParseRequest([]byte(test.payload))
			if err == nil {
				t.Fatal("it was accepted")
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Error(diff)
			}
			// Invariant 6.
			if strings.Contains(err.Error(), secret) {
				t.Error("the error repeats the credential")
			}
		})
	}
}

// FuzzParseRequest holds that no input panics, that an error repeats no
// credential, and that what is accepted keeps the rules.
func FuzzParseRequest(f *testing.F) {
	for _, seed := range []string{
		`{"mode":"replace","secret":"prod/etl","reason":"seen in a log"}`,
		`{"mode":"lockout","service_principal":"p","include_foreign":true,"acknowledge":["rotator"],"reason":"r"}`,
		`{"mode":"revoke","sha256":"dose0123456789abcdef0123456789abcdef","reason":"r"}`,
		`{"mode":"revoke","token_id":"1","host":"https://h.example","reason":"r"}`,
		`{"dose0123456789abcdef0123456789abcdef":{}}`, `{`, `[]`, `{"mode":null}`, `{"mode":"revoke"}{}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, err := revocation.ParseRequest(payload)
		if err != nil {
			if strings.Contains(err.Error(), "dose0123456789abcdef") {
				t.Errorf("the error repeats the credential: %v", err)
			}
			return
		}
		n := 0
		for _, s := range []string{r.Secret, r.ServicePrincipal, r.OAuthSecretID, r.SHA256, r.TokenID, r.TokensOf} {
			if s != "" {
				n++
			}
		}
		if n != 1 || r.Mode == "" || r.Reason == "" || r.Tokens() && (r.Mode != revocation.Revoke || r.Host == "") || r.One() && r.Mode == revocation.Release {
			t.Errorf("accepted: %+v", r)
		}
	})
}
