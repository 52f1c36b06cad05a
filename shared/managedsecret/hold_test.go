package managedsecret_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/managedsecret"
)

// seen is the hold as both reads show it.
func (a *account) seen() (described, listed *managedsecret.Hold) {
	a.t.Helper()
	s, err := a.store.Describe(a.t.Context(), "etl")
	if err != nil {
		a.t.Fatal(err)
	}
	for l, err := range a.store.List(a.t.Context()) {
		if err != nil {
			a.t.Fatal(err)
		}
		listed = l.Hold
	}
	return s.Hold, listed
}

func TestHold(t *testing.T) {
	inBubble(t, func(t *testing.T, a *account) {
		arn := a.create("etl", newValue, managed)
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		want := func(step string, hold *managedsecret.Hold) {
			t.Helper()
			described, listed := a.seen()
			if diff := cmp.Diff(hold, described); diff != "" {
				t.Errorf("%s, described: %s", step, diff)
			}
			if diff := cmp.Diff(hold, listed); diff != "" {
				t.Errorf("%s, listed: %s", step, diff)
			}
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		want("at first", nil)
		must(a.store.SetHold(t.Context(), arn, managedsecret.Hold{Kind: managedsecret.Revoked, Since: at}))
		want("revoked", &managedsecret.Hold{Kind: managedsecret.Revoked, Since: at})
		must(a.store.SetHold(t.Context(), arn, managedsecret.Hold{Kind: managedsecret.LockedOut, Since: at.Add(time.Hour)}))
		want("locked out", &managedsecret.Hold{Kind: managedsecret.LockedOut, Since: at.Add(time.Hour)})
		must(a.store.ClearHold(t.Context(), arn))
		want("released", nil)
		must(a.store.ClearHold(t.Context(), arn))
	})
}

// Whatever a person writes there, it holds.
func TestHoldByHand(t *testing.T) {
	for _, value := range []string{"", "yes", "revoked", "locked-out soon", "REVOKED 2026-03-01T12:00:00Z"} {
		inBubble(t, func(t *testing.T, a *account) {
			a.create("etl", newValue, managed)
			_, err := a.client.TagResource(t.Context(), &secretsmanager.TagResourceInput{
				SecretId: aws.String("etl"), Tags: []types.Tag{{Key: aws.String(managedsecret.HoldKey), Value: &value}},
			})
			if err != nil {
				t.Fatal(err)
			}
			described, listed := a.seen()
			if described == nil || listed == nil {
				t.Fatalf("%q does not hold", value)
			}
			if wantKind := map[string]managedsecret.HoldKind{"revoked": managedsecret.Revoked}[value]; wantKind != "" && described.Kind != wantKind ||
				wantKind == "" && described.Kind != managedsecret.LockedOut {
				t.Errorf("%q holds as %s", value, described.Kind)
			}
		})
	}
}

// IAM refuses to write what has the tag in any case of its key, so it holds. Only
// the key as this package writes it says since when.
func TestHoldInAnotherCase(t *testing.T) {
	inBubble(t, func(t *testing.T, a *account) {
		arn := a.create("etl", newValue, managed)
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		_, err := a.client.TagResource(t.Context(), &secretsmanager.TagResourceInput{
			SecretId: aws.String("etl"), Tags: []types.Tag{{Key: aws.String("Databricks-Rotation-Hold"), Value: aws.String("revoked 2026-01-01T00:00:00Z")}},
		})
		if err != nil {
			t.Fatal(err)
		}
		described, listed := a.seen()
		want := &managedsecret.Hold{Kind: managedsecret.Revoked}
		if diff := cmp.Diff([]*managedsecret.Hold{want, want}, []*managedsecret.Hold{described, listed}); diff != "" {
			t.Errorf("with that alone: %s", diff)
		}
		if err := a.store.SetHold(t.Context(), arn, managedsecret.Hold{Kind: managedsecret.LockedOut, Since: at}); err != nil {
			t.Fatal(err)
		}
		described, listed = a.seen()
		want = &managedsecret.Hold{Kind: managedsecret.LockedOut, Since: at}
		if diff := cmp.Diff([]*managedsecret.Hold{want, want}, []*managedsecret.Hold{described, listed}); diff != "" {
			t.Errorf("with the product's own beside it: %s", diff)
		}
	})
}

func TestHoldFails(t *testing.T) {
	inBubble(t, func(t *testing.T, a *account) {
		arn := a.create("etl", newValue, managed)
		for _, op := range []string{"TagResource", "UntagResource"} {
			a.Faults().Add(faulttest.Fault{Op: op, Kind: faulttest.ServerError, Times: faulttest.Forever})
		}
		if err := a.store.SetHold(t.Context(), arn, managedsecret.Hold{Kind: managedsecret.Revoked}); err == nil {
			t.Error("SetHold hides the failure")
		}
		if err := a.store.ClearHold(t.Context(), arn); err == nil {
			t.Error("ClearHold hides the failure")
		}
	})
}
