package rotation_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/managedsecret"
)

// AWSPENDING may stay on the version that it made current. When that version
// has been replaced, no rotation is under way, and the label is taken off.
func TestPendingLeftOnPredecessor(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		for _, step := range []string{"createSecret", "setSecret", "testSecret", "finishSecret"} {
			w.mustStep(m, step) // by hand, so that nobody takes the label off
		}
		for range 2 {
			time.Sleep(hour)
			_, err := w.invoke(w.t.Context(), []byte(`{"action":"rotate","secrets":["etl"],"force":true}`))
			w.checkErr(err, "")
		}
		w.checkErr(w.rotateSecret(m, true), "")
		w.check(w.Sample(w.policy.Grace))
	})
}

// A predecessor that cannot be deleted holds no rotation up while there is
// room: AWSCURRENT must not grow old, and in the end die, for it.
func TestRotatesBesideWhatCannotBeDeleted(t *testing.T) {
	inWorld(t, func(w *world) {
		w.policy.Interval = 10 * day // so that nothing expires meanwhile
		m := w.register(estatetest.Registration{Name: "etl"})
		time.Sleep(w.policy.Interval)
		w.sweep("")
		w.Databricks.Faults().Add(faulttest.Fault{Op: databrickstest.OpWorkspaceDeleteSecret, Kind: faulttest.ServerError, Times: faulttest.Forever})
		for n := 3; n <= databricks.MaxSecrets; n++ {
			time.Sleep(w.policy.Interval)
			report := w.sweep("delete an OAuth secret")
			if len(w.ids(m)) != n || report.Counts[rotation.Failed] != 1 {
				t.Fatalf("%d OAuth secrets, want %d; counts %v", len(w.ids(m)), n, report.Counts)
			}
		}
		time.Sleep(w.policy.Interval)
		w.sweep("delete an OAuth secret") // no room for a sixth
		w.Databricks.Faults().Clear()
		w.sweep("")
		time.Sleep(w.policy.Grace)
		w.sweep("")
		w.settled()
	})
}

// A person puts an older value back, without its id, over what had replaced it,
// and again, until the principal is full of the rotation's own. An older
// version knows which OAuth secret that value is: the others go.
func TestFullOfOursAndPutBack(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		first := w.current(m)
		for n := 2; n <= databricks.MaxSecrets; n++ {
			_, err := w.invoke(w.t.Context(), []byte(`{"action":"rotate","secrets":["etl"],"force":true}`))
			w.checkErr(err, "")
			if len(w.ids(m)) != n {
				w.t.Fatalf("%d OAuth secrets, want %d", len(w.ids(m)), n)
			}
			w.put(m, `{"DATABRICKS_HOST":"`+first.Host+`","DATABRICKS_CLIENT_ID":"`+first.ClientID+`","DATABRICKS_CLIENT_SECRET":"`+first.ClientSecret.Reveal()+`"}`)
		}
		w.sweep("5 of 5 OAuth secrets: 1 current, 4 of the rotation's")
		time.Sleep(w.policy.Grace)
		w.sweep("")
		if now := w.current(m); now.OAuthSecretID == "" || now.ClientSecret.Equal(first.ClientSecret) {
			w.t.Error("the value that was put back has not been replaced")
		}
		time.Sleep(w.policy.Grace)
		w.sweep("")
		w.settled()
		if n := len(w.ids(m)); n != 1 {
			w.t.Errorf("%d OAuth secrets are left, want 1", n)
		}
	})
}

// One predecessor that cannot be deleted keeps no other from being deleted, and
// the new credential, which has room, remembers it with the end of its grace.
func TestOneOfTwoCannotBeDeleted(t *testing.T) {
	for stuck := range 2 {
		t.Run(strconv.Itoa(stuck), func(t *testing.T) { inWorld(t, func(w *world) { oneOfTwoCannotBeDeleted(w, stuck) }) })
	}
}

func oneOfTwoCannotBeDeleted(w *world, stuck int) {
	t := w.t
	m := w.register(estatetest.Registration{Name: "etl", Fresh: true})
	w.sweep("")
	for range 2 {
		time.Sleep(hour)
		w.must(w.start().rotate(m))
	}
	preds := w.current(m).Predecessors
	for range 2 {
		w.MakeByHand(m, 365*day)
	}
	if len(preds) != 2 || len(w.ids(m)) != databricks.MaxSecrets {
		t.Fatalf("predecessors %v, %d OAuth secrets: this test no longer tells anything", preds, len(w.ids(m)))
	}
	time.Sleep(w.policy.Interval)
	w.engine.Databricks = keeping{w.Client(nil), preds[stuck].OAuthSecretID}
	report := w.sweep("it stays")
	if len(report.Outcomes) != 1 || report.Outcomes[0].Issued == "" {
		t.Fatalf("nothing was issued: %+v", report.Outcomes)
	}
	if diff := cmp.Diff([]string{preds[1-stuck].OAuthSecretID}, report.Outcomes[0].Retired); diff != "" {
		t.Errorf("retired (-want +got):\n%s", diff)
	}
	kept := map[string]bool{}
	for _, p := range w.current(m).Predecessors {
		kept[p.OAuthSecretID] = !p.SupersededAt.IsZero()
	}
	if dated, ok := kept[preds[stuck].OAuthSecretID]; !ok || !dated || len(kept) != 2 {
		t.Errorf("remembered, and whether since when: %v", kept)
	}
}

// keeping cannot delete one OAuth secret.
type keeping struct {
	rotation.Databricks
	id string
}

func (k keeping) DeleteSecret(ctx context.Context, host databricks.Host, principal, id string) error {
	if id == k.id {
		return errors.New("it stays")
	}
	return k.Databricks.DeleteSecret(ctx, host, principal, id)
}

// Invariant 8: one request is one rotation, however often the queue delivers
// it, and by however many names it calls a secret.
func TestForcedOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		good := w.register(estatetest.Registration{Name: "good"})
		w.SetActive(w.register(estatetest.Registration{Name: "bad"}), false)
		w.sweep("")
		time.Sleep(hour)
		deliver := func(sent time.Time) {
			w.t.Helper()
			answer, err := w.invoke(w.t.Context(), []byte(`{"Records":[{"messageId":"m","eventSource":"aws:sqs",
				"attributes":{"SentTimestamp":"`+strconv.FormatInt(sent.UnixMilli(), 10)+`"},
				"body":"{\"action\":\"rotate\",\"secrets\":[\"good\",\"bad\"],\"force\":true}"}]}`))
			w.checkErr(err, "")
			if !strings.Contains(string(answer), `"itemIdentifier":"m"`) {
				t.Errorf("%s: the bad secret is not reported", answer)
			}
		}
		sent := time.Now()
		for range 4 {
			time.Sleep(15 * time.Minute)
			deliver(sent)
		}
		if n := len(w.ids(good)); n != 2 {
			t.Errorf("%d OAuth secrets after one message, want 2", n)
		}
		deliver(time.Now())
		if n := len(w.ids(good)); n != 3 {
			t.Errorf("%d OAuth secrets after two messages, want 3", n)
		}
		time.Sleep(time.Minute)
		w.engine.Workers = 1 // one after the other
		_, err := w.invoke(w.t.Context(), []byte(`{"action":"rotate","secrets":["good","`+good.ARN+`","good"],"force":true}`))
		w.checkErr(err, "")
		if n := len(w.ids(good)); n != 4 {
			t.Errorf("%d OAuth secrets after one more request, want 4", n)
		}
	})
}

// secondFor registers another managed secret for a principal.
func (w *world) secondFor(name, value string) string {
	w.t.Helper()
	in := &secretsmanager.CreateSecretInput{
		Name: &name,
		Tags: []types.Tag{{Key: aws.String(managedsecret.TagKey), Value: aws.String(managedsecret.TagValue)}},
	}
	if value != "" {
		in.SecretString = &value
	}
	out, err := w.SecretsManager("operator").CreateSecret(w.t.Context(), in)
	w.must(err)
	return *out.ARN
}

// hide has Secrets Manager refuse to tell the value of a secret.
func (w *world) hide(arn string) {
	w.AWS.SetAuthorizer(func(_ context.Context, a awstest.Access) error {
		if a.Action == "secretsmanager:GetSecretValue" && a.Resource == arn && strings.Contains(a.Caller, "rotate") {
			return errors.New("because no identity-based policy allows it")
		}
		return nil
	})
}

// Two managed secrets that hold one OAuth secret are an error before the
// rotation of one of them ends it for both.
func TestCopiedValue(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		time.Sleep(w.policy.Interval)
		w.sweep("")
		v, _ := w.AWS.Current("etl")
		w.secondFor("copy", v.Value)
		w.sweep("copy: it holds the same OAuth secret as " + m.ARN)
	})
}
