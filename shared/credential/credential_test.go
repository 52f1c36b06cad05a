package credential_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/secret"
)

const (
	workspace = "https://dbc-1a2b.cloud.databricks.com"
	console   = "https://accounts.cloud.databricks.com"
	accountID = "6d1c2a4e-9f30-4b57-8f0e-2b7c51d8a930"
	clientID  = "0c5e3a1f-7d24-4c8e-9b6a-1f2e3d4c5b6a"
	value     = "dose0123456789abcdef0123456789abcdef"
)

// members is a value as the person who registers a secret writes it.
type members map[string]any

// with returns a copy with one key changed; nil takes the key out.
func (m members) with(key string, v any) members {
	c := members{}
	for k, old := range m {
		c[k] = old
	}
	if c[key] = v; v == nil {
		delete(c, key)
	}
	return c
}

func (m members) text(t *testing.T) secret.Text {
	t.Helper()
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return secret.New(string(raw))
}

func registration() members {
	return members{"DATABRICKS_HOST": workspace, "DATABRICKS_CLIENT_ID": clientID}
}

// full is a value in its second month.
func full() members {
	return members{
		"DATABRICKS_HOST":               workspace,
		"DATABRICKS_CLIENT_ID":          clientID,
		"DATABRICKS_CLIENT_SECRET":      value,
		"ROTATION_SERVICE_PRINCIPAL_ID": "4711",
		"ROTATION_OAUTH_SECRET_ID":      "9f00",
		"ROTATION_SCOPES":               "sql jobs sql",
		"ROTATION_ISSUED_AT":            "2026-03-01T03:00:00.25Z",
		"ROTATION_EXPIRES_AT":           "2026-05-29T13:12:13+02:00",
		"ROTATION_PREDECESSORS":         "1c00=2026-02-01T03:00:04Z 7700",
	}
}

// equal compares credentials, secrets by content, without what is unknown.
var equal = cmp.Options{
	cmp.Comparer(func(a, b secret.Text) bool { return a.Equal(b) }),
	cmpopts.IgnoreUnexported(credential.Credential{}),
	cmpopts.EquateEmpty(),
}

func TestParse(t *testing.T) {
	tests := map[string]struct {
		value members
		want  credential.Credential
	}{
		"a registration that was never issued": {
			registration(),
			credential.Credential{Host: workspace, ClientID: clientID},
		},
		"a secret that somebody put there": {
			registration().with("DATABRICKS_CLIENT_SECRET", " "+value+"\n"),
			credential.Credential{Host: workspace, ClientID: clientID, ClientSecret: secret.New(value)},
		},
		"an empty string is an absent key": {
			registration().with("DATABRICKS_CLIENT_SECRET", "").with("ROTATION_ISSUED_AT", " ").with("DATABRICKS_ACCOUNT_ID", ""),
			credential.Credential{Host: workspace, ClientID: clientID},
		},
		"on the account console": {
			registration().with("DATABRICKS_HOST", console).with("DATABRICKS_ACCOUNT_ID", accountID),
			credential.Credential{Host: console, AccountID: accountID, ClientID: clientID},
		},
		"everything": {
			full(),
			credential.Credential{
				Host: workspace, ClientID: clientID, ClientSecret: secret.New(value),
				ServicePrincipalID: "4711", OAuthSecretID: "9f00", Scopes: []string{"jobs", "sql"},
				IssuedAt:  time.Date(2026, 3, 1, 3, 0, 0, 25e7, time.UTC),
				ExpiresAt: time.Date(2026, 5, 29, 11, 12, 13, 0, time.UTC),
				Predecessors: []credential.Predecessor{
					{OAuthSecretID: "1c00", SupersededAt: time.Date(2026, 2, 1, 3, 0, 4, 0, time.UTC)},
					{OAuthSecretID: "7700"},
				},
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := credential.Parse(test.value.text(t))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, equal); diff != "" {
				t.Errorf("Parse (-want +got):\n%s", diff)
			}
			if got.Issued() != !test.want.ClientSecret.IsZero() || got.AccountLevel() != (test.want.AccountID != "") {
				t.Errorf("Issued = %v, AccountLevel = %v", got.Issued(), got.AccountLevel())
			}
		})
	}
}

func TestParseHost(t *testing.T) {
	tests := map[string]string{ // an empty result is a fault
		workspace:                               workspace,
		workspace + "/":                         workspace,
		"  " + workspace + "//  ":               workspace,
		"dbc-1a2b.cloud.databricks.com":         workspace,
		"HTTPS://DBC-1a2B.Cloud.Databricks.Com": workspace,
		"http://127.0.0.1:8080":                 "http://127.0.0.1:8080",
		"https://example.com:8443":              "https://example.com:8443",

		workspace + "/sql/warehouses":       "",
		workspace + "?o=1":                  "",
		workspace + "#x":                    "",
		"https://user:password@example.com": "",
		"https://example.com@evil.example":  "",
		"https://":                          "",
		"https://exa mple.com":              "",
		"https://exa%E4mple.com":            "",
		"https://ex\u00e4mple.com":          "",
		"https://example.com:port":          "",
		"https://-example.com":              "",
		"ftp://example.com":                 "",
		"://example.com":                    "",
		"https://exam\x00ple.com":           "",
	}
	for host, want := range tests {
		got, err := credential.Parse(registration().with("DATABRICKS_HOST", host).text(t))
		switch {
		case want == "" && (err == nil || !strings.HasPrefix(err.Error(), "DATABRICKS_HOST ")):
			t.Errorf("host %q: %v, want a fault of DATABRICKS_HOST", host, err)
		case want != "" && (err != nil || got.Host != want):
			t.Errorf("host %q = %q, %v, want %q", host, got.Host, err, want)
		}
	}
}

func TestParseFaults(t *testing.T) {
	tests := map[string]struct {
		value members
		want  []string // the beginning of each line of the error
	}{
		"nothing":                    {members{}, []string{"DATABRICKS_HOST is missing", "DATABRICKS_CLIENT_ID is missing"}},
		"null host":                  {members{"DATABRICKS_HOST": json.RawMessage("null"), "DATABRICKS_CLIENT_ID": clientID}, []string{"DATABRICKS_HOST must be a string"}},
		"client id is a number":      {registration().with("DATABRICKS_CLIENT_ID", 7), []string{"DATABRICKS_CLIENT_ID must be a string"}},
		"client id is no UUID":       {registration().with("DATABRICKS_CLIENT_ID", "4711"), []string{"DATABRICKS_CLIENT_ID must be the service principal's application id"}},
		"client secret is a list":    {full().with("DATABRICKS_CLIENT_SECRET", []string{value}), []string{"DATABRICKS_CLIENT_SECRET must be a string"}},
		"client secret is an object": {full().with("DATABRICKS_CLIENT_SECRET", members{"value": value}), []string{"DATABRICKS_CLIENT_SECRET must be a string"}},
		"client secret is missing":   {full().with("DATABRICKS_CLIENT_SECRET", nil), []string{"ROTATION_OAUTH_SECRET_ID names an OAuth secret, but DATABRICKS_CLIENT_SECRET is missing"}},
		"account id is no UUID": {
			registration().with("DATABRICKS_HOST", console).with("DATABRICKS_ACCOUNT_ID", "mine"),
			[]string{"DATABRICKS_ACCOUNT_ID must be a UUID"},
		},
		"console without account id": {registration().with("DATABRICKS_HOST", console), []string{"DATABRICKS_ACCOUNT_ID is missing"}},
		"government console without account id": {
			registration().with("DATABRICKS_HOST", "https://accounts-dod.cloud.databricks.us"), []string{"DATABRICKS_ACCOUNT_ID is missing"},
		},
		"workspace with account id":    {registration().with("DATABRICKS_ACCOUNT_ID", accountID), []string{"DATABRICKS_ACCOUNT_ID belongs to the account console's host only"}},
		"principal id is a UUID":       {full().with("ROTATION_SERVICE_PRINCIPAL_ID", clientID), []string{"ROTATION_SERVICE_PRINCIPAL_ID must be the service principal's numeric id"}},
		"principal id is zero":         {full().with("ROTATION_SERVICE_PRINCIPAL_ID", "0"), []string{"ROTATION_SERVICE_PRINCIPAL_ID must be"}},
		"principal id is a number":     {full().with("ROTATION_SERVICE_PRINCIPAL_ID", 4711), []string{"ROTATION_SERVICE_PRINCIPAL_ID must be a string"}},
		"OAuth secret id with blanks":  {full().with("ROTATION_OAUTH_SECRET_ID", "9f 00"), []string{"ROTATION_OAUTH_SECRET_ID must be an OAuth secret's id"}},
		"scopes with commas":           {full().with("ROTATION_SCOPES", "sql,jobs"), []string{"ROTATION_SCOPES must be scope names"}},
		"issued at some day":           {full().with("ROTATION_ISSUED_AT", "2026-03-01"), []string{"ROTATION_ISSUED_AT must be a time"}},
		"expires at the zero time":     {full().with("ROTATION_EXPIRES_AT", "0001-01-01T00:00:00Z"), []string{"ROTATION_EXPIRES_AT must be a time"}},
		"expires out of the calendar":  {full().with("ROTATION_EXPIRES_AT", "9999-12-31T23:59:59-01:00"), []string{"ROTATION_EXPIRES_AT must be a time"}},
		"predecessor without id":       {full().with("ROTATION_PREDECESSORS", "=2026-02-01T03:00:04Z"), []string{"ROTATION_PREDECESSORS must be OAuth secret ids"}},
		"predecessor without its time": {full().with("ROTATION_PREDECESSORS", "1c00="), []string{"ROTATION_PREDECESSORS has an entry whose time"}},
		"everything at once": {
			members{
				"DATABRICKS_HOST": "x y", "DATABRICKS_ACCOUNT_ID": "x", "DATABRICKS_CLIENT_ID": "x", "DATABRICKS_CLIENT_SECRET": true,
				"ROTATION_SERVICE_PRINCIPAL_ID": "x", "ROTATION_OAUTH_SECRET_ID": "?", "ROTATION_SCOPES": "X",
				"ROTATION_ISSUED_AT": "x", "ROTATION_EXPIRES_AT": "x", "ROTATION_PREDECESSORS": "?",
			},
			[]string{
				"DATABRICKS_CLIENT_SECRET", "DATABRICKS_HOST", "DATABRICKS_ACCOUNT_ID", "DATABRICKS_CLIENT_ID", "ROTATION_SERVICE_PRINCIPAL_ID",
				"ROTATION_OAUTH_SECRET_ID", "ROTATION_SCOPES", "ROTATION_ISSUED_AT", "ROTATION_EXPIRES_AT", "ROTATION_PREDECESSORS",
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := credential.Parse(test.value.text(t))
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(credential.Credential{}, got, equal); diff != "" {
				t.Errorf("something came with the error:\n%s", diff)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(test.want) {
				t.Fatalf("faults:\n%v\nwant %d", err, len(test.want))
			}
			for i, want := range test.want {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("fault %q, want %q…", lines[i], want)
				}
			}
		})
	}
}

func TestParseNotAnObject(t *testing.T) {
	object := string(`{"DATABRICKS_HOST":"` + workspace + `","DATABRICKS_CLIENT_ID":"` + clientID + `"`)
	tests := map[string]struct{ value, want string }{
		"nothing":                {"", "is empty"},
		"blanks":                 {" \n\t ", "is empty"},
		"a bare secret":          {value, "is not a JSON object"},
		"a string":               {`"` + value + `"`, "is not a JSON object"},
		"a list":                 {`["` + value + `"]`, "is not a JSON object"},
		"null":                   {"null", "is not a JSON object"},
		"cut short":              {object, "is not valid JSON near byte"},
		"cut in a value":         {`{"k":"` + value, "is not valid JSON near byte"},
		"cut in a key":           {`{"` + value, "is not valid JSON near byte"},
		"without a colon":        {`{"k" "` + value + `"}`, "is not valid JSON near byte"},
		"a bare word":            {`{"k":` + value + `}`, "is not valid JSON near byte"},
		"a comma too many":       {object + ",}", "is not valid JSON near byte"},
		"text behind":            {object + "} " + value, "goes on behind"},
		"object behind":          {object + `}{"k":"` + value + `"}`, "goes on behind"},
		"own key twice":          {object + `,"DATABRICKS_HOST":"` + value + `"}`, "DATABRICKS_HOST comes twice"},
		"own key twice, escaped": {object + `,"DATABRICKS\u005fHOST":"` + value + `"}`, "DATABRICKS_HOST comes twice"},
		"other key twice":        {object + `,"` + value + `":1,"` + value + `":1}`, "a key that is not the rotation's comes twice"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := credential.Parse(secret.New(test.value))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want %q", err, test.want)
			}
			if strings.Contains(err.Error(), value) {
				t.Error("the error shows the value")
			}
		})
	}
}

// Invariant 6: whatever key a secret was put under, no error shows it.
func TestErrorsNeverShowValues(t *testing.T) {
	const marker = "Marker+Of+A+Secret"
	keys := []string{
		"DATABRICKS_HOST", "DATABRICKS_ACCOUNT_ID", "DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET", "ROTATION_SERVICE_PRINCIPAL_ID",
		"ROTATION_OAUTH_SECRET_ID", "ROTATION_SCOPES", "ROTATION_ISSUED_AT", "ROTATION_EXPIRES_AT", "ROTATION_PREDECESSORS",
	}
	for _, key := range keys {
		for form, v := range map[string]any{
			"string": marker, "list": []string{marker}, "object": members{marker: marker}, "host": "https://" + marker + "/x",
			"dated": "1c00=" + marker,
		} {
			_, err := credential.Parse(full().with(key, v).with("ROTATION_SCOPES", "BAD").text(t))
			if err == nil {
				t.Errorf("%s as %s: no error", key, form)
			} else if strings.Contains(strings.ToLower(err.Error()), strings.ToLower(marker)) {
				t.Errorf("%s as %s: the error shows the value: %v", key, form, err)
			}
		}
	}
	all := members{marker: marker}
	for _, key := range keys {
		all[key] = marker
	}
	if _, err := credential.Parse(all.text(t)); err == nil || strings.Contains(strings.ToLower(err.Error()), strings.ToLower(marker)) {
		t.Errorf("all keys: %v", err)
	}
}

// Invariant 6: nor does printing what was parsed.
func TestCredentialNeverPrints(t *testing.T) {
	c, err := credential.Parse(full().with("OTHER_PASSWORD", "hidden-elsewhere").text(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		out := fmt.Sprintf(verb, c)
		for _, hidden := range []string{value, "hidden-elsewhere", fmt.Sprintf("%x", value)} {
			if strings.Contains(out, hidden) {
				t.Errorf("Sprintf(%q) shows a secret", verb)
			}
		}
	}
	if out, err := json.Marshal(c); err == nil {
		t.Errorf("a credential marshals other than by Encode: %s", out)
	}
}

// Invariant 5: keys that the rotation does not know are kept as they are.
func TestUnknownKeysAreKept(t *testing.T) {
	unknown := map[string]string{
		"STRING":     `"a<b>&c\u00e9\ud83d\ude00"`,
		"EMPTY":      `""`,
		"INTEGER":    `123456789012345678901234567890`,
		"FRACTION":   `1.10`,
		"EXPONENT":   `1E+400`,
		"TRUE":       `true`,
		"FALSE":      `false`,
		"NULL":       `null`,
		"LIST":       `[1,"two",[null],{"k":"v","k":"w"}]`,
		"OBJECT":     `{"z":1,"a":{"deep":[true]}}`,
		"":           `"the key is empty"`,
		"QUOTED\"\\": `"x"`,
		// It is ours only in capitals.
		"databricks_host": `"https://other.example"`,
	}
	raw := map[string]json.RawMessage{}
	for key, text := range unknown {
		raw[key] = json.RawMessage(text)
	}
	for key, v := range full() {
		raw[key], _ = json.Marshal(v)
	}
	text := new(strings.Builder)
	enc := json.NewEncoder(text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(raw); err != nil {
		t.Fatal(err)
	}
	c, err := credential.Parse(secret.New(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]credential.Credential{
		"as it is":         c,
		"in the successor": c.Successor(func(string) bool { return true }),
	} {
		encoded, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]json.RawMessage
		if err := json.Unmarshal([]byte(encoded.Reveal()), &got); err != nil {
			t.Fatal(err)
		}
		for key, want := range unknown {
			if string(got[key]) != want {
				t.Errorf("%s: key %q is %s, want %s", name, key, got[key], want)
			}
		}
	}
}

func TestEncode(t *testing.T) {
	for name, m := range map[string]members{"registration": registration(), "full": full()} {
		before, err := credential.Parse(m.text(t))
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := before.Encode()
		if err != nil {
			t.Fatal(err)
		}
		after, err := credential.Parse(encoded)
		if err != nil {
			t.Fatalf("%s: what was encoded does not parse: %v", name, err)
		}
		if diff := cmp.Diff(before, after, equal); diff != "" {
			t.Errorf("%s (-before +after):\n%s", name, diff)
		}
		again, err := after.Encode()
		if err != nil || !again.Equal(encoded) {
			t.Errorf("%s: encoding again gives another text, %v", name, err)
		}
		// Readers take each key for an environment variable: no key is empty.
		var flat map[string]string
		if err := json.Unmarshal([]byte(encoded.Reveal()), &flat); err != nil {
			t.Fatalf("%s: not a flat object of strings: %v", name, err)
		}
		for key, text := range flat {
			if text == "" {
				t.Errorf("%s: %s is written though it is empty", name, key)
			}
		}
	}
}

func TestEncodeTooLong(t *testing.T) {
	// A value that fits must still fit when it is written again.
	fits := registration().with("NOTE", strings.Repeat("<&>", 20000))
	c, err := credential.Parse(secret.New(strings.NewReplacer(`\u003c`, "<", `\u0026`, "&", `\u003e`, ">").Replace(fits.text(t).Reveal())))
	if err != nil {
		t.Fatal(err)
	}
	if encoded, err := c.Encode(); err != nil || len(encoded.Reveal()) > credential.MaxSize {
		t.Errorf("a value of 60 kB grew to %d bytes, %v", len(encoded.Reveal()), err)
	}

	c, err = credential.Parse(registration().with("NOTE", strings.Repeat("x", credential.MaxSize)).text(t))
	if err != nil {
		t.Fatal(err)
	}
	if encoded, err := c.Encode(); err == nil || !encoded.IsZero() || len(err.Error()) > 300 {
		t.Errorf("a value over the limit: %v", err)
	}
}

func TestSuccessor(t *testing.T) {
	c, err := credential.Parse(full().text(t))
	if err != nil {
		t.Fatal(err)
	}
	next := c.Successor(func(id string) bool { return id == "1c00" })
	want := credential.Credential{
		Host: workspace, ClientID: clientID, ServicePrincipalID: "4711", Scopes: []string{"jobs", "sql"},
		Predecessors: []credential.Predecessor{
			{OAuthSecretID: "9f00"}, // it is current until the successor is written
			{OAuthSecretID: "1c00", SupersededAt: time.Date(2026, 2, 1, 3, 0, 4, 0, time.UTC)},
		},
	}
	if diff := cmp.Diff(want, next, equal); diff != "" {
		t.Errorf("Successor (-want +got):\n%s", diff)
	}
	if len(c.Predecessors) != 2 || c.OAuthSecretID != "9f00" || !c.Issued() {
		t.Errorf("Successor changed its receiver: %+v", c)
	}

	fresh, err := credential.Parse(registration().text(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := fresh.Successor(nil).Predecessors; len(got) != 0 {
		t.Errorf("the first credential has predecessors: %v", got)
	}
}

func TestNormalizeScopes(t *testing.T) {
	given := []string{"sql", "jobs", "sql"}
	if diff := cmp.Diff([]string{"jobs", "sql"}, credential.NormalizeScopes(given)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"sql", "jobs", "sql"}, given); diff != "" {
		t.Errorf("the argument was changed:\n%s", diff)
	}
	if got := credential.NormalizeScopes(nil); len(got) != 0 {
		t.Errorf("of none: %v", got)
	}
}
