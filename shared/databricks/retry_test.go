package databricks_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/secret"
)

// inBubble runs a test at both levels on virtual time.
func inBubble(t *testing.T, run func(t *testing.T, f *fleet, l level)) {
	for i, name := range []string{"account", "workspace"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				run(t, f, f.levels(nil)[i])
			})
		})
	}
}

// What changes nothing by being repeated is repeated while Databricks is busy
// or silent.
func TestRetry(t *testing.T) {
	times := map[faulttest.Kind]int{
		faulttest.RequestLost: 2, faulttest.ReplyLost: 2, faulttest.Throttled: 2, faulttest.ServerError: 2,
		faulttest.Timeout: 1, // two of them use up the minute
	}
	for kind, times := range times {
		t.Run(kind.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fleet, l level) {
				made := f.add(f.app, databrickstest.SecretSpec{})
				calls := map[string]func() error{
					l.list: func() error {
						listed, err := l.client.ListSecrets(t.Context(), l.host, f.sp())
						if err == nil && len(listed) != 1 {
							t.Errorf("%d secrets listed", len(listed))
						}
						return err
					},
					l.find: func() error {
						_, err := l.client.InactivePrincipals(t.Context(), l.host)
						return err
					},
					l.token: func() error {
						return l.client.Verify(t.Context(), l.host, f.app.ApplicationID, secret.New(made.Value), nil)
					},
				}
				for op, call := range calls {
					before := f.count(op)
					f.Faults().Add(faulttest.Fault{Op: op, Kind: kind, Times: times})
					if err := call(); err != nil {
						t.Errorf("%s: %v", op, err)
					}
					if n := f.count(op) - before; n != times+1 {
						t.Errorf("%s: %d requests, want %d", op, n, times+1)
					}
					f.Faults().Clear()
				}
				// Invariant 8: a delete that was done with its reply lost is
				// done again, and that is no error.
				f.Faults().Add(faulttest.Fault{Op: l.delete, Kind: kind, Times: times})
				if err := l.client.DeleteSecret(t.Context(), l.host, f.sp(), made.ID); err != nil {
					t.Errorf("delete: %v", err)
				}
				if n := f.count(l.delete); n != times+1 || len(f.Secrets(f.app.ID)) != 0 {
					t.Errorf("%d deletes, %d secrets left", n, len(f.Secrets(f.app.ID)))
				}
			})
		})
	}
}

// A refusal is not repeated: the answer would be the same.
func TestRefusalIsNotRetried(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet, l level) {
		err := l.client.Verify(t.Context(), l.host, f.app.ApplicationID, secret.New("dosewrong"), nil)
		if n := f.count(l.token); !errors.Is(err, databricks.ErrRefused) || n != 1 {
			t.Errorf("Verify: %v after %d requests", err, n)
		}
		if _, err := l.client.Principal(t.Context(), l.host, "12"); !errors.Is(err, databricks.ErrNotFound) {
			t.Errorf("Principal: %v, want ErrNotFound", err)
		}
		if n := len(f.Faults().Calls()); n != 3 { // with the rotator's own token
			t.Errorf("%d requests, want 3", n)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	tests := []struct {
		announced time.Duration
		times     int
		least     time.Duration
		most      time.Duration
	}{
		{7 * time.Second, 2, 14 * time.Second, 15 * time.Second},
		{time.Second, 1, time.Second, time.Second},
		// An hour is too long for a sweep, which has other principals.
		{time.Hour, 1, 30 * time.Second, 30 * time.Second},
		{0, 1, 100 * time.Millisecond, time.Second},
	}
	for _, test := range tests {
		t.Run(test.announced.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fleet, l level) {
				f.Faults().Add(faulttest.Fault{Op: l.list, Kind: faulttest.Throttled, RetryAfter: test.announced, Times: test.times})
				start := time.Now()
				if _, err := l.client.ListSecrets(t.Context(), l.host, f.sp()); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took < test.least || took > test.most {
					t.Errorf("took %v, want %v to %v", took, test.least, test.most)
				}
			})
		})
	}
}

// Invariant 10: a host that never answers well costs a sweep a bounded time.
func TestRetryBudget(t *testing.T) {
	for _, fault := range []faulttest.Fault{
		{Kind: faulttest.Throttled},
		{Kind: faulttest.Throttled, RetryAfter: time.Hour},
		{Kind: faulttest.ServerError},
		{Kind: faulttest.RequestLost},
		{Kind: faulttest.Timeout},
		{Kind: faulttest.Slow, Delay: time.Hour},
	} {
		t.Run(fault.Kind.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fleet, l level) {
				fault.Op, fault.Times = l.list, faulttest.Forever
				f.Faults().Add(fault)
				start := time.Now()
				_, err := l.client.ListSecrets(t.Context(), l.host, f.sp())
				if !errors.Is(err, databricks.ErrBusy) && !errors.Is(err, databricks.ErrUncertain) {
					t.Errorf("%v, want the last answer", err)
				}
				if errors.Is(err, context.Canceled) {
					t.Errorf("%v: nobody canceled it", err)
				}
				if took := time.Since(start); took > 90*time.Second {
					t.Errorf("took %v, want a minute and one last call", took)
				}
				if n := f.count(l.list); n < 2 || n > 5 {
					t.Errorf("%d requests, want 2 to 5", n)
				}
			})
		})
	}
}

func TestCallerEndsTheRetries(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet, l level) {
		f.Faults().Add(faulttest.Fault{Op: l.list, Kind: faulttest.Throttled, RetryAfter: 20 * time.Second, Times: faulttest.Forever})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		_, err := l.client.ListSecrets(ctx, l.host, f.sp())
		if took := time.Since(start); took != 3*time.Second || !errors.Is(err, databricks.ErrBusy) {
			t.Errorf("%v after %v, want ErrBusy after 3 s", err, took)
		}

		f.Faults().Clear()
		f.Faults().Add(faulttest.Fault{Op: l.list, Kind: faulttest.Timeout, Times: faulttest.Forever})
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err = l.client.ListSecrets(ctx, l.host, f.sp())
		if !errors.Is(err, context.Canceled) || !errors.Is(err, databricks.ErrUncertain) {
			t.Errorf("%v, want ErrUncertain, canceled", err)
		}
	})
}

// A list whose pages never end must not hold up a sweep.
func TestEndlessList(t *testing.T) {
	page := 0
	c, host, calls := stub(t, func(w http.ResponseWriter, _ *http.Request) {
		page++
		writeJSON(w, http.StatusOK, `{"secrets":[],"next_page_token":"t`+strings.Repeat("x", page)+`"}`)
	})
	if _, err := c.ListSecrets(t.Context(), host, "4711"); !errors.Is(err, databricks.ErrRejected) {
		t.Errorf("%v, want ErrRejected", err)
	}
	if *calls > 100 {
		t.Errorf("%d pages read", *calls)
	}

	// A directory that gives no total and ignores the index.
	synctest.Test(t, func(t *testing.T) {
		c, host, calls = stub(t, func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, http.StatusOK, `{"Resources":[{"id":"1","applicationId":"app"}]}`)
		})
		if _, err := c.InactivePrincipals(t.Context(), host); !errors.Is(err, databricks.ErrRejected) || *calls > 1000 {
			t.Errorf("%v after %d pages, want ErrRejected", err, *calls)
		}
	})
}
