package policy_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"databricks-credential-rotation/shared/policy"
)

const day = 24 * time.Hour

func TestDefaultIsValid(t *testing.T) {
	p := policy.Default()
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
	// Invariant 1: rotation may stand still for a month, and no reader is
	// refused.
	if slack := p.Lifetime - p.Interval - p.Grace; slack < 30*day {
		t.Errorf("%v are left to notice that rotation has stopped", slack)
	}
}

func TestValidate(t *testing.T) {
	tests := map[string]struct {
		policy policy.Policy
		want   []string // a part of each fault
	}{
		"shortest":                {policy.Policy{Interval: time.Hour, Grace: time.Hour, Lifetime: 3 * day}, nil},
		"longest":                 {policy.Policy{Interval: 727 * day, Grace: day, Lifetime: 730 * day}, nil},
		"just enough":             {policy.Policy{Interval: 10 * day, Grace: 2 * day, Lifetime: 14 * day}, nil},
		"a second too long":       {policy.Policy{Interval: 10*day + time.Second, Grace: 2 * day, Lifetime: 14 * day}, []string{"must exceed rotation interval"}},
		"grace a second too long": {policy.Policy{Interval: 10 * day, Grace: 2*day + time.Second, Lifetime: 14 * day}, []string{"must exceed rotation interval"}},
		"nothing set":             {policy.Policy{}, []string{"rotation interval 0s must be positive", "grace period 0s must be positive", "secret lifetime 0s must be whole days"}},
		"negative":                {policy.Policy{Interval: -1, Grace: -1, Lifetime: -day}, []string{"rotation interval", "grace period", "secret lifetime"}},
		"half a day":              {policy.Policy{Interval: day, Grace: day, Lifetime: 36*time.Hour + 30*day}, []string{"must be whole days"}},
		"one day":                 {policy.Policy{Interval: time.Hour, Grace: time.Hour, Lifetime: day}, []string{"at least two"}},
		"over the maximum":        {policy.Policy{Interval: day, Grace: day, Lifetime: 731 * day}, []string{"730 days"}},
		"no grace":                {policy.Policy{Interval: day, Lifetime: 90 * day}, []string{"grace period"}},
		"interval without end":    {policy.Policy{Interval: math.MaxInt64, Grace: day, Lifetime: 90 * day}, []string{"must exceed rotation interval"}},
		"grace without end":       {policy.Policy{Interval: day, Grace: math.MaxInt64, Lifetime: 90 * day}, []string{"must exceed rotation interval"}},
		"both without end":        {policy.Policy{Interval: math.MaxInt64, Grace: math.MaxInt64, Lifetime: 90 * day}, []string{"must exceed rotation interval"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var faults []string
			if err := test.policy.Validate(); err != nil {
				faults = strings.Split(err.Error(), "\n")
			}
			if len(faults) != len(test.want) {
				t.Fatalf("faults %q, want %q", faults, test.want)
			}
			for i, want := range test.want {
				if !strings.Contains(faults[i], want) {
					t.Errorf("fault %q, want %q", faults[i], want)
				}
			}
		})
	}
}
