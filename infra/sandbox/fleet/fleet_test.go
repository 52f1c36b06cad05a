package fleet_test

import (
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/infra/sandbox/fleet"
	"databricks-credential-rotation/infra/sandbox/stage"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/secret"
)

func seed(t *testing.T) (stage.Clouds, *fleet.Fleet) {
	t.Helper()
	clouds, err := stage.OpenClouds(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(clouds.Close)
	f, err := fleet.Seed(t.Context(), clouds)
	if err != nil {
		t.Fatal(err)
	}
	return clouds, f
}

func TestEveryFateIsThere(t *testing.T) {
	_, f := seed(t)
	levels := map[string]int{}
	fates := map[fleet.Fate]int{}
	scoped := 0
	for _, m := range f.Managed {
		levels[m.Level]++
		fates[m.Fate]++
		if len(m.Scopes) > 0 {
			scoped++
		}
	}
	for _, fate := range []fleet.Fate{fleet.Rotated, fleet.Issued, fleet.Adopted, fleet.Unchanged, fleet.Retired, fleet.Full, fleet.Inactive} {
		if fates[fate] == 0 {
			t.Errorf("no secret is to be %s", fate)
		}
	}
	for _, level := range []string{"account", "analytics", "production"} {
		if levels[level] == 0 {
			t.Errorf("no principal is managed at %s", level)
		}
	}
	if scoped == 0 {
		t.Error("no secret is scoped")
	}
	for _, name := range []string{fleet.Interrupted, fleet.ByProtocol, fleet.Tested, fleet.AccountAdmin, fleet.WorkspaceUser} {
		if !slices.ContainsFunc(f.Managed, func(m fleet.Member) bool { return m.Name == name }) {
			t.Errorf("%s is not in the fleet", name)
		}
	}
}

func TestConditionsAtTheStart(t *testing.T) {
	clouds, f := seed(t)
	if behind := time.Since(clouds.Clock.Now()); behind > time.Second {
		t.Errorf("the clock is left %v behind", behind)
	}
	for _, m := range append([]fleet.Member{f.Unmanaged}, f.Managed...) {
		t.Run(m.Name, func(t *testing.T) {
			c := f.Condition(m)
			live := 1 + len(m.Foreign)
			switch m.Fate {
			case fleet.Issued:
				live = 0
			case fleet.Retired:
				live = 2
			default:
			}
			if len(c.Live) != live || (c.Current == "") != (m.Fate == fleet.Issued) {
				t.Errorf("%d OAuth secrets, current %q, want %d", len(c.Live), c.Current, live)
			}
			if works := m.Fate != fleet.Issued && m.Fate != fleet.Inactive; c.Works != works {
				t.Errorf("AWSCURRENT works: %t, want %t", c.Works, works)
			}
			if !slices.Equal(c.Scopes, m.Scopes) {
				t.Errorf("scopes %v, want %v", c.Scopes, m.Scopes)
			}
			if (c.Team != "") != m.ByHand {
				t.Errorf("team %q of a secret filled by hand: %t", c.Team, m.ByHand)
			}
			for _, id := range m.Foreign {
				if id == c.Current || !slices.Contains(c.Live, id) {
					t.Errorf("foreign OAuth secret %s is current or gone", id)
				}
			}
		})
	}
}

// The plan looks at the seeded values as it does at its own.
func TestValuesMeanWhatTheirFateSays(t *testing.T) {
	clouds, f := seed(t)
	p := policy.Policy{Interval: 720 * time.Hour, Grace: time.Second, Lifetime: 2160 * time.Hour}
	store := managedsecret.Store{API: clouds.SecretsManager("operator")}
	for _, m := range f.Managed {
		t.Run(m.Name, func(t *testing.T) {
			s, err := store.Describe(t.Context(), m.Name)
			if err != nil {
				t.Fatal(err)
			}
			v, err := store.CurrentVersion(t.Context(), m.Name)
			if err != nil {
				t.Fatal(err)
			}
			c, err := credential.Parse(secret.New(v.Value.Reveal()))
			if err != nil {
				t.Fatal(err)
			}
			if c.AccountLevel() != (m.Level == "account") {
				t.Errorf("account level: %t, want %s", c.AccountLevel(), m.Level)
			}
			if m.ByHand {
				if c.OAuthSecretID != "" || c.ServicePrincipalID != "" {
					t.Errorf("it has bookkeeping: %q, %q", c.OAuthSecretID, c.ServicePrincipalID)
				}
			} else if c.Issued() && c.OAuthSecretID != f.Condition(m).Current {
				t.Errorf("it names OAuth secret %s, its value is that of %s", c.OAuthSecretID, f.Condition(m).Current)
			}
			needs := rotation.Glance(clouds.Clock.Now(), p, s, rotation.Version{ID: v.ID, CreatedAt: v.CreatedAt, Credential: c})
			if want := m.Fate != fleet.Unchanged; needs != want {
				t.Errorf("it needs a look: %t, want %t", needs, want)
			}
		})
	}
}

func TestOnlyManagedSecretsHaveTheTag(t *testing.T) {
	clouds, f := seed(t)
	out, err := clouds.SecretsManager("operator").ListSecrets(t.Context(), &secretsmanager.ListSecretsInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range out.SecretList {
		tagged := len(entry.Tags) == 1 && *entry.Tags[0].Key == managedsecret.TagKey && *entry.Tags[0].Value == managedsecret.TagValue
		if unmanaged := *entry.Name == f.Unmanaged.Name; tagged == unmanaged {
			t.Errorf("%s has the tag: %t", *entry.Name, tagged)
		}
	}
}

func TestRepair(t *testing.T) {
	_, f := seed(t)
	f.Repair()
	for _, m := range f.Managed {
		c := f.Condition(m)
		if m.Fate == fleet.Full && (len(c.Live) != 4 || len(m.Foreign) != 3) {
			t.Errorf("%s has %d OAuth secrets, %d of others, want 4 and 3", m.Name, len(c.Live), len(m.Foreign))
		}
		if m.Fate.Blocked() && !c.Works {
			t.Errorf("%s does not work", m.Name)
		}
	}
}
