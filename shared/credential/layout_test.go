package credential_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/secret"
)

const issuedLater = "dose00000000000000000000000000000001"

// rotate is what the engine does with a value.
func rotate(t *testing.T, value flat) flat {
	t.Helper()
	c, err := credential.Parse(value.text(t))
	if err != nil {
		t.Fatal(err)
	}
	next := c.Successor(func(string) bool { return true })
	next.ClientSecret, next.OAuthSecretID = secret.New(issuedLater), "a001"
	next.IssuedAt = time.Date(2026, 4, 1, 3, 0, 0, 0, time.UTC)
	encoded, err := next.Encode()
	if err != nil {
		t.Fatal(err)
	}
	out := flat{}
	if err := json.Unmarshal([]byte(encoded.Reveal()), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// flat is a value of strings, as readers find it.
type flat map[string]string

func (m flat) text(t *testing.T) secret.Text {
	t.Helper()
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return secret.New(string(raw))
}

func (m flat) and(more flat) flat {
	out := maps.Clone(m)
	maps.Copy(out, more)
	return out
}

func (m flat) without(keys ...string) flat {
	out := maps.Clone(m)
	for _, key := range keys {
		delete(out, key)
	}
	return out
}

// inLayouts is one credential in each layout.
func inLayouts() map[string]flat {
	return map[string]flat{
		"env": {
			"DATABRICKS_HOST": workspace, "DATABRICKS_CLIENT_ID": clientID, "DATABRICKS_CLIENT_SECRET": value,
			"ROTATION_OAUTH_SECRET_ID": "9f00", "ROTATION_SERVICE_PRINCIPAL_ID": "4711",
		},
		"airflow": {
			"ROTATION_LAYOUT": "airflow", "conn_type": "databricks", "host": strings.TrimPrefix(workspace, "https://"),
			"login": clientID, "password": value, "extra": `{"service_principal_oauth": true}`,
			"ROTATION_OAUTH_SECRET_ID": "9f00", "ROTATION_SERVICE_PRINCIPAL_ID": "4711",
		},
		"dbt": {
			"ROTATION_LAYOUT": "dbt", "host": strings.TrimPrefix(workspace, "https://"), "http_path": "/sql/1.0/warehouses/1",
			"client_id": clientID, "client_secret": value, "auth_type": "oauth",
			"ROTATION_OAUTH_SECRET_ID": "9f00", "ROTATION_SERVICE_PRINCIPAL_ID": "4711",
		},
		"custom": {
			"ROTATION_LAYOUT": "custom", "ROTATION_KEYS": "host=DB_HOST client_id=DB_USER client_secret=DB_PASSWORD",
			"DB_HOST": workspace, "DB_USER": clientID, "DB_PASSWORD": value,
			"ROTATION_OAUTH_SECRET_ID": "9f00", "ROTATION_SERVICE_PRINCIPAL_ID": "4711",
		},
		"DatabricksSPSecret in a workspace": {
			"DATABRICKS_HOST": workspace, "accountId": accountID, "clientId": clientID, "clientSecret": value,
			"oauthSecretId": "9f00", "servicePrincipalId": "4711",
		},
	}
}

// Every layout reads as the same credential, and what a rotation writes has
// the same keys: what readers find new is the secret, and nothing else moves.
func TestLayouts(t *testing.T) {
	want, err := credential.Parse(inLayouts()["env"].text(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range inLayouts() {
		t.Run(name, func(t *testing.T) {
			m := m.and(flat{"NOTE": "somebody's own"})
			got, err := credential.Parse(m.text(t))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, equal); diff != "" {
				t.Errorf("not the credential of the layout env (-want +got):\n%s", diff)
			}
			out := rotate(t, m)
			wantOut := flat{}
			for key, text := range m {
				switch text {
				case value:
					text = issuedLater
				case "9f00":
					text = "a001"
				}
				wantOut[key] = text
			}
			wantOut["ROTATION_ISSUED_AT"], wantOut["ROTATION_PREDECESSORS"] = "2026-04-01T03:00:00Z", "9f00"
			if diff := cmp.Diff(wantOut, out); diff != "" {
				t.Errorf("a rotation writes (-want +got):\n%s", diff)
			}
		})
	}
}

// What AWS's own rotation made has no host: it is the account console's.
func TestExternalSecretAsItStands(t *testing.T) {
	m := flat{
		"accountId": accountID, "clientId": strings.ToUpper(clientID), "clientSecret": value, "oauthSecretId": "9f00", "servicePrincipalId": "4711",
	}
	got, err := credential.Parse(m.text(t))
	if err != nil {
		t.Fatal(err)
	}
	want := credential.Credential{
		Host: "https://accounts.cloud.databricks.com", AccountID: accountID, ClientID: clientID, ClientSecret: secret.New(value),
		ServicePrincipalID: "4711", OAuthSecretID: "9f00",
	}
	if diff := cmp.Diff(want, got, equal); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Five keys stay as they were named; beside them there are only keys that
	// AWS does not know.
	out := rotate(t, m)
	for key := range m {
		if out[key] == "" {
			t.Errorf("%s is gone", key)
		}
	}
	if out["clientSecret"] != issuedLater || out["oauthSecretId"] != "a001" || out["ROTATION_OAUTH_SECRET_ID"] != "" || out["DATABRICKS_CLIENT_SECRET"] != "" {
		t.Errorf("a rotation writes %v", out)
	}
}

// Readers move from one layout to another without a moment in which either
// finds nothing: both are written, then one. The keys of the one that was left
// go, for they would hold a dead secret.
func TestChangeOfLayout(t *testing.T) {
	for from, m := range inLayouts() {
		for to, target := range inLayouts() {
			if from == to || strings.Contains(to, " ") {
				continue
			}
			t.Run(from+" to "+to, func(t *testing.T) {
				names := map[string]string{"DatabricksSPSecret in a workspace": "DatabricksSPSecret"}
				name := func(n string) string {
					if names[n] != "" {
						return names[n]
					}
					return n
				}
				keys := flat{}
				for _, l := range []flat{m, target} {
					if l["ROTATION_KEYS"] != "" {
						keys["ROTATION_KEYS"] = l["ROTATION_KEYS"]
					}
				}
				both := rotate(t, m.and(keys).and(flat{"ROTATION_LAYOUT": name(from) + " " + name(to), "NOTE": "kept"}))
				for _, l := range []flat{m, target} {
					for key, text := range l {
						switch text {
						case value, clientID, workspace, strings.TrimPrefix(workspace, "https://"):
							if both[key] == "" || text == value && both[key] != issuedLater {
								t.Errorf("side by side, %s is %q", key, both[key])
							}
						}
					}
				}
				// It is read while both are there, and again when one is left.
				after := rotate(t, both.and(flat{"ROTATION_LAYOUT": name(to)}))
				again := rotate(t, after)
				for key, text := range m {
					if text == value && after[key] != "" {
						t.Errorf("%s still holds a secret", key)
					}
				}
				for key, text := range target {
					if text == value && (after[key] != issuedLater || again[key] != issuedLater) {
						t.Errorf("%s is %q", key, after[key])
					}
				}
				if after["NOTE"] != "kept" {
					t.Error("a key of somebody else is gone")
				}
			})
		}
	}
}

// A setting that was changed at once, without the way by both, is read by what
// is there.
func TestChangeAtOnce(t *testing.T) {
	out := rotate(t, inLayouts()["env"].and(flat{"ROTATION_LAYOUT": "airflow"}))
	want := inLayouts()["airflow"].and(flat{
		"password": issuedLater, "ROTATION_OAUTH_SECRET_ID": "a001", "ROTATION_ISSUED_AT": "2026-04-01T03:00:00Z", "ROTATION_PREDECESSORS": "9f00",
	})
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Without a setting a second copy is somebody's own business (invariant 5), and
// so is one that holds another secret.
func TestCopiesThatAreKept(t *testing.T) {
	m := inLayouts()["env"].and(flat{"client_id": clientID, "client_secret": value})
	if out := rotate(t, m); out["client_secret"] != value {
		t.Error("a copy is gone though nobody set a layout")
	}
	m = m.and(flat{"ROTATION_LAYOUT": "env", "client_secret": "dose99999999"})
	if out := rotate(t, m); out["client_secret"] != "dose99999999" || out["client_id"] != clientID {
		t.Error("another credential is gone")
	}
}

// What a reader needs beside the credential is written once and then left to
// its owner.
func TestFixedKeys(t *testing.T) {
	fresh := flat{"ROTATION_LAYOUT": "airflow", "host": "dbc-1a2b3c4d-5e6f.cloud.databricks.com", "login": clientID}
	out := rotate(t, fresh)
	if out["conn_type"] != "databricks" || out["extra"] != `{"service_principal_oauth": true}` {
		t.Errorf("a first issue writes %v", out)
	}
	out = rotate(t, out.and(flat{"extra": `{"http_path": "x", "service_principal_oauth": true}`}))
	if out["extra"] != `{"http_path": "x", "service_principal_oauth": true}` {
		t.Errorf("extra became %s", out["extra"])
	}
}

func TestLayoutFaults(t *testing.T) {
	registered := flat{"DATABRICKS_HOST": workspace, "DATABRICKS_CLIENT_ID": clientID}
	custom := inLayouts()["custom"]
	tests := map[string]struct {
		value flat
		want  string
	}{
		"unknown":             {registered.and(flat{"ROTATION_LAYOUT": "toml"}), "ROTATION_LAYOUT must be env, DatabricksSPSecret, airflow, dbt or custom"},
		"three":               {registered.and(flat{"ROTATION_LAYOUT": "env dbt airflow"}), "ROTATION_LAYOUT must be one layout, or two"},
		"twice":               {registered.and(flat{"ROTATION_LAYOUT": "env env"}), "ROTATION_LAYOUT must be"},
		"custom, no keys":     {registered.and(flat{"ROTATION_LAYOUT": "custom"}), "ROTATION_KEYS is missing"},
		"an unknown part":     {custom.and(flat{"ROTATION_KEYS": "user=X client_id=A client_secret=B"}), "ROTATION_KEYS must name host, account_id"},
		"a part twice":        {custom.and(flat{"ROTATION_KEYS": "client_id=A client_id=B client_secret=C"}), "ROTATION_KEYS must name host, account_id"},
		"no secret":           {custom.and(flat{"ROTATION_KEYS": "client_id=A"}), "ROTATION_KEYS must name client_id and client_secret"},
		"one key twice":       {custom.and(flat{"ROTATION_KEYS": "client_id=A client_secret=A"}), "ROTATION_KEYS gives one key for two parts"},
		"a key of ours":       {custom.and(flat{"ROTATION_KEYS": "client_id=A client_secret=ROTATION_SCOPES"}), "ROTATION_KEYS gives for client_secret what cannot be a key"},
		"keys that clash":     {custom.and(flat{"ROTATION_LAYOUT": "custom dbt", "ROTATION_KEYS": "client_id=client_secret client_secret=B"}), "ROTATION_LAYOUT names two layouts that use one key for client_id and for client_secret"},
		"a key that is fixed": {custom.and(flat{"ROTATION_LAYOUT": "custom dbt", "ROTATION_KEYS": "client_id=auth_type client_secret=B"}), "ROTATION_LAYOUT names two layouts that use one key for client_id and for oauth"},
		"custom, no id":       {custom.without("DB_USER"), "the key that ROTATION_KEYS gives for client_id is missing"},
		"custom, a bad host":  {custom.and(flat{"DB_HOST": "ftp://x"}), "the key that ROTATION_KEYS gives for host must begin with https://"},
		"airflow, no host":    {inLayouts()["airflow"].without("host"), "host is missing"},
		"two secrets": {
			inLayouts()["env"].and(flat{"ROTATION_LAYOUT": "env dbt", "host": "dbc-1a2b3c4d-5e6f.cloud.databricks.com", "client_id": clientID, "client_secret": "dose77777777"}),
			"client_secret says something else than DATABRICKS_CLIENT_SECRET",
		},
		"two principals": {
			inLayouts()["DatabricksSPSecret in a workspace"].and(flat{"ROTATION_SERVICE_PRINCIPAL_ID": "4712"}),
			"ROTATION_SERVICE_PRINCIPAL_ID says something else than servicePrincipalId",
		},
		"external, no account": {flat{"clientId": clientID, "clientSecret": value}, "DATABRICKS_HOST is missing"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := credential.Parse(test.value.text(t))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("the error is %v, want %s", err, test.want)
			}
			for _, hidden := range []string{value, "dose77777777", clientID} {
				if strings.Contains(err.Error(), hidden) {
					t.Errorf("the error %q shows %q", err, hidden) // invariant 6
				}
			}
		})
	}
}
