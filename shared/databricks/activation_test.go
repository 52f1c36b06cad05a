package databricks_test

import (
	"errors"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/faulttest"
)

func TestSetActive(t *testing.T) {
	eachLevel(t, func(t *testing.T, f *fleet, l level) {
		o := f.add(f.app, databrickstest.SecretSpec{})
		for _, active := range []bool{false, false, true, true} {
			if err := l.client.SetActive(t.Context(), l.host, f.sp(), active); err != nil {
				t.Fatal(err)
			}
			if p, _ := f.Principal(f.app.ID); p.Active != active || f.Authenticates(f.app.ApplicationID, o.Value) != active {
				t.Errorf("active = %v after SetActive(%v)", p.Active, active)
			}
		}
		if err := l.client.SetActive(t.Context(), l.host, "12", false); !isOnly(err, databricks.ErrNotFound) {
			t.Errorf("of nobody: %v, want ErrNotFound", err)
		}
	})
}

// A change that does not show is not taken for one that was made.
func TestSetActiveReadsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		l := f.account()
		l.client.Patience = 6 * time.Second
		stale := faulttest.Fault{Op: databrickstest.OpAccountGetPrincipal, Kind: faulttest.StaleRead}
		f.Faults().Add(stale)
		if err := l.client.SetActive(t.Context(), l.host, f.sp(), false); err != nil {
			t.Errorf("a read that lags once: %v", err)
		}
		stale.Times = faulttest.Forever
		f.Faults().Add(stale)
		if err := l.client.SetActive(t.Context(), l.host, f.sp(), true); !errors.Is(err, databricks.ErrUncertain) {
			t.Errorf("a change that never shows: %v, want ErrUncertain", err)
		}
	})
}

func TestPrincipalsNamed(t *testing.T) {
	eachLevel(t, func(t *testing.T, f *fleet, l level) {
		twin := f.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "nightly job"})
		f.Assign(twin.ID, f.workspace, false)
		other := f.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "Nightly Job"}) // the filter knows no case
		f.Assign(other.ID, f.workspace, false)
		found, err := l.client.PrincipalsNamed(t.Context(), l.host, "nightly job")
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, p := range found {
			ids = append(ids, p.ID)
		}
		want := []string{f.sp(), strconv.FormatInt(twin.ID, 10)}
		slices.Sort(ids)
		slices.Sort(want)
		if !slices.Equal(ids, want) {
			t.Errorf("found %v, want %v", ids, want)
		}
		if found, err := l.client.PrincipalsNamed(t.Context(), l.host, `no"body`); err != nil || len(found) > 0 {
			t.Errorf("of nobody: %v, %v", found, err)
		}
	})
}

func TestOtherAdmin(t *testing.T) {
	f := newFleet(t)
	l := f.account()
	other := func() string {
		t.Helper()
		who, err := l.client.OtherAdmin(t.Context(), l.host, f.admin.ApplicationID)
		if err != nil {
			t.Fatal(err)
		}
		return who
	}
	if who := other(); who != "" {
		t.Errorf("the last admin is not: there is %s", who)
	}
	if p, err := l.client.Principal(t.Context(), l.host, strconv.FormatInt(f.admin.ID, 10)); err != nil || !p.Admin {
		t.Errorf("the admin is none: %+v, %v", p, err)
	}
	if p, err := l.client.Principal(t.Context(), l.host, f.sp()); err != nil || p.Admin {
		t.Errorf("the app is an admin: %+v, %v", p, err)
	}
	off := f.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "off", AccountAdmin: true, Inactive: true})
	if who := other(); who != "" {
		t.Errorf("one that is switched off counts: %s", who)
	}
	f.SetActive(off.ID, true)
	if who := other(); who != off.ApplicationID {
		t.Errorf("the other admin is %q", who)
	}
	f.AddPerson(databrickstest.PersonSpec{UserName: "ann@example.com", AccountAdmin: true})
	if who := other(); who != "ann@example.com" {
		t.Errorf("the person is %q", who)
	}
}

// A client in a hurry gives a call up within its patience.
func TestPatience(t *testing.T) {
	for _, kind := range []faulttest.Kind{faulttest.Timeout, faulttest.ServerError, faulttest.Throttled} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t)
			l := f.account()
			l.client.Patience = 6 * time.Second
			f.Faults().Add(faulttest.Fault{Op: databrickstest.OpAccountListSecrets, Kind: kind, Times: faulttest.Forever})
			began := time.Now()
			_, err := l.client.ListSecrets(t.Context(), l.host, f.sp())
			if took := time.Since(began); err == nil || took > 9*time.Second {
				t.Errorf("%v: %v after %v", kind, err, took)
			}
		})
	}
}
