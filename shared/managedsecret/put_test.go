package managedsecret_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/secret"
)

const newValue = `{"DATABRICKS_CLIENT_SECRET":"dose0123456789abcdef"}`

func fault(kind faulttest.Kind, times int) faulttest.Fault {
	return faulttest.Fault{Op: "PutSecretValue", Kind: kind, Times: times}
}

// Invariants 1 and 3: whoever hears that a value was not stored deletes its
// OAuth secret. So that must be certain: one lost reply, and it is not.
func TestPutCertainty(t *testing.T) {
	const forever = faulttest.Forever
	tests := map[string]struct {
		faults  []faulttest.Fault
		prepare func(a *account)
		timeout time.Duration
		value   string

		stored  bool // in truth
		ok      bool
		certain error // ErrNotWritten or ErrVersionExists, nil if open
		calls   int
	}{
		"no fault":                {stored: true, ok: true, calls: 1},
		"request lost once":       {faults: []faulttest.Fault{fault(faulttest.RequestLost, 1)}, stored: true, ok: true, calls: 2},
		"reply lost once":         {faults: []faulttest.Fault{fault(faulttest.ReplyLost, 1)}, stored: true, ok: true, calls: 2},
		"throttled twice":         {faults: []faulttest.Fault{fault(faulttest.Throttled, 2)}, stored: true, ok: true, calls: 3},
		"server error once":       {faults: []faulttest.Fault{fault(faulttest.ServerError, 1)}, stored: true, ok: true, calls: 2},
		"silence once":            {faults: []faulttest.Fault{fault(faulttest.Timeout, 1)}, stored: true, ok: true, calls: 2},
		"throttled for ever":      {faults: []faulttest.Fault{fault(faulttest.Throttled, forever)}, certain: managedsecret.ErrNotWritten, calls: 5},
		"request lost for ever":   {faults: []faulttest.Fault{fault(faulttest.RequestLost, forever)}, calls: 5},
		"reply lost for ever":     {faults: []faulttest.Fault{fault(faulttest.ReplyLost, forever)}, stored: true, calls: 5},
		"server error for ever":   {faults: []faulttest.Fault{fault(faulttest.ServerError, forever)}, calls: 5},
		"silence for ever":        {faults: []faulttest.Fault{fault(faulttest.Timeout, forever)}, calls: 5},
		"reply lost, throttled":   {faults: []faulttest.Fault{fault(faulttest.ReplyLost, 1), fault(faulttest.Throttled, forever)}, stored: true, calls: 5},
		"throttled, reply lost":   {faults: []faulttest.Fault{fault(faulttest.Throttled, 4), fault(faulttest.ReplyLost, forever)}, stored: true, calls: 5},
		"server error, throttled": {faults: []faulttest.Fault{fault(faulttest.ServerError, 1), fault(faulttest.Throttled, forever)}, calls: 5},
		"out of time in silence":  {faults: []faulttest.Fault{fault(faulttest.Timeout, forever)}, timeout: time.Second, calls: 1},
		"out of time, throttled":  {faults: []faulttest.Fault{fault(faulttest.Throttled, forever)}, timeout: 50 * time.Millisecond, certain: managedsecret.ErrNotWritten, calls: 1},
		"refused":                 {value: strings.Repeat("x", 65537), certain: managedsecret.ErrNotWritten, calls: 1},
		"refused after a lost reply": {
			faults: []faulttest.Fault{fault(faulttest.ReplyLost, 1)},
			prepare: func(a *account) {
				// The secret is deleted between the attempts.
				a.Faults().OnCall(nil, func(c faulttest.Call) {
					if c.Op == "PutSecretValue" && c.Fault == faulttest.ReplyLost {
						name := "etl"
						if _, err := a.client.DeleteSecret(context.Background(), &secretsmanager.DeleteSecretInput{SecretId: &name}); err != nil {
							a.t.Error(err)
						}
					}
				})
			},
			stored: true, calls: 2,
		},
		"scheduled for deletion": {
			prepare: func(a *account) {
				name := "etl"
				if _, err := a.client.DeleteSecret(a.t.Context(), &secretsmanager.DeleteSecretInput{SecretId: &name}); err != nil {
					a.t.Error(err)
				}
			},
			certain: managedsecret.ErrNotWritten, calls: 1,
		},
		"another run was first": {
			prepare: func(a *account) { a.put(versionID(1), "another value", "AWSCURRENT") },
			certain: managedsecret.ErrVersionExists, calls: 1,
		},
		"another run was first, after silence": {
			faults:  []faulttest.Fault{fault(faulttest.RequestLost, 1)},
			prepare: func(a *account) { a.put(versionID(1), "another value", "AWSCURRENT") },
			certain: managedsecret.ErrVersionExists, calls: 2,
		},
		"this run was here before": {
			prepare: func(a *account) { a.put(versionID(1), newValue, "AWSCURRENT") },
			stored:  true, ok: true, calls: 1,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, a *account) {
				arn := a.create("etl", "v0", managed)
				if test.prepare != nil {
					test.prepare(a)
				}
				a.Faults().Reset()
				for _, f := range test.faults {
					a.Faults().Add(f)
				}
				value := newValue
				if test.value != "" {
					value = test.value
				}
				ctx := t.Context()
				if test.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.timeout)
					defer cancel()
				}
				start := time.Now()
				err := a.store.Put(ctx, arn, managedsecret.Write{VersionID: versionID(1), Value: secret.New(value), Label: managedsecret.Current})

				stored := false
				for _, v := range a.Versions("etl") {
					stored = stored || v.ID == versionID(1) && v.Value == value
				}
				if (err == nil) != test.ok || stored != test.stored {
					t.Errorf("%v, stored %v, want success %v, stored %v", err, stored, test.ok, test.stored)
				}
				for _, certain := range []error{managedsecret.ErrNotWritten, managedsecret.ErrVersionExists} {
					if errors.Is(err, certain) != errors.Is(test.certain, certain) {
						t.Errorf("%v, want certainty %v", err, test.certain)
					}
					if errors.Is(err, certain) && stored {
						t.Error("the value is stored, and Put is certain that it is not")
					}
				}
				if n := a.count("PutSecretValue"); n != test.calls {
					t.Errorf("%d calls, want %d", n, test.calls)
				}
				if took := time.Since(start); took > time.Minute+10*time.Second {
					t.Errorf("took %v", took)
				}
				// Invariant 6.
				if err != nil && (strings.Contains(err.Error(), "dose0123456789abcdef") || strings.Contains(err.Error(), "xxxxxx")) {
					t.Errorf("the error shows the value: %v", err)
				}
			})
		})
	}
}

func TestPutMovesItsLabel(t *testing.T) {
	a := newAccount(t)
	arn := a.create("etl", "v0", managed)
	first, _ := a.Current("etl")
	put := func(id int, label string) {
		t.Helper()
		err := a.store.Put(t.Context(), arn, managedsecret.Write{VersionID: versionID(id), Value: secret.New(newValue), Label: label})
		if err != nil {
			t.Fatal(err)
		}
	}
	put(1, managedsecret.Pending)
	if current, _ := a.Current("etl"); current.ID != first.ID {
		t.Errorf("a pending version became current")
	}
	put(2, managedsecret.Current)
	for label, want := range map[string]string{"AWSCURRENT": versionID(2), "AWSPREVIOUS": first.ID, "AWSPENDING": versionID(1)} {
		if holder, _ := a.Labelled("etl", label); holder.ID != want {
			t.Errorf("%s is held by %s, want %s", label, holder.ID, want)
		}
	}
}

// The rotation token goes with the version where there is one, and nowhere
// else.
func TestPutHandsOverTheRotationToken(t *testing.T) {
	api := new(canned)
	store := managedsecret.Store{API: api}
	write := managedsecret.Write{VersionID: versionID(1), Value: secret.New(newValue), Label: managedsecret.Pending}
	for _, token := range []string{"", "rotation-token-of-one-rotation"} {
		write.RotationToken = secret.New(token)
		if err := store.Put(t.Context(), "arn", write); err != nil {
			t.Fatal(err)
		}
		in := api.puts[len(api.puts)-1]
		if got := in.RotationToken; (got != nil) != (token != "") || got != nil && *got != token {
			t.Errorf("sent %v, want %q", got, token)
		}
		if *in.ClientRequestToken != versionID(1) || *in.SecretString != newValue || len(in.VersionStages) != 1 || in.VersionStages[0] != "AWSPENDING" {
			t.Errorf("sent %+v", in)
		}
	}

	a := newAccount(t)
	err := a.store.Put(t.Context(), a.create("etl", "v0", managed), write)
	if !errors.Is(err, managedsecret.ErrNotWritten) || strings.Contains(err.Error(), write.RotationToken.Reveal()) {
		t.Errorf("a token of another rotation: %v, want ErrNotWritten without it", err)
	}
}
