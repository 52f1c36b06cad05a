package rotation_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/managedsecret"
)

// rotateSecret is the console's "Rotate immediately": Secrets Manager calls
// the function for each step.
func (w *world) rotateSecret(m *estatetest.Managed, immediately bool) error {
	w.t.Helper()
	_, err := w.SecretsManager("operator").RotateSecret(w.t.Context(), &secretsmanager.RotateSecretInput{
		SecretId: &m.Name, RotationLambdaARN: aws.String(functionARN), RotateImmediately: &immediately,
		RotationRules: &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(30)},
	})
	if err != nil {
		return err
	}
	return w.AWS.RunRotations(w.t.Context())
}

// step invokes the function as Secrets Manager does.
func (w *world) step(m *estatetest.Managed, step string) error {
	payload, err := json.Marshal(map[string]string{"Step": step, "SecretId": m.ARN, "ClientRequestToken": stepToken})
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = w.invoke(w.t.Context(), payload)
	return err
}

func (w *world) mustStep(m *estatetest.Managed, step string) {
	w.t.Helper()
	if err := w.step(m, step); err != nil {
		w.t.Fatalf("%s: %v", step, err)
	}
}

func TestProtocol(t *testing.T) {
	for name, r := range map[string]estatetest.Registration{
		"workspace level": {Name: "etl"},
		"account level":   {Name: "etl", AccountLevel: true},
		"scoped":          {Name: "etl", AccountLevel: true, Scopes: []string{"sql"}},
		"fresh":           {Name: "etl", Fresh: true},
		"bare":            {Name: "etl", Bare: true},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(r)
				for range 3 {
					before, _ := w.AWS.Current(m.Name)
					if err := w.rotateSecret(m, true); err != nil {
						t.Fatal(err)
					}
					after, _ := w.AWS.Current(m.Name)
					if before.ID == after.ID {
						t.Fatal("AWSCURRENT did not move")
					}
					w.settled()
					time.Sleep(w.policy.Grace + time.Hour)
					w.sweep("")
					w.settled()
				}
				if n := len(w.ids(m)); n != 1 {
					t.Errorf("%d OAuth secrets are left, want 1", n)
				}
			})
		})
	}
}

// Whichever door rotated it, what is left is the same.
func TestDoorsLeaveTheSameState(t *testing.T) {
	type version struct {
		Labels []string
		Keys   []string
	}
	type state struct {
		Versions []version
		Live     int
		Scopes   [][]string
	}
	observe := func(w *world, m *estatetest.Managed) state {
		var s state
		for _, v := range w.AWS.Versions(m.Name) {
			var members map[string]string
			if err := json.Unmarshal([]byte(v.Value), &members); err != nil {
				t.Fatal(err)
			}
			ver := version{Labels: v.Labels}
			for key := range members {
				ver.Keys = append(ver.Keys, key)
			}
			slices.Sort(ver.Keys)
			s.Versions = append(s.Versions, ver)
		}
		for _, secret := range w.Databricks.Secrets(m.Principal.ID) {
			s.Live++
			s.Scopes = append(s.Scopes, secret.Scopes)
		}
		return s
	}
	doors := map[string]func(*world, *estatetest.Managed){
		"sweep":    func(w *world, m *estatetest.Managed) { w.sweep("") },
		"protocol": func(w *world, m *estatetest.Managed) { w.checkErr(w.rotateSecret(m, true), "") },
		"direct": func(w *world, m *estatetest.Managed) {
			_, err := w.invoke(w.t.Context(), []byte(`{"action":"rotate","secrets":["etl"],"force":true}`))
			w.checkErr(err, "")
		},
		"queue": func(w *world, m *estatetest.Managed) {
			answer, err := w.invoke(w.t.Context(), []byte(`{"Records":[{"messageId":"m","eventSource":"aws:sqs","body":"{\"action\":\"rotate\",\"secrets\":[\"etl\"],\"force\":true}"}]}`))
			w.checkErr(err, "")
			if string(answer) != `{"batchItemFailures":[]}` {
				t.Errorf("queue: %s", answer)
			}
		},
	}
	for _, r := range []estatetest.Registration{{Name: "etl"}, {Name: "etl", AccountLevel: true, Scopes: []string{"sql"}}} {
		states := map[string]state{}
		for door, rotate := range doors {
			inWorld(t, func(w *world) {
				m := w.register(r)
				w.sweep("")
				time.Sleep(w.policy.Interval)
				w.sweep("")
				time.Sleep(w.policy.Interval)
				rotate(w, m)
				w.settled()
				states[door] = observe(w, m)
			})
		}
		for door, got := range states {
			if diff := cmp.Diff(states["sweep"], got); diff != "" {
				t.Errorf("%s differs from sweep (-sweep +%s):\n%s", door, door, diff)
			}
		}
	}
}

// Secrets Manager repeats all steps when one fails; each holds when repeated.
func TestStepsRepeat(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		w.sweep("")
		for _, step := range []string{"createSecret", "createSecret", "setSecret", "createSecret", "setSecret", "testSecret", "testSecret", "finishSecret", "finishSecret", "createSecret", "testSecret"} {
			w.mustStep(m, step)
			w.check(w.Sample(w.policy.Grace))
		}
		if n := len(w.ids(m)); n != 2 { // registered, stepped
			t.Errorf("%d OAuth secrets, want 2: a repeated create made another", n)
		}
		w.settled()
	})
}

// RotateImmediately: false tries the configuration: testSecret alone.
func TestTestSecretAlone(t *testing.T) {
	inWorld(t, func(w *world) {
		for _, r := range []estatetest.Registration{{Name: "issued"}, {Name: "fresh", Fresh: true}} {
			m := w.register(r)
			before := w.ids(m)
			if err := w.rotateSecret(m, false); err != nil {
				t.Errorf("%s: %v", r.Name, err)
			}
			if diff := cmp.Diff(before, w.ids(m)); diff != "" {
				t.Errorf("%s: OAuth secrets changed:\n%s", r.Name, diff)
			}
		}
		broken := w.register(estatetest.Registration{Name: "broken"})
		w.DeleteByHand(broken, w.ids(broken)[0])
		w.rotateSecret(broken, false) //nolint:errcheck // the outcome is in the record of rotations
		if err := w.lastRotation(broken); err == nil || !strings.Contains(err.Error(), "credential refused") {
			t.Errorf("a dead credential passes the test: %v", err)
		}
	})
}

// lastRotation is how Secrets Manager saw the last rotation end.
func (w *world) lastRotation(m *estatetest.Managed) error {
	rotations := w.AWS.Rotations(m.Name)
	if len(rotations) == 0 {
		w.t.Fatal("no rotation is on record")
	}
	return rotations[len(rotations)-1].Err
}

// A pending version that was never filled, or never finished, blocks the
// console's button until somebody clears it. A sweep does, after 25 hours.
func TestStalePending(t *testing.T) {
	for name, fill := range map[string]bool{"empty": false, "filled": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(estatetest.Registration{Name: "etl"})
				w.sweep("")
				w.AWS.SetFunction(functionARN, func(ctx context.Context, payload []byte) ([]byte, error) {
					if fill && strings.Contains(string(payload), "createSecret") {
						return w.invoke(ctx, payload)
					}
					return nil, context.DeadlineExceeded
				})
				_ = w.rotateSecret(m, true)
				w.AWS.SetFunction(functionARN, w.invoke)
				if _, stuck := w.AWS.Labelled(m.Name, managedsecret.Pending); !stuck {
					t.Fatal("nothing is pending")
				}
				time.Sleep(w.policy.Interval - 2*time.Hour) // not due: only the pending version is in the way
				before, _ := w.AWS.Current(m.Name)
				w.sweep("")
				if _, stuck := w.AWS.Labelled(m.Name, managedsecret.Pending); stuck {
					t.Error("the stale version is still AWSPENDING")
				}
				if after, _ := w.AWS.Current(m.Name); before.ID != after.ID {
					t.Error("clearing rotated too")
				}
				w.check(w.Sample(w.policy.Grace))
				if err := w.rotateSecret(m, true); err != nil {
					t.Errorf("rotating after the clearing: %v", err)
				}
				w.checkErr(w.lastRotation(m), "")
				time.Sleep(w.policy.Grace)
				w.sweep("")
				time.Sleep(w.policy.Grace)
				w.reconcile()
				w.settled()
			})
		})
	}
}

// setSecret refuses a pending version for another principal or host: the
// confused deputy.
func TestSetSecretRefusesAnotherPrincipal(t *testing.T) {
	for name, change := range map[string]struct{ from, to, want string }{
		"host":      {`"DATABRICKS_HOST":"https://`, `"DATABRICKS_HOST":"https://x.`, "DATABRICKS_HOST differs"},
		"client id": {`"DATABRICKS_CLIENT_ID":"`, `"DATABRICKS_CLIENT_ID":"00000000-0000-0000-0000-000000000000","OLD":"`, "DATABRICKS_CLIENT_ID differs"},
		"principal": {`"ROTATION_SERVICE_PRINCIPAL_ID":"`, `"ROTATION_SERVICE_PRINCIPAL_ID":"9`, "ROTATION_SERVICE_PRINCIPAL_ID differs"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(estatetest.Registration{Name: "etl"})
				w.sweep("")
				v, _ := w.AWS.Current(m.Name)
				value := strings.Replace(v.Value, change.from, change.to, 1)
				_, err := w.SecretsManager("operator").PutSecretValue(w.t.Context(), &secretsmanager.PutSecretValueInput{
					SecretId: &m.Name, ClientRequestToken: aws.String(stepToken), SecretString: &value, VersionStages: []string{managedsecret.Pending},
				})
				if err != nil {
					t.Fatal(err)
				}
				w.checkErr(w.step(m, "setSecret"), change.want)
			})
		})
	}
}

// A version that is too old is not promoted: its age bounds how long a
// predecessor's grace can be off.
func TestFinishRefusesOldVersion(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		w.sweep("")
		w.mustStep(m, "createSecret")
		time.Sleep(24*time.Hour + time.Second)
		w.checkErr(w.step(m, "finishSecret"), "too old to become current")
	})
}

// finishSecret does not promote what has died since it was tested.
func TestFinishRefusesDeadVersion(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		w.sweep("")
		w.mustStep(m, "createSecret")
		w.mustStep(m, "testSecret")
		ids := w.ids(m)
		w.DeleteByHand(m, ids[len(ids)-1])
		w.checkErr(w.step(m, "finishSecret"), "does not authenticate")
		w.check(w.Sample(w.policy.Grace))
	})
}

// Both doors at once: a sweep leaves a secret alone that Secrets Manager is
// rotating.
func TestSweepDuringProtocol(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		w.sweep("")
		time.Sleep(w.policy.Interval)
		w.mustStep(m, "createSecret")
		w.ResetCalls()
		w.sweep("")
		if n := w.calls()[databrickstest.OpWorkspaceCreateSecret]; n != 0 {
			t.Error("the sweep issued a second credential")
		}
		w.mustStep(m, "setSecret")
		w.mustStep(m, "testSecret")
		w.mustStep(m, "finishSecret")
		w.settled()
	})
}
