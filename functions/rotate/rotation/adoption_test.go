package rotation_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/databricks/databricks-sdk-go/client"
	"github.com/databricks/databricks-sdk-go/config"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/consumer"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/managedsecret"
)

// adoption is a secret that somebody else has looked after.
type adoption struct {
	registration estatetest.Registration
	// value is what it holds, of an OAuth secret that is in use.
	value func(m *estatetest.Managed, inUse databrickstest.OAuthSecret, account string) map[string]string
	// pair tells that a second OAuth secret is alive.
	pair bool
	// atOnce tells that the first sweep replaces the credential, because it
	// cannot tell how old it is.
	atOnce bool
	// left are the OAuth secrets that the owner has to delete by hand.
	left int
}

// A secret that somebody else has looked after is taken over as it stands, and
// can be given back: its readers find the same keys throughout, its scopes
// stay (invariant 5), and the credential works all along (invariant 1).
func TestAdoption(t *testing.T) {
	tests := map[string]adoption{
		"managed external secret of Secrets Manager": {
			registration: estatetest.Registration{Name: "etl", AccountLevel: true, Scopes: []string{"jobs", "sql"}},
			value: func(m *estatetest.Managed, inUse databrickstest.OAuthSecret, account string) map[string]string {
				return map[string]string{
					"accountId": account, "servicePrincipalId": strconv.FormatInt(m.Principal.ID, 10), "clientId": m.Principal.ApplicationID,
					"clientSecret": inUse.Value, "oauthSecretId": inUse.ID,
				}
			},
		},
		"pair of two under names of its own": {
			registration: estatetest.Registration{Name: "etl", Bare: true, Scopes: []string{"jobs", "sql"}},
			value: func(m *estatetest.Managed, inUse databrickstest.OAuthSecret, _ string) map[string]string {
				return map[string]string{
					"ROTATION_LAYOUT": "custom", "ROTATION_KEYS": "host=DBX_URL client_id=DBX_ID client_secret=DBX_SECRET",
					"DBX_URL": m.Host.URL, "DBX_ID": m.Principal.ApplicationID, "DBX_SECRET": inUse.Value,
				}
			},
			pair: true, atOnce: true, left: 2,
		},
		"pair of two, and the id of the one in use": {
			registration: estatetest.Registration{Name: "etl", Scopes: []string{"jobs", "sql"}},
			value: func(m *estatetest.Managed, inUse databrickstest.OAuthSecret, _ string) map[string]string {
				return map[string]string{
					"ROTATION_LAYOUT": "custom", "ROTATION_KEYS": "host=DBX_URL client_id=DBX_ID client_secret=DBX_SECRET",
					"DBX_URL": m.Host.URL, "DBX_ID": m.Principal.ApplicationID, "DBX_SECRET": inUse.Value,
					"ROTATION_OAUTH_SECRET_ID": inUse.ID,
				}
			},
			pair: true, left: 1,
		},
		"made by a person": {
			registration: estatetest.Registration{Name: "etl", Bare: true, Scopes: []string{"jobs", "sql"}},
			value: func(m *estatetest.Managed, inUse databrickstest.OAuthSecret, _ string) map[string]string {
				return map[string]string{
					"DATABRICKS_HOST": m.Host.URL, "DATABRICKS_CLIENT_ID": m.Principal.ApplicationID, "DATABRICKS_CLIENT_SECRET": inUse.Value,
				}
			},
			atOnce: true,
		},
		"an Airflow connection made by a person": {
			registration: estatetest.Registration{Name: "etl", Bare: true, Scopes: []string{"jobs", "sql"}},
			value: func(m *estatetest.Managed, inUse databrickstest.OAuthSecret, _ string) map[string]string {
				return map[string]string{
					"ROTATION_LAYOUT": "airflow", "conn_type": "databricks", "host": strings.TrimPrefix(m.Host.URL, "https://"),
					"login": m.Principal.ApplicationID, "password": inUse.Value,
					"extra": `{"service_principal_oauth": true, "http_path": "/sql/1.0/warehouses/1"}`,
				}
			},
			atOnce: true,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) { adopt(w, test) })
		})
	}
}

func adopt(w *world, test adoption) {
	t := w.t
	t.Helper()
	m := w.register(test.registration)
	inUse := w.Databricks.Secrets(m.Principal.ID)[0]
	before := test.value(m, inUse, w.Databricks.AccountID())
	text, err := json.Marshal(before)
	w.must(err)
	w.put(m, string(text))
	if test.pair {
		if _, ok := w.MakeByHand(m, 0); !ok {
			t.Fatal("there is no room for the second of the pair")
		}
	}

	// Taken over.
	w.sweep("")
	if replaced := w.current(m).ClientSecret.Reveal() != inUse.Value; replaced != test.atOnce {
		t.Errorf("the first sweep replaced the credential: %t", replaced)
	}
	w.settled()
	for range 32 {
		time.Sleep(day)
		w.sweep("")
		w.settled()
	}
	after := w.current(m)
	if after.ClientSecret.Reveal() == inUse.Value || !slices.Equal(after.Scopes, test.registration.Scopes) {
		t.Errorf("a month later it is the first credential, or its scopes are %v", after.Scopes)
	}
	if others := len(w.ids(m)) - 1; others != test.left {
		t.Errorf("%d OAuth secrets beside the current one, want %d for the owner to delete", others, test.left)
	}
	w.sameKeys(m, before)

	// Given back: the tag is removed once no predecessor is left, and then the
	// bookkeeping, which nobody else needs.
	_, err = w.SecretsManager("operator").UntagResource(t.Context(), &secretsmanager.UntagResourceInput{SecretId: &m.Name, TagKeys: []string{managedsecret.TagKey}})
	w.must(err)
	v, _ := w.AWS.Current(m.Name)
	var members map[string]string
	w.must(json.Unmarshal([]byte(v.Value), &members))
	for key := range members {
		if _, own := before[key]; strings.HasPrefix(key, "ROTATION_") && !own {
			w.edit(m, key, "")
		}
	}
	ids := w.ids(m)
	for range 32 {
		time.Sleep(day)
		w.sweep("")
	}
	if diff := cmp.Diff(ids, w.ids(m)); diff != "" {
		t.Errorf("given back, and yet the rotation changed its OAuth secrets:\n%s", diff)
	}
	w.sameKeys(m, before)
	// What the next owner needs to replace it is there: the id that the value
	// states is the secret that it holds.
	last := w.Databricks.Secrets(m.Principal.ID)
	at := slices.IndexFunc(last, func(s databrickstest.OAuthSecret) bool { return s.Value == w.current(m).ClientSecret.Reveal() })
	if at < 0 {
		t.Fatal("the current credential is not alive")
	}
	if id := w.current(m).OAuthSecretID; id != "" && id != last[at].ID || before["oauthSecretId"] != "" && id == "" {
		t.Errorf("the value names the OAuth secret %s, it holds %s", id, last[at].ID)
	}
}

// sameKeys holds that readers find what they found, but for the secret itself
// and its id.
func (w *world) sameKeys(m *estatetest.Managed, before map[string]string) {
	w.t.Helper()
	v, _ := w.AWS.Current(m.Name)
	var now map[string]string
	w.must(json.Unmarshal([]byte(v.Value), &now))
	for key, text := range before {
		switch {
		case strings.HasPrefix(text, "dose") || key == "oauthSecretId" || key == "ROTATION_OAUTH_SECRET_ID":
			if now[key] == "" || now[key] == text {
				w.t.Errorf("%s was not renewed", key)
			}
		case now[key] != text:
			w.t.Errorf("%s is %q, it was %q", key, now[key], text)
		}
	}
	for key := range now {
		if _, known := before[key]; !known && !strings.HasPrefix(key, "ROTATION_") && key != "DATABRICKS_HOST" {
			w.t.Errorf("%s is new", key)
		}
	}
}

// Two processes go through a month. One reads its secret at every need; none of
// its calls fails. The other has read it once: its calls fail when the grace
// period is over and the last access token that it got has ended, and not a
// moment before (invariant 2).
func TestProcessThatReadsOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		const sweepEvery, callEvery, tokenLife = time.Hour, 7 * time.Minute, time.Hour
		m := w.register(estatetest.Registration{Name: "etl", Fresh: true})
		w.sweep("")
		first := w.current(m)
		secret, err := consumer.New(consumer.Options{SecretsManager: w.SecretsManager("operator"), SecretID: "etl"})
		w.must(err)
		reads := w.application(&config.Config{Credentials: secret})
		readOnce := w.application(&config.Config{
			Host: first.Host, ClientID: first.ClientID, ClientSecret: first.ClientSecret.Reveal(), AuthType: "oauth-m2m",
		})
		var superseded, failed time.Time
		started := time.Now()
		for range 29 {
			time.Sleep(day)
			w.sweep("")
		}
		for next := time.Now(); time.Since(started) < 33*day; time.Sleep(callEvery) {
			if !time.Now().Before(next) {
				w.sweep("")
				next = next.Add(sweepEvery)
			}
			if superseded.IsZero() && w.current(m).OAuthSecretID != first.OAuthSecretID {
				superseded = time.Now()
			}
			if err := reads(); err != nil {
				t.Fatalf("the process that reads: %v", err)
			}
			if err := readOnce(); err != nil && failed.IsZero() {
				failed = time.Now()
				t.Log(err)
			} else if err == nil && !failed.IsZero() {
				t.Fatalf("the process that has read once works again, after %v", time.Since(failed))
			}
		}
		after := failed.Sub(superseded)
		t.Logf("rotated after %v; the process that had read once failed %v later; grace %v, a sweep each %v, access tokens of %v",
			superseded.Sub(started), after, w.policy.Grace, sweepEvery, tokenLife)
		if superseded.IsZero() || failed.IsZero() || after < w.policy.Grace || after > w.policy.Grace+sweepEvery+tokenLife+callEvery {
			t.Errorf("it failed %v after the rotation, at %v", after, failed)
		}
	})
}

// application is a process that calls Databricks.
func (w *world) application(cfg *config.Config) func() error {
	w.t.Helper()
	cfg.HTTPTransport = consumer.Transport(w.Databricks.Transport())
	cfg.Loaders = []config.Loader{noLoader{}}
	cfg.DisableAsyncTokenRefresh = true
	c, err := client.New(cfg)
	w.must(err)
	return func() error {
		var me map[string]any
		return c.Do(w.t.Context(), http.MethodGet, "/api/2.0/preview/scim/v2/Me", nil, nil, nil, &me)
	}
}

type noLoader struct{}

func (noLoader) Name() string                   { return "none" }
func (noLoader) Configure(*config.Config) error { return nil }
