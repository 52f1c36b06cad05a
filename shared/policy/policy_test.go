package policy_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"databricks-credential-rotation/shared/policy"
)

const (
	day = 24 * time.Hour

	etlID   = "0c5e3a1f-7d24-4c8e-9b6a-1f2e3d4c5b6a"
	adhocID = "5b0e8c9d-1a2b-4c3d-8e4f-0a1b2c3d4e5f"
	otherID = "9d2f4b6a-3c1e-4f5d-a7b8-c9d0e1f2a3b4"
)

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
	// Invariant 9: nothing is pruned until somebody says so.
	if p.Prune.Mode != policy.Report || p.Prune.RightSize != policy.Report {
		t.Errorf("by default it prunes: %+v", p.Prune)
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
		"nothing set":             {policy.Policy{}, []string{"grace period 0s must be positive", "rotation interval 0s must be positive", "secret lifetime 0s must be whole days"}},
		"negative":                {policy.Policy{Interval: -1, Grace: -1, Lifetime: -day}, []string{"grace period", "rotation interval", "secret lifetime"}},
		"half a day":              {policy.Policy{Interval: day, Grace: day, Lifetime: 36*time.Hour + 30*day}, []string{"must be whole days"}},
		"one day":                 {policy.Policy{Interval: time.Hour, Grace: time.Hour, Lifetime: day}, []string{"at least two"}},
		"over the maximum":        {policy.Policy{Interval: day, Grace: day, Lifetime: 731 * day}, []string{"730 days"}},
		"no grace":                {policy.Policy{Interval: day, Lifetime: 90 * day}, []string{"grace period"}},
		"interval without end":    {policy.Policy{Interval: math.MaxInt64, Grace: day, Lifetime: 90 * day}, []string{"must exceed rotation interval"}},
		"grace without end":       {policy.Policy{Interval: day, Grace: math.MaxInt64, Lifetime: 90 * day}, []string{"must be at most 2 rotation intervals", "must exceed rotation interval"}},
		"grace of two intervals":  {policy.Policy{Interval: 12 * time.Hour, Grace: day, Lifetime: 90 * day}, nil},
		"grace of more intervals": {policy.Policy{Interval: 11 * time.Hour, Grace: day, Lifetime: 90 * day}, []string{"grace period 1d must be at most 2 rotation intervals of 11h"}},
		"extended":                {policy.Policy{Interval: 10 * day, Grace: day, ExtendGrace: day, Lifetime: 14 * day}, nil},
		"extended too far":        {policy.Policy{Interval: 10 * day, Grace: day, ExtendGrace: day + time.Second, Lifetime: 14 * day}, []string{"must exceed rotation interval 10d and grace period 1d with its extension of 86401s together"}},
		"extended over intervals": {policy.Policy{Interval: day, Grace: day, ExtendGrace: day + time.Second, Lifetime: 14 * day}, []string{"grace period 1d with its extension of 86401s must be at most 2 rotation intervals of 1d"}},
		"extended without end":    {policy.Policy{Interval: day, Grace: day, ExtendGrace: math.MaxInt64, Lifetime: 90 * day}, []string{"must be at most 2 rotation intervals", "must exceed rotation interval"}},
		"shortened":               {policy.Policy{Interval: day, Grace: day, ExtendGrace: -1, Lifetime: 90 * day}, []string{"must not be negative"}},
		"both without end":        {policy.Policy{Interval: math.MaxInt64, Grace: math.MaxInt64, Lifetime: 90 * day}, []string{"must exceed rotation interval"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var faults []string
			var invalid *policy.InvalidError
			if errors.As(test.policy.Validate(), &invalid) {
				for _, f := range invalid.Faults {
					faults = append(faults, f.Message)
				}
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

// Invariant 9.
func TestBudget(t *testing.T) {
	tests := []struct {
		budget     policy.Budget
		remove, of int
		want       bool
	}{
		{policy.Budget{Count: 5, Share: 0.2}, 0, 0, true},
		{policy.Budget{Count: 5, Share: 0.2}, 1, 1, true}, // a share of less than one is one
		{policy.Budget{Count: 5, Share: 0.2}, 2, 9, false},
		{policy.Budget{Count: 5, Share: 0.2}, 2, 10, true},
		{policy.Budget{Count: 5, Share: 0.2}, 5, 1000, true},
		{policy.Budget{Count: 5, Share: 0.2}, 6, 1000, false},
		{policy.Budget{Count: 5, Share: 1}, 5, 5, true},
		{policy.Budget{Count: 5, Share: 1}, 6, 6, false},
		{policy.Budget{Share: 0.5}, 500, 1000, true},
		{policy.Budget{Share: 0.5}, 501, 1000, false},
		{policy.Budget{Count: 5}, 5, 5, true},
		{policy.Budget{Count: 5}, 6, 1000, false},
		{policy.Budget{}, 1000, 1000, true},
		{policy.Budget{Count: 1, Share: 0.01}, 1, 0, true},
	}
	for _, test := range tests {
		if got := test.budget.Allows(test.remove, test.of); got != test.want {
			t.Errorf("%v allows %d of %d: %t, want %t", test.budget, test.remove, test.of, got, test.want)
		}
	}
	// No rounding of any share that a document can name takes one away.
	for percent := 1; percent <= 100; percent++ {
		b := policy.Budget{Share: float64(percent) / 100}
		for hundreds := 1; hundreds <= 50; hundreds++ {
			if !b.Allows(percent*hundreds, 100*hundreds) {
				t.Errorf("%d%% does not allow %d of %d", percent, percent*hundreds, 100*hundreds)
			}
			if percent*hundreds >= 1 && b.Allows(percent*hundreds+1, 100*hundreds) {
				t.Errorf("%d%% allows %d of %d", percent, percent*hundreds+1, 100*hundreds)
			}
		}
	}
}

func TestBudgetInWords(t *testing.T) {
	for want, b := range map[string]policy.Budget{
		"50 credentials, 20%": {Count: 50, Share: 0.2},
		"29%":                 {Share: 0.29},
		"3 credentials":       {Count: 3},
		"no limit":            {},
	} {
		if got := b.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestLookups(t *testing.T) {
	p, err := policy.Parse([]byte(`
version: 1
roles:
  etl: {scopes: [jobs, sql]}
principals:
  - {client_id: ` + etlID + `, role: etl, owner: data platform}
  - {client_id: ` + adhocID + `, exclusive: true}
`))
	if err != nil {
		t.Fatal(err)
	}
	if role, ok := p.RoleOf(etlID); !ok || strings.Join(role.Scopes, " ") != "jobs sql" {
		t.Errorf("role %+v, %t", role, ok)
	}
	for _, id := range []string{adhocID, otherID, ""} {
		if role, ok := p.RoleOf(id); ok {
			t.Errorf("%q has the role %+v", id, role)
		}
	}
	if p.Exclusive(etlID) || !p.Exclusive(adhocID) || p.Exclusive(otherID) {
		t.Error("exclusive is another than the document says")
	}
	if principal, ok := p.Principal(etlID); !ok || principal.Owner != "data platform" {
		t.Errorf("principal %+v, %t", principal, ok)
	}
}

func TestExemptions(t *testing.T) {
	p, err := policy.Parse([]byte(`
version: 1
prune:
  exempt:
    - {token_id: t1, reason: used once a year, until: 2027-01-31}
    - {oauth_secret_id: s1, reason: escrow}
    - {client_id: ` + etlID + `, reason: migration}
    - {user: Jane@example.com, reason: on leave}
`))
	if err != nil {
		t.Fatal(err)
	}
	last := time.Date(2027, 1, 31, 23, 59, 59, 0, time.UTC)
	tests := map[string]struct {
		subject policy.Subject
		now     time.Time
		want    string
	}{
		"on its last day":         {policy.Subject{TokenID: "t1"}, last, "used once a year"},
		"a second later":          {policy.Subject{TokenID: "t1"}, last.Add(time.Second), ""},
		"last day, from the west": {policy.Subject{TokenID: "t1"}, last.In(time.FixedZone("west", -8*3600)), "used once a year"},
		"without end":             {policy.Subject{OAuthSecretID: "s1"}, last.AddDate(50, 0, 0), "escrow"},
		"by principal":            {policy.Subject{OAuthSecretID: "s2", ClientID: etlID}, last, "migration"},
		"by user":                 {policy.Subject{TokenID: "t2", User: "jane@example.com"}, last, "on leave"},
		"another":                 {policy.Subject{TokenID: "t2", User: "john@example.com"}, last, ""},
		"an id of another kind":   {policy.Subject{TokenID: "s1"}, last, ""},
		"nothing known":           {policy.Subject{}, last, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := p.Prune.Exemption(test.subject, test.now)
			if got.Reason != test.want || ok != (test.want != "") {
				t.Errorf("%+v, %t; want %q", got, ok, test.want)
			}
		})
	}
}
