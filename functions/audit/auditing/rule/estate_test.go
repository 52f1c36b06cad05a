package rule_test

import (
	"strings"
	"testing"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/functions/audit/auditing/rule"
	"databricks-credential-rotation/shared/fingerprint"
	"databricks-credential-rotation/shared/policy"
)

const (
	day    = 24 * time.Hour
	etl    = "0c5e3a1f-7d24-4c8e-9b6a-1f2e3d4c5b6a"
	hand   = "5d5c9a52-97f1-4b46-a61c-5b1b9ad2f001"
	arn    = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:etl-abcdef"
	sales  = int64(101)
	host   = "https://sales.cloud.databricks.com"
	accID  = "7c1f8d4e-0000-4000-8000-000000000001"
	own    = "9a41c3de-0c5b-4f0e-8d0c-1f7f4f1f0a77"
	issuer = "https://token.actions.githubusercontent.com"
)

var now = time.Date(2026, 6, 1, 6, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// world is a healthy estate with one of everything, for cases to spoil.
type world struct {
	*inventory.Inventory
	policy policy.Policy
}

func (w *world) etl() *inventory.Principal  { return &w.Principals[0] }
func (w *world) hand() *inventory.Principal { return &w.Principals[1] }
func (w *world) token() *inventory.Token    { return &w.Tokens[0] }

func (w *world) role(change func(*policy.Role)) {
	r := w.policy.Roles["etl"]
	change(&r)
	w.policy.Roles["etl"] = r
}

func healthy() *world {
	p := policy.Default()
	p.Audit.AutomationUsers = []string{"svc-*@example.com"}
	p.Audit.TrustedIssuers = []string{issuer}
	p.Roles = map[string]policy.Role{"etl": {
		Scopes: []string{"jobs", "sql"}, Entitlements: []string{"databricks-sql-access"}, Groups: []string{"etl-writers"}, Admin: policy.AdminNone,
		Permissions: []policy.Permission{{Object: policy.Object{Type: "warehouses", ID: "w1"}, Level: "CAN_USE"}, {Object: policy.Object{Type: "jobs", ID: "42"}, Level: "CAN_MANAGE_RUN"}},
		Grants:      []policy.Grant{{Securable: policy.Securable{Type: "schema", Name: "main.raw"}, Privileges: []string{"USE_SCHEMA", "SELECT"}}},
	}}
	p.Principals = []policy.Principal{{ClientID: etl, Role: "etl", Owner: "data-platform"}}
	return &world{policy: p, Inventory: &inventory.Inventory{
		TakenAt: now, AccountID: accID,
		Workspaces: []inventory.Workspace{{ID: sales, Name: "sales", Host: host}},
		People:     []inventory.Person{{ID: "1", UserName: "ann@example.com", Active: true, Assignments: map[int64]inventory.Assignment{sales: {}}}},
		Principals: []inventory.Principal{
			{
				ID: "11", ClientID: etl, Name: "etl", Active: true, Managers: []string{"users/ann@example.com"},
				Assignments: map[int64]inventory.Assignment{sales: {Entitlements: []string{"databricks-sql-access"}, Groups: []string{"users", "etl-writers"}, ID: "911"}},
				Secrets: []inventory.OAuthSecret{
					{ID: "current", CreatedAt: ago(5 * day), ExpiresAt: now.Add(80 * day), Scopes: []string{"jobs", "sql"}},
					{ID: "before", CreatedAt: ago(120 * day), ExpiresAt: now.Add(2 * day)}, // in its grace
				},
			},
			{ID: "12", ClientID: hand, Name: "hand", Active: true, Assignments: map[int64]inventory.Assignment{sales: {}}},
		},
		Tokens: []inventory.Token{{
			ID: "t1", Workspace: sales, Comment: "laptop", OwnerID: "1", Owner: "ann@example.com", CreatedBy: "ann@example.com",
			CreatedAt: ago(40 * day), ExpiresAt: now.Add(50 * day), LastUsedAt: ago(day), Scopes: []string{"sql"}, Autoscope: "RUNNING",
		}},
		Apps: []inventory.App{
			{
				ID: "a1", Name: "reports", Scopes: []string{"sql", "offline_access"}, Creator: "ann@example.com", CreatorID: "1", AccessTTL: time.Hour, RefreshTTL: 7 * day,
				RedirectURLs: []string{"https://reports.example.com/cb", "http://localhost:8020"},
			},
			{ID: "a2", Name: "Tableau", Published: true, AccessTTL: time.Hour, RefreshTTL: 7 * day},
		},
		Federation: []inventory.FederationPolicy{{ID: "f1", Issuer: issuer, Audiences: []string{accID}}},
		Objects: []inventory.Object{
			{Kind: "warehouses", Name: "w1", Workspace: sales, Grants: []inventory.Grant{
				{Identity: etl, Level: "CAN_USE"}, {Identity: "admins", Group: true, Level: "CAN_MANAGE", Inherited: true}, {Identity: "ann@example.com", Level: "IS_OWNER"},
			}},
			{Kind: "jobs", Name: "42", Workspace: sales, Grants: []inventory.Grant{{Identity: "etl-writers", Group: true, Level: "CAN_MANAGE_RUN"}}},
			{Kind: "schema", Name: "main.raw", Workspace: sales, Grants: []inventory.Grant{{Identity: etl, Privilege: []string{"USE SCHEMA", "SELECT"}}}},
		},
		Managed: []inventory.Managed{{
			ARN: arn, Name: "databricks/etl", Host: "https://accounts.cloud.databricks.com", ClientID: etl, OAuthSecretID: "current",
			IssuedAt: ago(20 * time.Hour), ExpiresAt: now.Add(80 * day), Predecessors: []string{"before"}, Recorded: []string{"before", "current"}, Tried: true, Authenticates: true,
		}},
		UsageSince: ago(60 * day),
		Usage:      map[string]inventory.Usage{etl: {Last: ago(time.Hour), Events: 900, Scopes: []string{"jobs", "sql"}}},
	}}
}

// federated gives the principal that has nothing a federation policy.
func (w *world) federated(f inventory.FederationPolicy) {
	w.hand().Federation = []inventory.FederationPolicy{f}
}

// byHand gives the principal that has nothing OAuth secrets of these ages.
func (w *world) byHand(ages ...time.Duration) {
	for i, age := range ages {
		w.hand().Secrets = append(w.hand().Secrets, inventory.OAuthSecret{
			ID: "h" + string(rune('1'+i)), CreatedAt: ago(age), ExpiresAt: now.Add(100 * day), Scopes: []string{"jobs"},
		})
	}
	w.Usage[hand] = inventory.Usage{Last: ago(day), Events: 9, Scopes: []string{"jobs"}}
}

// cases each spoil a healthy estate in one way and tell all that must be found
// then: "rule subject".
func cases() map[string]spoilt {
	orphan := fingerprint.Lifetime(arn, 90*day)
	return map[string]spoilt{
		"nothing wrong": {func(*world) {}, nil},

		"token unused":          {func(w *world) { w.token().LastUsedAt = ago(31 * day) }, []string{"pat-unused t1"}},
		"token used in time":    {func(w *world) { w.token().LastUsedAt = ago(30 * day) }, nil},
		"token never used":      {func(w *world) { w.token().LastUsedAt = time.Time{} }, []string{"pat-never-used t1"}},
		"new token never used":  {func(w *world) { w.token().LastUsedAt, w.token().CreatedAt = time.Time{}, ago(29*day) }, nil},
		"token near revocation": {func(w *world) { w.token().LastUsedAt = ago(80 * day) }, []string{"pat-near-revocation t1", "pat-unused t1"}},
		"never used and near revocation": {func(w *world) {
			w.token().LastUsedAt, w.token().CreatedAt, w.token().ExpiresAt = time.Time{}, ago(80*day), now.Add(9*day)
		}, []string{"pat-near-revocation t1", "pat-never-used t1"}},
		"token not yet near revocation": {func(w *world) { w.token().LastUsedAt = ago(75 * day) }, []string{"pat-unused t1"}},
		"token without expiry":          {func(w *world) { w.token().ExpiresAt = time.Time{} }, []string{"pat-no-expiry t1"}},
		"token of exactly 90 days":      {func(w *world) { w.token().ExpiresAt = w.token().CreatedAt.Add(90 * day) }, nil},
		"token of 91 days":              {func(w *world) { w.token().ExpiresAt = w.token().CreatedAt.Add(91 * day) }, []string{"pat-lifetime t1"}},
		"token expiring":                {func(w *world) { w.token().ExpiresAt = now.Add(10 * day) }, []string{"pat-expiring t1"}},
		"unused token expiring": {func(w *world) {
			w.token().ExpiresAt, w.token().LastUsedAt = now.Add(10*day), ago(31*day)
		}, []string{"pat-unused t1"}},
		"short-lived token": {func(w *world) { w.token().CreatedAt, w.token().ExpiresAt = ago(day), now.Add(6*day) }, nil},
		"expired token":     {func(w *world) { w.token().ExpiresAt, w.token().Scopes = now, nil }, nil},
		"token of a program": {func(w *world) {
			w.People[0].UserName, w.token().Owner, w.Apps[0].Creator = "Svc-load@example.com", "svc-load@example.com", "svc-load@example.com"
		}, []string{"pat-automation t1"}},
		"token of a principal": {func(w *world) { w.token().Automation, w.token().Owner = true, etl }, []string{"pat-of-principal t1"}},
		"unrestricted token":   {func(w *world) { w.token().Scopes = nil }, []string{"pat-all-apis t1"}},
		"all-apis token":       {func(w *world) { w.token().Scopes = []string{"all-apis"} }, []string{"pat-all-apis t1"}},
		"unrestricted token where that is fine": {func(w *world) {
			w.token().Scopes, w.policy.Audit.BroadScopes = nil, []string{"scim"}
		}, nil},
		"unrestricted token of a role": {func(w *world) {
			w.token().Automation, w.token().Owner, w.token().Scopes, w.policy.Audit.BroadScopes = true, etl, nil, nil
		}, []string{"pat-all-apis t1", "pat-of-principal t1"}},
		"unrestricted token of an unrestricted role": {func(w *world) {
			w.role(func(r *policy.Role) { r.Scopes = []string{"all-apis"} })
			w.token().Automation, w.token().Owner, w.token().Scopes = true, etl, nil
		}, []string{"pat-of-principal t1"}},
		"token beyond its role": {func(w *world) {
			w.token().Automation, w.token().Owner, w.token().Scopes = true, etl, []string{"sql", "scim", "offline_access"}
		}, []string{"pat-beyond-role t1", "pat-of-principal t1"}},
		"token with a broad scope": {func(w *world) { w.token().Scopes = []string{"sql", "authentication"} }, []string{"pat-broad-scope t1"}},
		"token watched to the end": {func(w *world) { w.token().Autoscope, w.token().Inferred = "COMPLETED", []string{"sql"} }, nil},
		"token with unused scopes": {func(w *world) {
			w.token().Scopes = []string{"sql", "jobs"}
			w.token().Autoscope, w.token().Inferred = "COMPLETED", []string{"sql"}
		}, []string{"pat-scopes-unused t1"}},
		"unused scopes, still watched": {func(w *world) { w.token().Scopes = []string{"sql", "jobs"}; w.token().Inferred = []string{"sql"} }, nil},
		"inferred beyond what it has":  {func(w *world) { w.token().Autoscope, w.token().Inferred = "COMPLETED", []string{"sql", "jobs"} }, nil},
		"token without owner":          {func(w *world) { w.token().Owner = "" }, []string{"pat-owner-gone t1"}},
		"token of nobody knows whom":   {func(w *world) { w.token().Owner, w.token().OwnerUnknown = "", true }, nil},
		"token of somebody who left":   {func(w *world) { w.People[0].Active = false }, []string{"app-owner-gone a1", "pat-owner-gone t1"}},

		"old secret": {func(w *world) {
			w.etl().Secrets[0].CreatedAt, w.Managed[0].IssuedAt = ago(91*day), ago(91*day)
		}, []string{"managed-overdue " + arn, "secret-old current", "secret-surplus before"}},
		"secret without expiry":      {func(w *world) { w.etl().Secrets[0].ExpiresAt = time.Time{} }, []string{"secret-no-expiry current"}},
		"current secret expiring":    {func(w *world) { w.etl().Secrets[0].ExpiresAt = now.Add(13 * day) }, []string{"secret-expiring current"}},
		"secret by hand expiring":    {func(w *world) { w.byHand(5 * day); w.hand().Secrets[0].ExpiresAt = now.Add(13 * day) }, []string{"principal-unmanaged 12", "secret-expiring h1"}},
		"secret by hand has a newer": {func(w *world) { w.byHand(20*day, 5*day); w.hand().Secrets[0].ExpiresAt = now.Add(13 * day) }, []string{"principal-unmanaged 12"}},
		"foreign secret": {func(w *world) {
			w.etl().Secrets = append(w.etl().Secrets, inventory.OAuthSecret{ID: "x", CreatedAt: ago(day), ExpiresAt: now.Add(89 * day), Scopes: []string{"sql"}})
		}, []string{"secret-foreign x"}},
		"old foreign secret": {func(w *world) {
			w.etl().Secrets = append(w.etl().Secrets, inventory.OAuthSecret{ID: "x", CreatedAt: ago(400 * day), Scopes: []string{"sql"}})
		}, []string{"secret-foreign x", "secret-no-expiry x", "secret-old x"}},
		"foreign, or in a version that was not read": {func(w *world) {
			w.Managed[0].RecordedUnknown = true
			w.etl().Secrets = append(w.etl().Secrets, inventory.OAuthSecret{ID: "x", CreatedAt: ago(day), ExpiresAt: now.Add(89 * day), Scopes: []string{"sql"}})
		}, nil},
		"orphan": {func(w *world) {
			w.etl().Secrets = append(w.etl().Secrets, inventory.OAuthSecret{ID: "x", CreatedAt: ago(day), ExpiresAt: ago(day).Add(orphan), Scopes: []string{"sql"}})
		}, []string{"secret-orphan x"}},
		"orphan in another run's hands": {func(w *world) {
			w.etl().Secrets = append(w.etl().Secrets, inventory.OAuthSecret{ID: "x", CreatedAt: ago(29 * time.Minute), ExpiresAt: ago(29 * time.Minute).Add(orphan), Scopes: []string{"sql"}})
		}, nil},
		"predecessor past its grace": {func(w *world) { w.Managed[0].IssuedAt = ago(51 * time.Hour) }, []string{"secret-surplus before"}},
		"predecessor just past":      {func(w *world) { w.Managed[0].IssuedAt = ago(49 * time.Hour) }, nil},
		"three secrets by hand":      {func(w *world) { w.byHand(9*day, 8*day, 7*day) }, []string{"principal-unmanaged 12", "secret-surplus h1"}},
		"five secrets by hand": {func(w *world) { w.byHand(9*day, 8*day, 7*day, 6*day, 5*day) }, []string{
			"principal-full 12", "principal-unmanaged 12", "secret-surplus h1", "secret-surplus h2", "secret-surplus h3",
		}},
		"unrestricted secret of a role": {func(w *world) { w.etl().Secrets[0].Scopes, w.Usage = nil, nil }, []string{"secret-all-apis current"}},
		"secret beyond its role":        {func(w *world) { w.etl().Secrets[0].Scopes, w.Usage = []string{"jobs", "sql", "scim"}, nil }, []string{"secret-beyond-role current"}},
		"broad secret without role":     {func(w *world) { w.byHand(day); w.hand().Secrets[0].Scopes = nil }, []string{"principal-unmanaged 12", "secret-broad-scope h1"}},
		"secret with unused scopes": {func(w *world) {
			w.etl().Secrets[0].CreatedAt = ago(31 * day)
			w.Usage[etl] = inventory.Usage{Last: ago(time.Hour), Events: 9, Scopes: []string{"sql"}}
		}, []string{"secret-scopes-unused current"}},
		"unused scopes, and calls of unknown scope": {func(w *world) {
			w.etl().Secrets[0].CreatedAt = ago(31 * day)
			w.Usage[etl] = inventory.Usage{Last: ago(time.Hour), Events: 9, Scopes: []string{"sql"}, Unmapped: []string{"newService"}}
		}, nil},
		"unused scopes in a short log": {func(w *world) {
			w.etl().Secrets[0].CreatedAt, w.UsageSince = ago(31*day), ago(7*day)
			w.Usage[etl] = inventory.Usage{Last: ago(time.Hour), Events: 9, Scopes: []string{"sql"}}
		}, nil},

		"inactive principal with secrets": {func(w *world) { w.byHand(day); w.hand().Active = false }, []string{"principal-inactive 12"}},
		"inactive principal without":      {func(w *world) { w.hand().Active = false }, nil},
		"inactive because held": {func(w *world) {
			w.etl().Active, w.Managed[0].Held, w.Managed[0].Authenticates = false, true, false
		}, []string{"managed-locked " + arn}},
		"principal unused":            {func(w *world) { w.byHand(40 * day); delete(w.Usage, hand) }, []string{"principal-unmanaged 12", "principal-unused 12"}},
		"principal unused in the log": {func(w *world) { w.byHand(40 * day); w.Usage[hand] = inventory.Usage{Last: ago(35 * day), Events: 2} }, []string{"principal-unmanaged 12", "principal-unused 12"}},
		"no log":                      {func(w *world) { w.byHand(40 * day); w.Usage = nil }, []string{"principal-unmanaged 12"}},
		"on AWS":                      {func(w *world) { w.policy.Principals[0].OnAWS = true }, []string{"principal-on-aws 11"}},
		"on AWS without secrets": {func(w *world) {
			w.policy.Principals = append(w.policy.Principals, policy.Principal{ClientID: hand, OnAWS: true})
		}, nil},
		"account admin":                {func(w *world) { w.hand().AccountAdmin = true }, []string{"admin-account 12"}},
		"workspace admin":              {func(w *world) { w.hand().Assignments[sales] = inventory.Assignment{Admin: true} }, []string{"admin-workspace 12"}},
		"account admin, as it must be": {func(w *world) { w.Principals[1].ClientID, w.hand().AccountAdmin = own, true }, []string{"admin-account 12"}},
		"workspace admin, as it must be": {func(w *world) {
			w.Principals[1].ClientID, w.hand().Assignments[sales] = own, inventory.Assignment{Admin: true}
		}, []string{"admin-workspace 12"}},
		"account admin by role": {func(w *world) {
			w.role(func(r *policy.Role) { r.Admin = policy.AdminAccount })
			w.etl().AccountAdmin = true
		}, nil},
		"account admin, role workspace": {func(w *world) {
			w.role(func(r *policy.Role) { r.Admin = policy.AdminWorkspace })
			w.etl().AccountAdmin = true
		}, []string{"admin-account 11"}},
		"workspace admin by role": {func(w *world) {
			w.role(func(r *policy.Role) { r.Admin = policy.AdminWorkspace })
			w.etl().Assignments[sales] = inventory.Assignment{Admin: true, Groups: []string{"admins", "etl-writers"}}
		}, nil},
		"everybody manages": {func(w *world) { w.etl().Managers = append(w.etl().Managers, "groups/account users") }, []string{"manager-everyone 11"}},

		"permission beyond the role": {func(w *world) { w.Objects[0].Grants[0].Level = "CAN_MANAGE" }, []string{"acl-beyond-role 11"}},
		"less than the role has":     {func(w *world) { w.Objects[0].Grants[0].Level = "CAN_VIEW" }, nil},
		"unknown level":              {func(w *world) { w.Objects[0].Grants[0].Level = "CAN_ASCEND" }, []string{"acl-beyond-role 11"}},
		"permission through a group": {func(w *world) { w.Objects[1].Grants[0].Level = "CAN_MANAGE" }, []string{"acl-beyond-role 11"}},
		"permission of no role":      {func(w *world) { w.Objects[0].Grants[0].Identity = hand }, []string{}},
		"privilege beyond the role":  {func(w *world) { w.Objects[2].Grants[0].Privilege = []string{"SELECT", "MODIFY"} }, []string{"acl-beyond-role 11"}},
		"privilege granted above": {func(w *world) {
			w.role(func(r *policy.Role) {
				r.Grants = []policy.Grant{{Securable: policy.Securable{Type: "catalog", Name: "main"}, Privileges: []string{"USE_SCHEMA", "SELECT"}}}
			})
		}, nil},
		"all privileges but manage": {func(w *world) {
			w.role(func(r *policy.Role) { r.Grants[0].Privileges = []string{"ALL PRIVILEGES"} })
			w.Objects[2].Grants[0].Privilege = []string{"MODIFY", "MANAGE"}
		}, []string{"acl-beyond-role 11"}},
		"object for everybody": {func(w *world) {
			w.Objects[0].Grants = append(w.Objects[0].Grants, inventory.Grant{Identity: "users", Group: true, Level: "CAN_USE"})
		}, []string{"acl-everyone warehouses/w1"}},
		"entitlement beyond the role": {func(w *world) {
			w.etl().Assignments[sales] = inventory.Assignment{Entitlements: []string{"allow-cluster-create", "databricks-sql-access"}, Groups: []string{"etl-writers"}, ID: "911"}
		}, []string{"entitlement-beyond-role 11"}},
		"group beyond the role": {func(w *world) { w.etl().Groups = []string{"finance", "account users"} }, []string{"group-beyond-role 11"}},
		"permission without scope": {func(w *world) {
			w.byHand(day)
			w.Objects[0].Grants = append(w.Objects[0].Grants, inventory.Grant{Identity: hand, Level: "CAN_USE"})
		}, []string{"layers-permission-without-scope 12", "principal-unmanaged 12"}},
		"permission with a federated scope": {func(w *world) {
			w.byHand(day)
			w.federated(inventory.FederationPolicy{ID: "f2", Issuer: issuer, Subject: "repo:a/b:ref:refs/heads/main"})
			w.Objects[0].Grants = append(w.Objects[0].Grants, inventory.Grant{Identity: hand, Level: "CAN_USE"})
		}, []string{"principal-unmanaged 12"}},
		"scope without permission": {func(w *world) { w.Objects[1].Grants = nil }, []string{"layers-scope-without-permission 11"}},
		"scope for nowhere":        {func(w *world) { w.byHand(day); w.hand().Assignments = nil }, []string{"layers-scope-without-permission 12", "principal-unmanaged 12"}},
		"scope for what was not read": {func(w *world) {
			w.Objects[1].Grants = nil
			w.role(func(r *policy.Role) {
				r.Permissions = append(r.Permissions, policy.Permission{Object: policy.Object{Type: "jobs", ID: "43"}, Level: "CAN_VIEW"})
			})
		}, nil},

		"app with all-apis":              {func(w *world) { w.Apps[0].Scopes = []string{"all-apis"} }, []string{"app-broad-scopes a1"}},
		"app without scopes":             {func(w *world) { w.Apps[0].Scopes = nil }, []string{"app-broad-scopes a1"}},
		"users may authorize one of two": {func(w *world) { w.Apps[0].UserScopes = []string{"sql", "scim"} }, []string{"app-broad-scopes a1"}},
		"users may authorize all-apis":   {func(w *world) { w.Apps[0].UserScopes = []string{"all-apis"} }, []string{"app-broad-scopes a1"}},
		"app with long refresh tokens":   {func(w *world) { w.Apps[1].RefreshTTL = 90 * day }, []string{"app-refresh-ttl a2"}},
		"app with long access tokens":    {func(w *world) { w.Apps[0].AccessTTL = 2 * time.Hour }, []string{"app-access-ttl a1"}},
		"app with long access tokens only": {func(w *world) {
			w.Apps[0].AccessTTL, w.Apps[0].RefreshTTL, w.Apps[0].SingleUse = 2*time.Hour, day, true
		}, []string{"app-access-ttl a1"}},
		"principal's token of a year": {func(w *world) {
			w.token().Automation, w.token().Owner, w.token().ExpiresAt = true, etl, w.token().CreatedAt.Add(365*day)
		}, []string{"pat-lifetime t1", "pat-of-principal t1"}},
		"app of nobody":                {func(w *world) { w.Apps[0].Creator = "" }, []string{"app-owner-gone a1"}},
		"app of nobody knows whom":     {func(w *world) { w.Apps[0].Creator, w.Apps[0].CreatorUnknown = "", true }, nil},
		"app with a plain redirect":    {func(w *world) { w.Apps[0].RedirectURLs[0] = "http://reports.example.com/cb" }, []string{"app-redirect a1"}},
		"app with a wildcard redirect": {func(w *world) { w.Apps[0].RedirectURLs[0] = "https://*.example.com/cb" }, []string{"app-redirect a1"}},
		"federation for one repository": {func(w *world) {
			w.federated(inventory.FederationPolicy{ID: "f2", Issuer: issuer, Subject: "repo:a/b:ref:refs/heads/main"})
		}, nil},
		"federation without subject": {func(w *world) { w.federated(inventory.FederationPolicy{ID: "f2", Issuer: issuer}) }, []string{"federation-subject 12/f2"}},
		"federation for an owner": {func(w *world) {
			w.federated(inventory.FederationPolicy{ID: "f2", Issuer: issuer, Subject: "acme", SubjectClaim: "repository_owner"})
		}, []string{"federation-subject 12/f2"}},
		"federation with a wildcard": {func(w *world) {
			w.federated(inventory.FederationPolicy{ID: "f2", Issuer: issuer, Subject: "repo:acme/*"})
		}, []string{"federation-subject 12/f2"}},
		"audience of others":            {func(w *world) { w.Federation[0].Audiences = []string{accID, "sts.amazonaws.com"} }, []string{"federation-audience f1"}},
		"unknown issuer":                {func(w *world) { w.Federation[0].Issuer = "https://idp.example.org" }, []string{"federation-issuer f1"}},
		"issuer with a slash":           {func(w *world) { w.Federation[0].Issuer = issuer + "/" }, nil},
		"any issuer, but not over http": {func(w *world) { w.policy.Audit.TrustedIssuers, w.Federation[0].Issuer = nil, "http://idp.example.org" }, []string{"federation-issuer f1"}},

		"managed secret does not authenticate": {func(w *world) { w.Managed[0].Authenticates = false }, []string{"managed-dead " + arn}},
		"managed secret was not tried":         {func(w *world) { w.Managed[0].Tried, w.Managed[0].Authenticates = false, false }, nil},
		"managed secret overdue": {func(w *world) {
			w.Managed[0].IssuedAt, w.Managed[0].Predecessors, w.Managed[0].Recorded = ago(32*day), nil, []string{"current"}
			w.etl().Secrets = w.etl().Secrets[:1]
		}, []string{"managed-overdue " + arn}},
		"managed secret never issued": {func(w *world) {
			w.Managed = append(w.Managed, inventory.Managed{ARN: arn + "2", Name: "databricks/hand", ClientID: hand})
		}, []string{"managed-overdue " + arn + "2"}},
		"managed secret unreadable": {func(w *world) {
			w.byHand(day)
			w.Managed = append(w.Managed, inventory.Managed{ARN: arn + "2", Name: "databricks/hand", Err: "its value is not JSON"})
		}, []string{"managed-unreadable " + arn + "2", "principal-unmanaged 12"}},
		"workspace unread": {func(w *world) {
			w.Gaps = []inventory.Gap{{Where: host, What: "everything in the workspace", Why: "no reply"}}
		}, []string{"source-unreadable " + host + ": everything in the workspace"}},
	}
}

type spoilt struct {
	spoil func(w *world)
	want  []string
}

var place = rule.Place{Console: "https://accounts.cloud.databricks.com", RotateFunction: "rotation-rotate", RevokeFunction: "rotation-revoke", Own: own}

func TestRules(t *testing.T) {
	for name, c := range cases() {
		t.Run(name, func(t *testing.T) {
			w := healthy()
			c.spoil(w)
			found, gaps := judge(rule.NewEstate(w.Inventory, w.policy, place), rule.Judge)
			compare(t, found, c.want)
			if len(gaps) > 0 {
				t.Errorf("rules stumbled: %v", gaps)
			}
		})
	}
}

func TestEveryRuleHasACase(t *testing.T) {
	found := map[string]bool{}
	for _, c := range cases() {
		for _, want := range c.want {
			id, _, _ := strings.Cut(want, " ")
			found[id] = true
		}
	}
	seen := map[string]bool{}
	for _, r := range rule.Rules() {
		if seen[r.ID] {
			t.Errorf("rule %s is there twice", r.ID)
		}
		seen[r.ID] = true
		if !found[r.ID] {
			t.Errorf("no case expects rule %s", r.ID)
		}
		if r.Title == "" || r.What == "" || r.Why == "" || r.Remedy == "" || r.Practice == "" || r.Severity < finding.Info || r.Severity > finding.Critical {
			t.Errorf("rule %s leaves something out", r.ID)
		}
	}
}

// Invariant 10: one rule that stumbles stops none of the others, and what it
// could not look at is said.
func TestRuleStumbles(t *testing.T) {
	w := healthy()
	w.token().ExpiresAt = time.Time{}
	found, gaps := judge(rule.NewEstate(w.Inventory, w.policy, place), rule.JudgeStumbling)
	if len(found) != 2 || found[0].Rule != "stumbling" || found[1].Rule != "pat-no-expiry" {
		t.Errorf("found %v", found)
	}
	if len(gaps) != 1 || gaps[0].What != "rule stumbling" || !strings.Contains(gaps[0].Why, "index out of range") {
		t.Errorf("gaps %v", gaps)
	}
}
