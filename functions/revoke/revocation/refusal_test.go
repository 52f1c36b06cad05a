package revocation_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"databricks-credential-rotation/functions/revoke/revocation"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/managedsecret"
)

// Each mistake is one clear error, and changes nothing.
func TestRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.rotated("etl")
		twin := w.register(estatetest.Registration{Name: "twin-a"})
		w.Databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "twin-a"})
		stranger := w.Databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "stranger"})
		plain, err := w.SecretsManager("operator").CreateSecret(w.t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("plain"), SecretString: aws.String("{}")})
		w.must(err)
		foreign, _ := w.MakeByHand(m, 365*day)
		account := w.Databricks.AccountHost()
		_ = twin

		revoke := func(r revocation.Request) revocation.Request { r.Mode = revocation.Revoke; return r }
		for name, test := range map[string]struct {
			req  revocation.Request
			want string
		}{
			"no such secret": {revoke(revocation.Request{Secret: "etl2"}), "there is no secret etl2 in this account and region"},
			"not managed":    {revoke(revocation.Request{Secret: *plain.ARN}), "secret plain is not managed: it lacks the tag databricks-rotation = managed"},
			"unknown name":   {revoke(revocation.Request{ServicePrincipal: "nobody"}), "no service principal has the id or the name nobody; looked at " + account},
			"ambiguous name": {revoke(revocation.Request{ServicePrincipal: "twin-a"}), "the name twin-a is not unique: "},
			"unmanaged":      {revoke(revocation.Request{ServicePrincipal: "stranger"}), "no managed secret is of " + stranger.ApplicationID + ": everything of it is somebody else's; set include_foreign"},
			"unmanaged, replaced": {
				revocation.Request{Mode: revocation.Replace, IncludeForeign: true, ServicePrincipal: "stranger"},
				"so a new credential would reach nobody; use revoke or lockout",
			},
			"unknown client id": {
				revoke(revocation.Request{ServicePrincipal: "00000000-0000-0000-0000-000000000000", IncludeForeign: true}),
				"00000000-0000-0000-0000-000000000000 is not found at ",
			},
			"unknown hash": {revoke(revocation.Request{SHA256: strings.Repeat("0", 64)}), "no version holds a value with this hash: looked in 2 secrets and 3 versions;"},
			"unknown OAuth secret": {
				revoke(revocation.Request{OAuthSecretID: "nope"}),
				"no version and no managed principal has it: looked in 2 secrets and 3 versions, and at 2 principals; name the service_principal instead",
			},
			"foreign OAuth secret": {revoke(revocation.Request{OAuthSecretID: foreign.ID}), foreign.ID + " of service principal etl (" + m.Principal.ApplicationID + ") is somebody else's: set include_foreign"},
			"a host elsewhere": {
				revoke(revocation.Request{ServicePrincipal: "nobody", Host: "https://evil.example.com"}), "evil.example.com is not among the allowed hosts",
			},
			"tokens elsewhere": {revoke(revocation.Request{TokensOf: "ann", Host: "https://evil.example.com"}), "evil.example.com is not among the allowed hosts"},
			"no such token":    {revoke(revocation.Request{TokenID: "77", Host: w.Workspace.Host()}), "there is no personal access token 77 at "},
			"no tokens":        {revoke(revocation.Request{TokensOf: "ann", Host: w.Workspace.Host()}), "tokens_of: ann has no personal access token at "},
			"last admin, own identity": {
				revoke(revocation.Request{ServicePrincipal: w.Rotator.ApplicationID, IncludeForeign: true}), `is the identity by which this product works: `,
			},
			"last admin": {
				revocation.Request{
					Mode: revocation.Lockout, ServicePrincipal: w.Rotator.ApplicationID, IncludeForeign: true,
					Acknowledge: []revocation.Acknowledgement{revocation.OwnIdentity},
				}, `is the last admin of ` + account,
			},
		} {
			t.Log(name)
			w.refuse(test.req, test.want)
		}
	})
}

// Whoever can write a value must not have another principal revoked.
func TestRefusedAnothersPrincipal(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.rotated("etl")
		bound := w.register(estatetest.Registration{Name: "bound"})
		_, err := w.SecretsManager("operator").TagResource(w.t.Context(), &secretsmanager.TagResourceInput{
			SecretId: &bound.Name, Tags: []types.Tag{{Key: aws.String(managedsecret.BindingKey), Value: &m.Principal.ApplicationID}},
		})
		w.must(err)
		w.refuse(revocation.Request{Mode: revocation.Lockout, Secret: "bound"}, "but the tag databricks-client-id binds the secret to "+m.Principal.ApplicationID)
		// It does not keep others from being revoked, and the reply says so.
		reply := w.revoke(revocation.Request{Mode: revocation.Replace, ServicePrincipal: "etl"}, m)
		if !strings.Contains(strings.Join(reply.Warnings, ""), "could not be read, and may be of the same principal: bound: ") {
			t.Errorf("warnings %q", reply.Warnings)
		}
	})
}

// Being refused once does not stop the next request, nor does a cloud that
// cannot be asked lead to a guess.
func TestRefusedForWant(t *testing.T) {
	for name, test := range map[string]struct {
		req   revocation.Request
		fault faulttest.Fault
		aws   bool
		want  string
	}{
		"the secret cannot be read":   {revocation.Request{Mode: revocation.Revoke, Secret: "etl"}, faulttest.Fault{Op: "GetSecretValue"}, true, "secret etl: "},
		"the fleet cannot be listed":  {revocation.Request{Mode: revocation.Revoke, ServicePrincipal: "etl"}, faulttest.Fault{Op: "ListSecrets"}, true, "listing the managed secrets"},
		"a name cannot be looked up":  {revocation.Request{Mode: revocation.Revoke, ServicePrincipal: "etl"}, faulttest.Fault{Op: databrickstest.OpAccountListPrincipals}, false, "whether etl is one principal could not be told"},
		"nothing can be listed":       {revocation.Request{Mode: revocation.Revoke, Secret: "etl"}, faulttest.Fault{Op: databrickstest.OpAccountListSecrets}, false, "list the OAuth secrets"},
		"a token cannot be looked at": {revocation.Request{Mode: revocation.Revoke, TokenID: "1", Host: "workspace"}, faulttest.Fault{Op: databrickstest.OpGetToken}, false, "token_id: "},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.rotated("etl")
				if test.req.Host != "" {
					test.req.Host = w.Workspace.Host()
				}
				injector := w.Databricks.Faults()
				if test.aws {
					injector = w.AWS.Faults()
				}
				test.fault.Kind, test.fault.Times = faulttest.ServerError, faulttest.Forever
				injector.Add(test.fault)
				w.refuse(test.req, test.want)
				injector.Clear()
			})
		})
	}
}

// Invariant 7.
func TestNoTrailNoChange(t *testing.T) {
	for _, mode := range []revocation.Mode{revocation.Replace, revocation.Revoke, revocation.Lockout} {
		t.Run(string(mode), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.rotated("etl")
				w.unwritten = errors.New("the bucket is gone")
				w.ResetCalls()
				_, err := w.revoker.Revoke(w.t.Context(), revocation.Request{Mode: mode, Secret: "etl", Reason: "r"})
				if err == nil || !strings.Contains(err.Error(), "the trail cannot be written, so nothing is changed: the bucket is gone") {
					t.Errorf("error %v", err)
				}
				if changes := w.Changes(); len(changes) > 0 {
					t.Errorf("it changes %v", changes)
				}
			})
		})
	}
}

// The means to mend things are taken away only from those who say that they
// have understood.
func TestProtected(t *testing.T) {
	inWorld(t, func(w *world) {
		// Another admin makes it harmless.
		admin := w.Databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "deployer", AccountAdmin: true})
		_, err := w.Databricks.AddSecret(admin.ID, databrickstest.SecretSpec{})
		w.must(err)
		w.rotated("etl")
		reply := w.revoke(revocation.Request{Mode: revocation.Lockout, ServicePrincipal: "deployer", IncludeForeign: true})
		if p, _ := w.Databricks.Principal(admin.ID); p.Active || len(w.Databricks.Secrets(admin.ID)) > 0 {
			t.Errorf("the principal lives on:\n%s", reply.Text())
		}
		// And it comes back, without what was revoked.
		w.revoke(revocation.Request{Mode: revocation.Release, ServicePrincipal: "deployer"})
		if p, _ := w.Databricks.Principal(admin.ID); !p.Active {
			t.Error("the principal was not released")
		}
		// An acknowledgement lets it pass. The rotator's only credential goes
		// last, and with it the means to look again.
		reply, err = w.revoker.Revoke(w.t.Context(), revocation.Request{
			Mode: revocation.Revoke, ServicePrincipal: w.Rotator.ApplicationID, IncludeForeign: true, Reason: "r",
			Acknowledge: []revocation.Acknowledgement{revocation.OwnIdentity, revocation.LastAdmin},
		})
		w.must(err)
		if n := len(w.Databricks.Secrets(w.Rotator.ID)); n > 0 {
			t.Errorf("%d of the rotator's own are left:\n%s", n, reply.Text())
		}
	})
}

// A credential of the rotator's that leaked is replaced without further ado.
func TestOwnIdentityIsReplaced(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.rotated("etl")
		w.revoker.Rotator = rotatorIs(m.Principal.ApplicationID)
		w.revoke(revocation.Request{Mode: revocation.Replace, Secret: "etl"}, m)
		w.refuse(revocation.Request{Mode: revocation.Revoke, Secret: "etl"}, "is the identity by which this product works")
	})
}
