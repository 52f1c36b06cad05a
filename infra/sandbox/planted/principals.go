package planted

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/fingerprint"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
)

func (e *Estate) etl(m *member) { m.role = e.roles[0] }

// adopt mends a principal that nobody rotated: it is registered, and what
// people made for it is deleted.
func (e *Estate) adopt(m *member) {
	e.fix(func() error {
		for _, s := range e.clouds.Databricks.Secrets(m.ID) {
			e.clouds.Databricks.DeleteSecret(m.ID, s.ID)
		}
		if len(m.scopes) == 0 {
			m.scopes = m.role.scopes
		}
		m.age = day
		return e.manage(m)
	})
}

// reissue mends a managed principal by a new credential with the scopes of its
// role.
func (e *Estate) reissue(m *member) {
	e.fix(func() error {
		m.scopes, m.lifetime = m.role.scopes, 0
		return e.rotate(m, day)
	})
}

func (e *Estate) plantSecrets() error {
	old, err1 := e.add("old", func(m *member) { m.age, m.lifetime = 100*day, 365*day })
	e.fault("secret-old", old.secret.ID)
	e.fault("managed-overdue", old.arn)
	e.reissue(old)

	forever, err2 := e.add("forever", func(m *member) { m.unmanaged = true })
	s, err3 := e.byHand(forever, 20*day, 0)
	e.fault("secret-no-expiry", s.ID)
	e.fault("principal-unmanaged", forever.id)
	e.adopt(forever)

	expiring, err4 := e.add("expiring", func(m *member) { m.unmanaged = true })
	s, err5 := e.byHand(expiring, 50*day, 57*day)
	e.fault("secret-expiring", s.ID)
	e.fault("principal-unmanaged", expiring.id)
	e.adopt(expiring)

	foreign, err6 := e.add("foreign", nil)
	made, err7 := e.byHand(foreign, 30*day, 365*day)
	e.fault("secret-foreign", made.ID)
	e.fix(func() error { e.clouds.Databricks.DeleteSecret(foreign.ID, made.ID); return nil })

	orphan, err8 := e.add("orphan", nil)
	left, err9 := e.byHand(orphan, 2*day, fingerprint.Lifetime(orphan.arn, 90*day))
	e.fault("secret-orphan", left.ID)
	e.fix(func() error { e.clouds.Databricks.DeleteSecret(orphan.ID, left.ID); return nil })

	surplus, err10 := e.add("surplus", nil)
	before, err11 := e.byHand(surplus, 40*day, fingerprint.Lifetime(surplus.arn, 90*day))
	surplus.value.Predecessors = []credential.Predecessor{{OAuthSecretID: before.ID, SupersededAt: e.now.Add(-10 * day)}}
	err12 := e.put(surplus)
	e.fault("secret-surplus", before.ID)
	e.fix(func() error {
		e.clouds.Databricks.DeleteSecret(surplus.ID, before.ID)
		surplus.value.Predecessors = nil
		return e.put(surplus)
	})

	wide, err13 := e.add("wide", func(m *member) { m.scopes = []string{} })
	e.fault("secret-all-apis", wide.secret.ID)
	e.reissue(wide)

	beyond, err14 := e.add("beyond", func(m *member) { m.scopes = []string{"clusters", "jobs", "sql"} })
	e.fault("secret-beyond-role", beyond.secret.ID)
	e.reissue(beyond)

	broad, err15 := e.add("broad", func(m *member) { m.unmanaged, m.noRole, m.scopes = true, true, []string{} })
	s, err16 := e.byHand(broad, 20*day, 90*day)
	e.fault("secret-broad-scope", s.ID)
	e.fault("principal-unmanaged", broad.id)
	e.adopt(broad)

	idle, err17 := e.add("idle-scope", func(m *member) { e.etl(m); m.age, m.used = 30*day+hour, []string{"sql"} })
	e.fault("secret-scopes-unused", idle.secret.ID)
	e.fix(func() error { e.works(idle.Principal, "jobs"); return nil })
	e.reissue(idle)

	full, err18 := e.add("full", func(m *member) { m.unmanaged = true })
	err19 := e.fillUp(full)

	return errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11, err12, err13, err14, err15, err16, err17, err18, err19)
}

// fillUp gives a principal all the OAuth secrets that it can have. Two of them
// are as many as somebody needs who rotates by hand.
func (e *Estate) fillUp(full *member) error {
	for i := range 5 {
		s, err := e.byHand(full, time.Duration(10+i)*day, 120*day)
		if err != nil {
			return err
		}
		if i >= 2 {
			e.fault("secret-surplus", s.ID)
		}
	}
	e.fault("principal-full", full.id)
	e.fault("principal-unmanaged", full.id)
	e.adopt(full)
	return nil
}

func (e *Estate) plantPrincipals() error {
	inactive, err1 := e.add("inactive", func(m *member) { m.unmanaged, m.inactive, m.idle = true, true, true })
	sleeping, err2 := e.byHand(inactive, 20*day, 120*day)
	e.fault("principal-inactive", inactive.id)
	e.fix(func() error { e.clouds.Databricks.DeleteSecret(inactive.ID, sleeping.ID); return nil })

	unused, err3 := e.add("unused", func(m *member) { m.unmanaged, m.idle = true, true })
	forgotten, err4 := e.byHand(unused, 65*day, 120*day)
	e.fault("principal-unused", unused.id)
	e.fault("principal-unmanaged", unused.id)
	e.Stale = append(e.Stale, forgotten.ID)
	e.fix(func() error { e.clouds.Databricks.DeleteSecret(unused.ID, forgotten.ID); return nil })

	cloud, err5 := e.add("on-aws", func(m *member) { m.onAWS = true })
	e.fault("principal-on-aws", cloud.id)
	e.fix(func() error {
		e.clouds.Databricks.AddFederationPolicy(cloud.ID, databrickstest.FederationPolicy{
			Issuer: e.clouds.AWS.Issuer(), Audiences: []string{e.clouds.Databricks.AccountID()}, Subject: e.clouds.AWS.RoleARN("task"),
		})
		e.clouds.Databricks.DeleteSecret(cloud.ID, cloud.secret.ID)
		return e.unmanage(cloud.arn)
	})

	account, err6 := e.add("account-admin", func(m *member) { m.accountAdmin = true })
	e.fault("admin-account", account.id)
	e.fix(func() error {
		role := e.policy.Roles[account.role.name]
		role.Admin = policy.AdminAccount
		e.policy.Roles["account-admin"] = role
		e.setRole(account, "account-admin")
		return nil
	})

	workspace, err7 := e.add("workspace-admin", func(m *member) { m.admin = true })
	e.fault("admin-workspace", workspace.id)
	e.fix(func() error {
		e.clouds.Databricks.Assign(workspace.ID, workspace.role.workspace, false)
		return nil
	})

	anybody, err8 := e.add("anybody", nil)
	everyone := e.clouds.Databricks.AddGroup(databrickstest.GroupSpec{Name: "account users"})
	e.clouds.Databricks.GrantManager(everyone.ID, anybody.ID)
	e.fault("manager-everyone", anybody.id)
	e.fix(func() error { e.clouds.Databricks.RevokeManager(everyone.ID, anybody.ID); return nil })
	return errors.Join(err1, err2, err3, err4, err5, err6, err7, err8)
}

func (e *Estate) setRole(m *member, role string) {
	for i := range e.policy.Principals {
		if e.policy.Principals[i].ClientID == m.ApplicationID {
			e.policy.Principals[i].Role = role
		}
	}
}

// unmanage takes a secret out of the rotation.
func (e *Estate) unmanage(arn string) error {
	_, err := e.clouds.Secrets.UntagResource(context.Background(), &secretsmanager.UntagResourceInput{SecretId: &arn, TagKeys: []string{managedsecret.TagKey}})
	return err
}

func (e *Estate) plantAccess() error {
	db := e.clouds.Databricks
	manages, err1 := e.add("manages-warehouse", func(m *member) { m.level = "CAN_MANAGE" })
	e.fault("acl-beyond-role", manages.id)
	e.fix(func() error { e.allow(manages.role.object, manages.ID, manages.role.level); return nil })

	modifies, err2 := e.add("modifies-schema", e.etl)
	db.SetGrants(schema, databrickstest.Grant{Who: modifies.ID, Privileges: []string{"USE_SCHEMA", "SELECT", "MODIFY"}})
	e.fault("acl-beyond-role", modifies.id)
	e.fix(func() error {
		db.SetGrants(schema, databrickstest.Grant{Who: modifies.ID, Privileges: []string{"USE_SCHEMA", "SELECT"}})
		return nil
	})

	entitled, err3 := e.add("entitled", func(m *member) { m.entitlements = []string{"databricks-sql-access", "allow-cluster-create"} })
	e.fault("entitlement-beyond-role", entitled.id)
	e.fix(func() error { db.Entitle(entitled.ID, entitled.role.workspace, "databricks-sql-access"); return nil })

	grouped, err4 := e.add("grouped", nil)
	finance := db.AddGroup(databrickstest.GroupSpec{Name: "finance"})
	db.AddMember(finance.ID, grouped.ID)
	e.fault("group-beyond-role", grouped.id)
	e.fix(func() error {
		role := e.policy.Roles[grouped.role.name]
		role.Groups = append(role.Groups, "finance")
		e.policy.Roles[grouped.role.name] = role
		return nil
	})

	e.allow(dashboard, databrickstest.Users, "CAN_READ")
	e.fault("acl-everyone", dashboard)
	e.fix(func() error { e.disallow(dashboard, databrickstest.Users); return nil })

	useless, err5 := e.add("useless-permission", func(m *member) { m.noRole, m.scopes = true, []string{"jobs"}; e.etl(m) })
	e.allow(useless.role.object, useless.ID, "CAN_USE")
	e.fault("layers-permission-without-scope", useless.id)
	e.fix(func() error { e.disallow(useless.role.object, useless.ID); return nil })

	lost, err6 := e.add("lost-permission", func(m *member) { e.etl(m); m.noJob = true })
	e.fault("layers-scope-without-permission", lost.id)
	e.fix(func() error { e.allow(job, lost.ID, jobLevel); return nil })

	e.fault("source-unreadable", "policy: the permissions of "+gone)
	e.fix(func() error {
		e.roles[0].workspace.SetAccess(gone, databrickstest.Access{Who: databrickstest.Admins, Level: "CAN_MANAGE"})
		return nil
	})
	return errors.Join(err1, err2, err3, err4, err5, err6)
}

func (e *Estate) plantFederation() error {
	db := e.clouds.Databricks
	ci, err := e.add("ci", nil)
	if err != nil {
		return err
	}
	right := databrickstest.FederationPolicy{ID: "right", Issuer: issuer, Subject: "repo:acme/data:ref:refs/heads/main"}
	db.AddFederationPolicy(ci.ID, right)
	for id, p := range map[string]databrickstest.FederationPolicy{
		"federation-subject":  {ID: "owner", Issuer: issuer, Subject: "acme", SubjectClaim: "repository_owner"},
		"federation-audience": {ID: "aws", Issuer: issuer, Subject: "repo:acme/data:ref:refs/heads/dev", Audiences: []string{"sts.amazonaws.com"}},
		"federation-issuer":   {ID: "stranger", Issuer: "https://idp.example.org", Subject: "build"},
	} {
		db.AddFederationPolicy(ci.ID, p)
		e.fault(id, strconv.FormatInt(ci.ID, 10)+"/"+p.ID)
		e.fix(func() error { db.RemoveFederationPolicy(ci.ID, p.ID); return nil })
	}
	return nil
}

func (e *Estate) plantManaged() error {
	dead, err1 := e.add("dead", nil)
	e.clouds.Databricks.DeleteSecret(dead.ID, dead.secret.ID)
	e.fault("managed-dead", dead.arn)
	e.reissue(dead)

	overdue, err2 := e.add("overdue", func(m *member) { m.age = 40 * day })
	e.fault("managed-overdue", overdue.arn)
	e.reissue(overdue)

	broken, err3 := e.clouds.AWS.CreateSecret("databricks/broken", `{"DATABRICKS_HOST": "typo`, map[string]string{managedsecret.TagKey: managedsecret.TagValue})
	e.fault("managed-unreadable", broken)
	e.MendBroken = func() error { return e.unmanage(broken) }
	e.fix(func() error { return e.MendBroken() })

	locked, err4 := e.add("locked", func(m *member) { m.idle = true })
	e.busy = append(e.busy, busy{identity: locked.ApplicationID})
	e.clouds.Databricks.DeleteSecret(locked.ID, locked.secret.ID)
	e.clouds.Databricks.SetActive(locked.ID, false)
	since := e.now.Add(-2 * day)
	_, err5 := e.clouds.Secrets.TagResource(context.Background(), &secretsmanager.TagResourceInput{SecretId: &locked.arn, Tags: []types.Tag{{
		Key: aws.String(managedsecret.HoldKey), Value: aws.String(managedsecret.Hold{Kind: managedsecret.LockedOut, Since: since}.String()),
	}}})
	e.fault("managed-locked", locked.arn)
	e.seen(locked.Principal, since.Add(-day), ours, agent)
	e.seen(locked.Principal, since.Add(3*hour), ours, agent)
	e.fault("use-after-revocation", locked.id)
	e.fix(func() error {
		_, err := e.clouds.Secrets.UntagResource(context.Background(), &secretsmanager.UntagResourceInput{SecretId: &locked.arn, TagKeys: []string{managedsecret.HoldKey}})
		e.clouds.Databricks.SetActive(locked.ID, true)
		e.works(locked.Principal, locked.role.scopes...)
		return err
	})
	e.reissue(locked)
	return errors.Join(err1, err2, err3, err4, err5)
}
