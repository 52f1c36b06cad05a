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
	"databricks-credential-rotation/shared/secret"
)

// paceLog is a pace that holds nobody up and keeps what it is told.
type paceLog struct {
	seen []string
	err  error
}

func (p *paceLog) Wait(context.Context) error { p.seen = append(p.seen, "wait"); return p.err }
func (p *paceLog) Answered()                  { p.seen = append(p.seen, "answered") }
func (p *paceLog) Throttled(after time.Duration) {
	p.seen = append(p.seen, "throttled "+after.String())
}
func (p *paceLog) String() string { return strings.Join(p.seen, " ") }

func TestPace(t *testing.T) {
	tests := map[string]struct {
		status int
		header string
		want   string
	}{
		"answered":              {http.StatusOK, "", "wait answered"},
		"refused":               {http.StatusForbidden, "", "wait answered"},
		"throttled":             {http.StatusTooManyRequests, "4", "wait throttled 4s"},
		"throttled for whoever": {http.StatusTooManyRequests, "", "wait throttled 0s"},
		"overloaded":            {http.StatusServiceUnavailable, "2", "wait throttled 2s"},
		// The bubble's clock begins with the year 2000.
		"throttled until":           {http.StatusTooManyRequests, "Sat, 01 Jan 2000 00:00:07 GMT", "wait throttled 7s"},
		"throttled until long past": {http.StatusTooManyRequests, "Fri, 31 Dec 1999 23:59:59 GMT", "wait throttled 0s"},
		"throttled for a day":       {http.StatusTooManyRequests, "86400", "wait throttled 30s"},
		"throttled for ever":        {http.StatusTooManyRequests, "9223372036854775807", "wait throttled 30s"},
		"throttled for less than 0": {http.StatusTooManyRequests, "-9223372037", "wait throttled 0s"},
		"throttled until some time": {http.StatusTooManyRequests, "soon", "wait throttled 0s"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, host, _ := stub(t, func(w http.ResponseWriter, _ *http.Request) {
					if test.header != "" {
						w.Header().Set("Retry-After", test.header)
					}
					writeJSON(w, test.status, `{"error_code":"X","message":"x"}`)
				})
				pace := &paceLog{}
				c.Pace = pace
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				_, _ = c.Principal(ctx, host, "1")
				if pace.String() != test.want {
					t.Errorf("the pace saw %q, want %q", pace, test.want)
				}
			})
		})
	}
}

func TestPaceOfVerify(t *testing.T) {
	c, host, _ := stub(t, nil)
	pace := &paceLog{}
	c.Pace = pace
	if err := c.Verify(t.Context(), host, "app", secret.New("dose0123456789"), nil); err != nil {
		t.Fatal(err)
	}
	if want := "wait answered"; pace.String() != want {
		t.Errorf("the pace saw %q, want %q", pace, want)
	}
}

// A request for which no time is left is not sent.
func TestPaceWithoutTime(t *testing.T) {
	c, host, calls := stub(t, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, `{}`) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.Pace = &paceLog{err: ctx.Err()}
	_, err := c.Principal(ctx, host, "1")
	if !errors.Is(err, context.Canceled) || !databricks.Unsent(err) || *calls != 0 {
		t.Errorf("%v after %d calls", err, *calls)
	}
	if _, err := c.Tokens(ctx, host); !errors.Is(err, context.Canceled) || !databricks.Unsent(err) || *calls != 0 {
		t.Errorf("Tokens: %v after %d calls", err, *calls)
	}
}
