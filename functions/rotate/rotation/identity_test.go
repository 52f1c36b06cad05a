package rotation_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/secret"
)

// What the current value lacks, or has of another one, comes from the version
// that first recorded it; what no version recorded stays unknown.
func TestIdentify(t *testing.T) {
	issued := time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC)
	value := func(clientSecret, id string, scopes ...string) (c credential.Credential) {
		c = credential.Credential{ClientID: "etl", ClientSecret: secret.New(clientSecret), OAuthSecretID: id, Scopes: scopes}
		if id != "" {
			c.IssuedAt, c.ExpiresAt = issued, issued.AddDate(0, 3, 0)
		}
		return c
	}
	type stored struct {
		version string
		value   credential.Credential
	}
	type seen struct {
		Misnamed bool
		ID       string
		Dated    bool
		Scopes   []string
		Beside   []string
		Recorded map[string]string
	}
	another := value("a", "1")
	another.ClientID = "bi"

	tests := map[string]struct {
		// versions are the oldest first, and the last is current.
		versions []stored
		want     seen
	}{
		"as a run wrote it": {
			[]stored{{"rotation-1", value("a", "1", "sql")}},
			seen{false, "1", true, []string{"sql"}, nil, map[string]string{"1": "rotation-1"}},
		},
		"without its id, which the run recorded": {
			[]stored{{"rotation-1", value("a", "1", "sql")}, {"by-hand", value("a", "")}},
			seen{true, "1", true, []string{"sql"}, nil, map[string]string{"1": "rotation-1"}},
		},
		"without its id, with scopes that no version has": {
			[]stored{{"by-hand-1", value("a", "1")}, {"by-hand-2", value("a", "", "sql")}},
			seen{true, "1", true, []string{"sql"}, nil, map[string]string{"1": "by-hand-1"}},
		},
		"without its id, which nothing recorded": {
			[]stored{{"rotation-1", value("a", "1", "sql")}, {"by-hand", value("b", "", "jobs")}},
			seen{false, "", false, []string{"jobs"}, nil, map[string]string{"1": "rotation-1"}},
		},
		"beside the id of another value": {
			[]stored{{"rotation-1", value("a", "1", "sql")}, {"by-hand", value("b", "1", "jobs")}},
			seen{true, "", false, nil, []string{"jobs"}, map[string]string{"1": "by-hand"}},
		},
		"an older one, beside the id of the one after it": {
			[]stored{{"rotation-1", value("a", "1", "sql")}, {"rotation-2", value("b", "2", "jobs")}, {"by-hand", value("a", "2", "jobs")}},
			seen{true, "1", true, []string{"sql"}, []string{"jobs"}, map[string]string{"1": "rotation-1", "2": "by-hand"}},
		},
		"an older one without scopes, beside the id of the one after it": {
			[]stored{{"rotation-1", value("a", "1")}, {"rotation-2", value("b", "2", "jobs")}, {"by-hand", value("a", "2", "jobs")}},
			seen{true, "1", true, nil, []string{"jobs"}, map[string]string{"1": "rotation-1", "2": "by-hand"}},
		},
		"a person's error before a run's truth": {
			[]stored{{"by-hand-1", value("a", "2")}, {"rotation-1", value("a", "1", "sql")}, {"by-hand-2", value("a", "")}},
			seen{true, "1", true, []string{"sql"}, nil, map[string]string{"1": "rotation-1", "2": "by-hand-1"}},
		},
		"two ids stored with one value": {
			[]stored{{"by-hand-1", value("a", "1", "sql")}, {"by-hand-2", value("a", "2", "jobs")}},
			seen{true, "", false, nil, []string{"jobs"}, map[string]string{"1": "by-hand-1", "2": "by-hand-2"}},
		},
		"another principal's version": {
			[]stored{{"by-hand-1", another}, {"by-hand-2", value("a", "2")}},
			seen{false, "2", true, nil, nil, map[string]string{"1": "by-hand-1", "2": "by-hand-2"}},
		},
		"a version that is no credential": {
			[]stored{{"by-hand-1", credential.Credential{}}, {"rotation-1", value("a", "1", "sql")}},
			seen{false, "1", true, []string{"sql"}, nil, map[string]string{"1": "rotation-1"}},
		},
		"a registration": {
			[]stored{{"by-hand-1", value("a", "1")}, {"by-hand-2", value("", "1")}},
			seen{false, "1", true, nil, nil, map[string]string{"1": "by-hand-2"}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			last := test.versions[len(test.versions)-1]
			o := rotation.Observation{Current: rotation.Version{ID: last.version, Credential: last.value}}
			values := map[string]credential.Credential{}
			for _, v := range slices.Backward(test.versions) {
				o.Versions = append(o.Versions, managedsecret.Version{ID: v.version})
				values[v.version] = v.value
			}
			rotation.Identify(&o, values)
			c := o.Current.Credential
			got := seen{o.Misnamed, c.OAuthSecretID, c.IssuedAt.Equal(issued) && c.ExpiresAt.After(issued), c.Scopes, o.Beside, o.Recorded}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("the current value is taken for (-want +got):\n%s", diff)
			}
		})
	}
}
