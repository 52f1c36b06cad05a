package planted

import (
	"errors"
	"time"

	"databricks-credential-rotation/shared/databrickstest"
)

// drop mends a token by deleting it.
func (e *Estate) drop(id string) {
	e.fix(func() error { e.clouds.Databricks.DeleteToken(id); return nil })
}

func (e *Estate) plantTokens() error {
	var errs []error
	owner := e.people[0].ID
	plant := func(owner int64, spec databrickstest.TokenSpec, rules ...string) string {
		if spec.LastUsed.IsZero() && spec.Comment != "never" {
			spec.LastUsed = e.now.Add(-2 * day)
		}
		id, err := e.pat(owner, spec)
		errs = append(errs, err)
		for _, r := range rules {
			e.fault(r, id)
		}
		e.drop(id)
		return id
	}
	ago := func(days int) time.Time { return e.now.Add(-time.Duration(days) * day) }

	plant(owner, databrickstest.TokenSpec{CreateTime: ago(60), LastUsed: ago(40)}, "pat-unused")
	for i := range 3 {
		e.Stale = append(e.Stale, plant(owner, databrickstest.TokenSpec{CreateTime: ago(85), LastUsed: ago(65 + i)}, "pat-unused"))
	}
	e.Stale = append(e.Stale,
		plant(owner, databrickstest.TokenSpec{Comment: "never", CreateTime: ago(45)}, "pat-never-used"),
		plant(owner, databrickstest.TokenSpec{Comment: "never", CreateTime: ago(80)}, "pat-never-used", "pat-near-revocation"),
	)
	plant(owner, databrickstest.TokenSpec{NoExpiry: true}, "pat-no-expiry")
	plant(owner, databrickstest.TokenSpec{Lifetime: 365 * day}, "pat-lifetime")
	plant(owner, databrickstest.TokenSpec{CreateTime: ago(80)}, "pat-expiring")
	plant(owner, databrickstest.TokenSpec{Scopes: []string{"sql", "authentication"}}, "pat-broad-scope")
	plant(owner, databrickstest.TokenSpec{Scopes: []string{}, Autoscope: databrickstest.AutoscopeDisabled}, "pat-all-apis")
	e.Watched = plant(owner, databrickstest.TokenSpec{Scopes: []string{}, Inferred: []string{"sql"}}, "pat-all-apis")
	e.Wide[plant(owner, databrickstest.TokenSpec{Scopes: []string{}, Autoscope: databrickstest.AutoscopeCompleted, Inferred: []string{"sql", "jobs"}},
		"pat-all-apis", "pat-scopes-unused")] = []string{"jobs", "sql"}
	e.Wide[plant(owner, databrickstest.TokenSpec{Scopes: []string{"sql", "jobs", "files"}, Autoscope: databrickstest.AutoscopeCompleted, Inferred: []string{"sql"}},
		"pat-scopes-unused")] = []string{"sql"}

	program := e.clouds.Databricks.AddPerson(databrickstest.PersonSpec{UserName: "svc-loader@example.com"})
	asleep := e.clouds.Databricks.AddPerson(databrickstest.PersonSpec{UserName: "on-leave@example.com", Inactive: true})
	left := e.clouds.Databricks.AddPerson(databrickstest.PersonSpec{UserName: "left@example.com"})
	for _, p := range []databrickstest.Person{program, asleep, left} {
		for _, w := range e.clouds.Workspaces {
			e.clouds.Databricks.Assign(p.ID, w, false)
		}
	}
	plant(program.ID, databrickstest.TokenSpec{}, "pat-automation")
	plant(asleep.ID, databrickstest.TokenSpec{}, "pat-owner-gone")
	plant(left.ID, databrickstest.TokenSpec{}, "pat-owner-gone")
	e.clouds.Databricks.DeletePerson(left.ID)

	holder, err := e.add("token-holder", nil)
	errs = append(errs, err)
	for _, w := range e.clouds.Workspaces {
		// Its tokens are where it works, whichever turn it is.
		if w == holder.role.workspace {
			for e.clouds.Workspaces[e.token%len(e.clouds.Workspaces)] != w {
				_, err := e.pat(owner, databrickstest.TokenSpec{LastUsed: ago(1)})
				errs = append(errs, err)
			}
		}
	}
	plant(holder.ID, databrickstest.TokenSpec{}, "pat-of-principal")
	for e.clouds.Workspaces[e.token%len(e.clouds.Workspaces)] != holder.role.workspace {
		_, err := e.pat(owner, databrickstest.TokenSpec{LastUsed: ago(1)})
		errs = append(errs, err)
	}
	plant(holder.ID, databrickstest.TokenSpec{Scopes: []string{"sql", "files"}}, "pat-of-principal", "pat-beyond-role")
	return errors.Join(errs...)
}

func (e *Estate) plantApps() error {
	db, creator := e.clouds.Databricks, e.people[0].ID
	access := &databrickstest.TokenAccess{AccessTTL: time.Hour, RefreshTTL: 7 * day}
	right := databrickstest.CustomApp{
		Name: "reports", Scopes: []string{"sql", "offline_access"}, CreatedBy: creator, Access: access, RedirectURLs: []string{"https://reports.example.com/cb", "http://localhost:8020"},
	}
	db.AddCustomApp(right)
	db.AddPublishedApp(databrickstest.PublishedApp{Name: "Tableau", AppID: "tableau", CreatedBy: creator, Access: access})
	for _, c := range []struct {
		rule  string
		spoil func(*databrickstest.CustomApp)
	}{
		{"app-broad-scopes", func(a *databrickstest.CustomApp) { a.Scopes = []string{"all-apis"} }},
		{"app-access-ttl", func(a *databrickstest.CustomApp) {
			a.Access = &databrickstest.TokenAccess{AccessTTL: 3 * time.Hour, RefreshTTL: day}
		}},
		{"app-owner-gone", func(a *databrickstest.CustomApp) { a.CreatedBy = 987654321 }},
		{"app-redirect", func(a *databrickstest.CustomApp) { a.RedirectURLs = []string{"http://reports.example.com/cb"} }},
	} {
		app := right
		c.spoil(&app)
		app = db.AddCustomApp(app)
		e.fault(c.rule, app.ID)
		e.fix(func() error { db.RemoveApp(app.ID); return nil })
	}
	long := db.AddPublishedApp(databrickstest.PublishedApp{
		Name: "Power BI", AppID: "power-bi", CreatedBy: creator, Access: &databrickstest.TokenAccess{AccessTTL: time.Hour, RefreshTTL: 90 * day},
	})
	e.fault("app-refresh-ttl", long.ID)
	e.fix(func() error { db.RemoveApp(long.ID); return nil })
	return nil
}
