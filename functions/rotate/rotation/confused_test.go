package rotation_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/managedsecret"
)

func (w *world) tag(m *estatetest.Managed, key, value string) {
	w.t.Helper()
	_, err := w.SecretsManager("operator").TagResource(w.t.Context(), &secretsmanager.TagResourceInput{
		SecretId: &m.Name, Tags: []types.Tag{{Key: &key, Value: &value}},
	})
	w.must(err)
}

// Whoever may write a value, and set no tags, gets no credential of another
// principal than the one that the secret is bound to, at any door.
func TestBinding(t *testing.T) {
	inWorld(t, func(w *world) {
		bound := w.register(estatetest.Registration{Name: "bound"})
		other := w.register(estatetest.Registration{Name: "other"})
		w.tag(bound, managedsecret.BindingKey, strings.ToUpper(bound.Principal.ApplicationID))
		time.Sleep(w.policy.Interval)
		w.sweep("") // bound to itself, it is rotated
		before := len(w.ids(other))
		w.put(bound, `{"DATABRICKS_HOST":"`+other.Host.URL+`","DATABRICKS_CLIENT_ID":"`+other.Principal.ApplicationID+`"}`)
		w.ResetCalls()
		w.sweep("bound: mismatch: DATABRICKS_CLIENT_ID names the service principal " + other.Principal.ApplicationID)
		_, err := w.invoke(w.t.Context(), []byte(`{"action":"rotate","secrets":["bound"],"force":true}`))
		w.checkErr(err, "the tag databricks-client-id binds the secret to")
		for _, step := range []string{"createSecret", "testSecret"} {
			w.checkErr(w.step(bound, step), "binds the secret to")
		}
		if len(w.ids(other)) != before || len(w.Changes()) > 0 {
			t.Errorf("changes were made: %v", w.Changes())
		}
	})
}

// Nor does a value that names its own principal by one id, and another one's OAuth
// secrets by the rest, have them removed. Invariant 3.
func TestBindingOfIDs(t *testing.T) {
	inWorld(t, func(w *world) {
		victim := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
		w.rotateNow()
		theirs := w.current(victim) // and the one before is young as well
		ended := time.Now().Add(-w.policy.Grace - hour).UTC().Format(time.RFC3339)
		outsider := w.Databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "nobody manages it"})
		unmanaged, err := w.Databricks.AddSecret(outsider.ID, databrickstest.SecretSpec{Lifetime: 365 * day})
		w.must(err)
		another, err := w.Databricks.AddSecret(outsider.ID, databrickstest.SecretSpec{Lifetime: 365 * day})
		w.must(err)
		for name, forged := range map[string]string{
			"a/managed-ones": fmt.Sprintf(`"ROTATION_SERVICE_PRINCIPAL_ID":"%d","ROTATION_OAUTH_SECRET_ID":%q,"ROTATION_PREDECESSORS":%q`,
				victim.Principal.ID, theirs.Predecessors[0].OAuthSecretID, theirs.OAuthSecretID+"="+ended),
			"a/unmanaged-ones": fmt.Sprintf(`"ROTATION_SERVICE_PRINCIPAL_ID":"%d","ROTATION_OAUTH_SECRET_ID":%q,"ROTATION_PREDECESSORS":%q`,
				outsider.ID, another.ID, unmanaged.ID+"="+ended),
		} {
			own := w.Databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: name})
			w.secondFor(name, `{"DATABRICKS_HOST":"`+victim.Host.URL+`","DATABRICKS_ACCOUNT_ID":"`+victim.Host.AccountID+`","DATABRICKS_CLIENT_ID":"`+own.ApplicationID+`","DATABRICKS_CLIENT_SECRET":"dose0","ROTATION_SCOPES":"all-apis",`+forged+`}`)
			w.tag(&estatetest.Managed{Name: name}, managedsecret.BindingKey, own.ApplicationID)
			w.ResetCalls()
			for range 3 {
				_, err := w.engine.Rotate(w.t.Context(), "direct", rotation.RotateRequest{Secrets: []string{name}})
				w.checkErr(err, "DATABRICKS_CLIENT_ID and ROTATION_SERVICE_PRINCIPAL_ID disagree")
				_, _ = w.engine.Sweep(w.t.Context(), true, false)
			}
			if changes := w.Changes(); len(changes) > 0 {
				t.Errorf("%s: changes were made: %v", name, changes)
			}
			w.must(w.deleteSecret(name)) // so that nothing is said of it any more
		}
	})
}

// deleteSecret is a person who deletes a managed secret at once.
func (w *world) deleteSecret(name string) error {
	_, err := w.SecretsManager("operator").DeleteSecret(w.t.Context(), &secretsmanager.DeleteSecretInput{SecretId: &name, ForceDeleteWithoutRecovery: aws.Bool(true)})
	return err
}

// Nobody is given the rotator's own credential: it may do more than any
// principal that it manages.
func TestOwnIdentity(t *testing.T) {
	inWorld(t, func(w *world) {
		w.engine.OwnClientID = w.Rotator.ApplicationID
		arn := w.secondFor("own", `{"DATABRICKS_HOST":"`+w.Databricks.AccountHost()+`","DATABRICKS_ACCOUNT_ID":"`+w.Databricks.AccountID()+`","DATABRICKS_CLIENT_ID":"`+w.Rotator.ApplicationID+`"}`)
		w.ResetCalls()
		w.sweep("own: mismatch: DATABRICKS_CLIENT_ID names the rotator's own service principal")
		if changes := w.Changes(); len(changes) > 0 {
			t.Errorf("changes were made: %v", changes)
		}
		// In the secret that is there for it, it is issued.
		w.engine.OwnSecretARN = arn
		if report := w.sweep(""); report.Counts[rotation.Issued] != 1 {
			t.Errorf("counts are %v", report.Counts)
		}
	})
}

// A dry run says by name what it would do, and that it did not.
func TestDryRunNames(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		time.Sleep(w.policy.Interval)
		answer, err := w.invoke(w.t.Context(), []byte(`{"action":"sweep","dry_run":true}`))
		w.checkErr(err, "")
		var got struct {
			DryRun   bool `json:"dry_run"`
			Outcomes []struct {
				Secret, Status string
				Reason         rotation.Reason
				ClientID       string `json:"client_id"`
				DryRun         bool   `json:"dry_run"`
			}
		}
		w.must(json.Unmarshal(answer, &got))
		if !got.DryRun || len(got.Outcomes) != 1 || !got.Outcomes[0].DryRun || got.Outcomes[0].Secret != "etl" ||
			got.Outcomes[0].Status != "rotated" || got.Outcomes[0].Reason != rotation.Due || got.Outcomes[0].ClientID != m.Principal.ApplicationID {
			t.Errorf("the answer is %s", answer)
		}
	})
}

// An adopted credential's id is not known. Where the list lags, the only OAuth
// secret in it may be a colleague's, and must outlive the grace period.
func TestAdoptionUnderLag(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", Fresh: true, Bare: true})
		colleague, _ := w.MakeByHand(m, 365*day)
		s, err := w.Databricks.AddSecret(m.Principal.ID, databrickstest.SecretSpec{Lifetime: 365 * day})
		w.must(err)
		w.Databricks.LagReads(true) // the list is as before this one
		w.put(m, `{"DATABRICKS_HOST":"`+m.Host.URL+`","DATABRICKS_CLIENT_ID":"`+m.Principal.ApplicationID+`","DATABRICKS_CLIENT_SECRET":"`+s.Value+`"}`)
		w.sweep("")
		w.Databricks.LagReads(false)
		for range 3 {
			time.Sleep(w.policy.Grace)
			w.reconcile()
		}
		if !strings.Contains(strings.Join(w.ids(m), " "), colleague.ID) {
			t.Error("a colleague's OAuth secret was retired")
		}
	})
}

// Invariant 1, where two managed secrets of one principal have the same
// fingerprint: neither takes the other's current credential for an orphan, at
// any door.
func TestFingerprintsThatAgree(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		// What another managed secret of the principal holds, issued with the
		// lifetime that etl's own would have.
		s, err := w.Databricks.AddSecret(m.Principal.ID, databrickstest.SecretSpec{Lifetime: rotation.Fingerprint(m.ARN, w.policy.Lifetime)})
		w.must(err)
		value, err := json.Marshal(map[string]string{
			credential.KeyHost: m.Host.URL, credential.KeyClientID: m.Principal.ApplicationID,
			credential.KeyClientSecret: s.Value, credential.KeyOAuthSecretID: s.ID,
		})
		w.must(err)
		w.secondFor("twin", string(value))
		time.Sleep(day)
		_, err = w.invoke(w.t.Context(), []byte(`{"action":"rotate","secrets":["etl"],"force":true}`))
		w.checkErr(err, "")
		for _, step := range []string{"createSecret", "setSecret", "testSecret", "finishSecret"} {
			w.mustStep(m, step)
		}
		w.reconcile()
		if !w.Databricks.Authenticates(m.Principal.ApplicationID, s.Value) {
			t.Error("etl's runs deleted the twin's current credential")
		}
	})
}

// A principal whose sixth OAuth secret is refused is full, whatever the code.
func TestFullBySurprise(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		time.Sleep(w.policy.Interval)
		for range databricks.MaxSecrets - 2 {
			w.MakeByHand(m, 365*day)
		}
		w.Databricks.LagReads(true)
		w.MakeByHand(m, 365*day) // the fifth, not yet listed
		w.sweep("etl: full: service principal")
		w.Databricks.LagReads(false)
	})
}
