package databricks_test

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/databrickstest"
)

func TestPrincipals(t *testing.T) {
	eachLevel(t, func(t *testing.T, f *fleet, l level) {
		want := databricks.ServicePrincipal{ID: f.sp(), ApplicationID: f.app.ApplicationID, DisplayName: "nightly job", Active: true}
		for _, active := range []bool{true, false} {
			f.SetActive(f.app.ID, active)
			want.Active = active
			got, err := l.client.Principal(t.Context(), l.host, f.sp())
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("Principal: %v (-want +got):\n%s", err, diff)
			}
			got, err = l.client.FindPrincipal(t.Context(), l.host, f.app.ApplicationID)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("FindPrincipal: %v (-want +got):\n%s", err, diff)
			}
		}
		inactive, err := l.client.InactivePrincipals(t.Context(), l.host)
		if diff := cmp.Diff(map[string]bool{f.app.ApplicationID: true}, inactive); err != nil || diff != "" {
			t.Errorf("InactivePrincipals: %v (-want +got):\n%s", err, diff)
		}

		const nobody = "00000000-0000-0000-0000-000000000000"
		if _, err := l.client.FindPrincipal(t.Context(), l.host, nobody); !isOnly(err, databricks.ErrNotFound) || !strings.Contains(err.Error(), nobody) {
			t.Errorf("FindPrincipal of nobody: %v, want ErrNotFound", err)
		}
		if _, err := l.client.Principal(t.Context(), l.host, "12"); !isOnly(err, databricks.ErrNotFound) {
			t.Errorf("Principal of nobody: %v, want ErrNotFound", err)
		}
	})
}

// A directory of more than one page is read to its end.
func TestInactivePrincipalsOverPages(t *testing.T) {
	f := newFleet(t)
	want := map[string]bool{}
	for i := range 250 {
		p := f.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "p" + strconv.Itoa(i), Inactive: i%2 == 0})
		if i%2 == 0 {
			want[p.ApplicationID] = true
		}
	}
	l := f.account()
	got, err := l.client.InactivePrincipals(t.Context(), l.host)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if n := f.count(l.find); n < 2 {
		t.Errorf("%d pages: the directory was not large enough", n)
	}
}

// Hosts differ in what they leave out of a list.
func TestDirectoriesThatDiffer(t *testing.T) {
	page := func(ids ...int) string {
		var all []string
		for _, id := range ids {
			all = append(all, fmt.Sprintf(`{"id":"%d","applicationId":"app-%d","active":%t}`, id, id, id%2 == 0))
		}
		return strings.Join(all, ",")
	}
	tests := map[string]struct {
		reply func(start string) string
		want  map[string]bool
		calls int
	}{
		"ignores the filter": {
			func(string) string { return `{"totalResults":3,"Resources":[` + page(1, 2, 3) + `]}` },
			map[string]bool{"app-1": true, "app-3": true},
			1,
		},
		"gives no total": {
			func(start string) string {
				return map[string]string{"1": `{"Resources":[` + page(1, 3) + `]}`, "3": `{"Resources":[` + page(5) + `]}`, "4": `{}`}[start]
			},
			map[string]bool{"app-1": true, "app-3": true, "app-5": true},
			3,
		},
		"counts more than it shows": {
			func(start string) string {
				return map[string]string{"1": `{"totalResults":9,"Resources":[` + page(1) + `]}`, "2": `{"totalResults":9}`}[start]
			},
			map[string]bool{"app-1": true},
			2,
		},
		"leaves active out": {
			func(string) string { return `{"totalResults":1,"Resources":[{"id":"1","applicationId":"app-1"}]}` },
			map[string]bool{},
			1,
		},
		"has none": {func(string) string { return `{"totalResults":0}` }, map[string]bool{}, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, host, calls := stub(t, func(w http.ResponseWriter, r *http.Request) {
				writeJSON(w, http.StatusOK, test.reply(r.URL.Query().Get("startIndex")))
			})
			got, err := c.InactivePrincipals(t.Context(), host)
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" || *calls != test.calls {
				t.Errorf("%v after %d calls, want %d (-want +got):\n%s", err, *calls, test.calls, diff)
			}
		})
	}

	c, host, _ := stub(t, func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, `{"totalResults":2,"Resources":[`+page(1, 2)+`]}`)
	})
	if p, err := c.FindPrincipal(t.Context(), host, "app-2"); err != nil || p.ID != "2" {
		t.Errorf("of two that a host lists, FindPrincipal took %+v, %v", p, err)
	}
	if _, err := c.FindPrincipal(t.Context(), host, "app"); !errors.Is(err, databricks.ErrNotFound) {
		t.Errorf("a part of an id: %v, want ErrNotFound", err)
	}
}
