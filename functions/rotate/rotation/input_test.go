package rotation_test

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/managedsecret"
)

// Bad input is one clear error that names the secret and the field; nothing
// changes, and the others are rotated all the same.
func TestBadInput(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(w *world, m *estatetest.Managed)
		want  []string
	}{
		"not JSON": {
			func(w *world, m *estatetest.Managed) { w.put(m, "password") },
			[]string{"bad: ", "is malformed: the value is not a JSON object"},
		},
		"no host": {
			func(w *world, m *estatetest.Managed) { w.edit(m, credential.KeyHost, "") },
			[]string{"bad: ", "DATABRICKS_HOST is missing"},
		},
		"http": {
			func(w *world, m *estatetest.Managed) {
				w.edit(m, credential.KeyHost, strings.Replace(m.Host.URL, "https", "http", 1))
			},
			[]string{"bad: ", "DATABRICKS_HOST: host refused: it must begin with https://"},
		},
		"a host of somebody else": {
			func(w *world, m *estatetest.Managed) { w.edit(m, credential.KeyHost, "https://evil.example.com") },
			[]string{"bad: ", "DATABRICKS_HOST: host refused: evil.example.com is not among the allowed hosts"},
		},
		"no client id": {
			func(w *world, m *estatetest.Managed) { w.edit(m, credential.KeyClientID, "") },
			[]string{"bad: ", "DATABRICKS_CLIENT_ID is missing"},
		},
		"a number for a string": {
			func(w *world, m *estatetest.Managed) {
				w.put(m, `{"DATABRICKS_HOST":"`+m.Host.URL+`","DATABRICKS_CLIENT_ID":7}`)
			},
			[]string{"bad: ", "DATABRICKS_CLIENT_ID must be a string"},
		},
		"two faults at once": {
			func(w *world, m *estatetest.Managed) {
				w.put(m, `{"DATABRICKS_HOST":"ftp://x","DATABRICKS_CLIENT_ID":"x","ROTATION_EXPIRES_AT":"soon"}`)
			},
			[]string{"DATABRICKS_HOST must begin with https://", "DATABRICKS_CLIENT_ID must be", "ROTATION_EXPIRES_AT must be a time"},
		},
		"a principal that does not exist": {
			func(w *world, m *estatetest.Managed) { w.edit(m, credential.KeyServicePrincipalID, "4040404") },
			[]string{"bad: ", "the service principal that ROTATION_SERVICE_PRINCIPAL_ID names does not exist"},
		},
		"a client id that does not exist": {
			func(w *world, m *estatetest.Managed) {
				w.edit(m, credential.KeyClientID, "00000000-0000-0000-0000-000000000000")
				w.edit(m, credential.KeyServicePrincipalID, "")
			},
			[]string{"bad: ", "the service principal that DATABRICKS_CLIENT_ID names does not exist", "00000000-0000-0000-0000-000000000000"},
		},
		"client id and principal disagree": {
			func(w *world, m *estatetest.Managed) {
				other := w.Databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "other"})
				w.Databricks.Assign(other.ID, w.Workspace, false)
				w.Databricks.GrantManager(w.Rotator.ID, other.ID)
				w.edit(m, credential.KeyServicePrincipalID, strconv.FormatInt(other.ID, 10))
			},
			[]string{"bad: ", "DATABRICKS_CLIENT_ID and ROTATION_SERVICE_PRINCIPAL_ID disagree"},
		},
		"a client id of another principal": {
			func(w *world, m *estatetest.Managed) {
				other := w.Databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "other"})
				w.edit(m, credential.KeyClientID, other.ApplicationID)
			},
			[]string{"bad: ", "DATABRICKS_CLIENT_ID and ROTATION_SERVICE_PRINCIPAL_ID disagree"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				bad, good := w.register(estatetest.Registration{Name: "bad"}), w.register(estatetest.Registration{Name: "good"})
				time.Sleep(w.policy.Interval)
				test.spoil(w, bad)
				versions, ids := w.AWS.Versions(bad.Name), w.ids(bad)
				report := w.sweep(test.want[0])
				for _, part := range test.want {
					if !strings.Contains(report.Err().Error(), part) {
						t.Errorf("error does not say %q:\n%v", part, report.Err())
					}
				}
				if diff := cmp.Diff(versions, w.AWS.Versions(bad.Name)); diff != "" {
					t.Errorf("versions changed:\n%s", diff)
				}
				if diff := cmp.Diff(ids, w.ids(bad)); diff != "" {
					t.Errorf("OAuth secrets changed:\n%s", diff)
				}
				if c := w.current(good); c.OAuthSecretID == "" || len(w.ids(good)) != 2 {
					t.Error("the good secret was not rotated")
				}
				w.check(onlyOf(w.Sample(w.policy.Grace), good))
			})
		})
	}
}

func onlyOf(violations []estatetest.Violation, m *estatetest.Managed) (kept []estatetest.Violation) {
	for _, v := range violations {
		if v.Secret == m.Name {
			kept = append(kept, v)
		}
	}
	return kept
}

// What is named must be managed, in one place, and not on its way out.
func TestUnmanaged(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		sm := w.SecretsManager("operator")
		rotate := []byte(`{"action":"rotate","secrets":["etl"],"force":true}`)
		versions := w.AWS.Versions(m.Name)

		if _, err := sm.UntagResource(w.t.Context(), &secretsmanager.UntagResourceInput{SecretId: &m.Name, TagKeys: []string{managedsecret.TagKey}}); err != nil {
			t.Fatal(err)
		}
		_, err := w.invoke(w.t.Context(), rotate)
		w.checkErr(err, "etl: the secret is not managed: it lacks the tag databricks-rotation = managed")
		w.checkErr(w.step(m, "createSecret"), "createSecret of etl: the secret is not managed")
		if report := w.sweep(""); report.Secrets != 0 {
			t.Error("a sweep looks at secrets without the tag")
		}

		doomed := w.register(estatetest.Registration{Name: "doomed"})
		if _, err := sm.DeleteSecret(w.t.Context(), &secretsmanager.DeleteSecretInput{SecretId: &doomed.Name, RecoveryWindowInDays: aws.Int64(7)}); err != nil {
			t.Fatal(err)
		}
		ids := w.ids(doomed)
		_, err = w.invoke(w.t.Context(), []byte(`{"action":"rotate","secrets":["doomed"],"force":true}`))
		w.checkErr(err, "doomed: the secret is scheduled for deletion")
		w.checkErr(w.step(doomed, "createSecret"), "createSecret of doomed: the secret is scheduled for deletion")
		if report := w.sweep(""); report.Secrets != 0 || !slices.Equal(ids, w.ids(doomed)) {
			t.Error("a secret that is scheduled for deletion is worked on")
		}
		_, err = w.invoke(w.t.Context(), []byte(`{"action":"rotate","secrets":["no-such-secret"]}`))
		w.checkErr(err, "no-such-secret: describing the secret: ResourceNotFoundException")
		if diff := cmp.Diff(versions, w.AWS.Versions(m.Name)); diff != "" {
			t.Errorf("versions changed:\n%s", diff)
		}
	})
}

// A replica has the tag of its primary, and cannot be written: it is rotated
// where its primary is.
func TestReplica(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		time.Sleep(w.policy.Interval)
		w.engine.Store.API = replicas{w.SecretsManager("rotate"), nil}
		w.ResetCalls()
		if report := w.sweep(""); report.Counts[rotation.Unchanged] != 1 {
			t.Errorf("counts %v, want it left alone", report.Counts)
		}
		_, err := w.invoke(w.t.Context(), []byte(`{"action":"rotate","secrets":["etl"],"force":true}`))
		w.checkErr(err, "etl: the secret is a replica: rotate it in us-east-1")
		w.checkErr(w.step(m, "createSecret"), "createSecret of etl: the secret is a replica")
		if changes := w.Changes(); len(changes) > 0 {
			t.Errorf("the replica led to %v", changes)
		}
	})
}

// replicas is Secrets Manager in a region to which every secret is copied, or
// some.
type replicas struct {
	managedsecret.API
	some []string
}

func (r replicas) region(name *string) *string {
	if r.some == nil || slices.Contains(r.some, aws.ToString(name)) {
		return aws.String("us-east-1")
	}
	return nil
}

func (r replicas) DescribeSecret(ctx context.Context, in *secretsmanager.DescribeSecretInput, opts ...func(*secretsmanager.Options)) (*secretsmanager.DescribeSecretOutput, error) {
	out, err := r.API.DescribeSecret(ctx, in, opts...)
	if err == nil {
		out.PrimaryRegion = r.region(out.Name)
	}
	return out, err
}

func (r replicas) ListSecrets(ctx context.Context, in *secretsmanager.ListSecretsInput, opts ...func(*secretsmanager.Options)) (*secretsmanager.ListSecretsOutput, error) {
	out, err := r.API.ListSecrets(ctx, in, opts...)
	if err == nil {
		for i := range out.SecretList {
			out.SecretList[i].PrimaryRegion = r.region(out.SecretList[i].Name)
		}
	}
	return out, err
}

// Invariant 10 at the queue: a message that cannot be done goes back to the
// queue, whether its secret or the message itself is at fault; the others are
// done with.
func TestQueueReturnsWhatFailed(t *testing.T) {
	inWorld(t, func(w *world) {
		good := w.register(estatetest.Registration{Name: "good"})
		w.SetActive(w.register(estatetest.Registration{Name: "bad"}), false)
		before := w.current(good)
		var batch events.SQSEvent
		for id, body := range map[string]string{
			"blocked":   `{"action":"rotate","secrets":["bad"],"force":true}`,
			"missing":   `{"action":"rotate","secrets":["no-such-secret"]}`,
			"sweep":     `{"action":"sweep"}`,
			"not JSON":  `rotate good`,
			"misspelt":  `{"action":"rotate","secrets":["good"],"forse":true}`,
			"no secret": `{"action":"rotate","secrets":[]}`,
			"good":      `{"action":"rotate","secrets":["good"],"force":true}`,
		} {
			batch.Records = append(batch.Records, events.SQSMessage{MessageId: id, EventSource: "aws:sqs", Body: body})
		}
		payload, err := json.Marshal(batch)
		w.must(err)
		answer, err := w.invoke(w.t.Context(), payload)
		w.checkErr(err, "")
		var response events.SQSEventResponse
		w.must(json.Unmarshal(answer, &response))
		var failed []string
		for _, f := range response.BatchItemFailures {
			failed = append(failed, f.ItemIdentifier)
		}
		slices.Sort(failed)
		if diff := cmp.Diff([]string{"blocked", "missing", "misspelt", "no secret", "not JSON", "sweep"}, failed); diff != "" {
			t.Errorf("returned to the queue (-want +got):\n%s", diff)
		}
		if w.current(good).OAuthSecretID == before.OAuthSecretID || len(w.ids(good)) != 2 {
			t.Error("the good secret was not rotated once")
		}
	})
}
