package databrickstest_test

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/databricks/databricks-sdk-go/apierr"
	"github.com/databricks/databricks-sdk-go/client"
	"github.com/databricks/databricks-sdk-go/listing"
	"github.com/databricks/databricks-sdk-go/service/iam"
	"github.com/databricks/databricks-sdk-go/service/oauth2"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databrickstest"
)

// eachWire runs a test in memory and over loopback.
func eachWire(t *testing.T, run func(t *testing.T, w *world, transport http.RoundTripper)) {
	t.Run("in memory", func(t *testing.T) {
		w := newWorld(t, databrickstest.Config{})
		run(t, w, w.Transport())
		noUnknown(t, w)
	})
	t.Run("on loopback", func(t *testing.T) {
		w := newWorld(t, databrickstest.Config{})
		if err := w.Listen(); err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		run(t, w, nil)
		noUnknown(t, w)
	})
}

func noUnknown(t *testing.T, w *world) {
	t.Helper()
	if unknown := w.Unknown(); len(unknown) > 0 {
		t.Errorf("the SDK asked for routes that do not exist: %q", unknown)
	}
}

// secretsAPI is what the SDK's two services for OAuth secrets have in common.
type secretsAPI struct {
	create func(t *testing.T, request oauth2.CreateServicePrincipalSecretRequest) (*oauth2.CreateServicePrincipalSecretResponse, error)
	list   func(t *testing.T) ([]oauth2.SecretInfo, error)
	delete func(t *testing.T, id string) error
}

func accountSecrets(c *client.DatabricksClient, sp string) secretsAPI {
	api := oauth2.NewServicePrincipalSecrets(c)
	return secretsAPI{
		create: func(t *testing.T, r oauth2.CreateServicePrincipalSecretRequest) (*oauth2.CreateServicePrincipalSecretResponse, error) {
			return api.Create(t.Context(), r)
		},
		list: func(t *testing.T) ([]oauth2.SecretInfo, error) {
			return api.ListAll(t.Context(), oauth2.ListServicePrincipalSecretsRequest{ServicePrincipalId: sp})
		},
		delete: func(t *testing.T, id string) error {
			return api.Delete(t.Context(), oauth2.DeleteServicePrincipalSecretRequest{ServicePrincipalId: sp, SecretId: id})
		},
	}
}

func workspaceSecrets(c *client.DatabricksClient, sp string) secretsAPI {
	api := oauth2.NewServicePrincipalSecretsProxy(c)
	return secretsAPI{
		create: func(t *testing.T, r oauth2.CreateServicePrincipalSecretRequest) (*oauth2.CreateServicePrincipalSecretResponse, error) {
			return api.Create(t.Context(), r)
		},
		list: func(t *testing.T) ([]oauth2.SecretInfo, error) {
			return listing.ToSlice(t.Context(), api.List(t.Context(), oauth2.ListServicePrincipalSecretsRequest{ServicePrincipalId: sp}))
		},
		delete: func(t *testing.T, id string) error {
			return api.Delete(t.Context(), oauth2.DeleteServicePrincipalSecretRequest{ServicePrincipalId: sp, SecretId: id})
		},
	}
}

func TestSDKManagesSecrets(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, transport http.RoundTripper) {
		sp := strconv.FormatInt(w.app.ID, 10)
		account := sdk(t, w.AccountHost(), w.AccountID(), w.admin.ApplicationID, w.adminSecret.Value, transport)
		workspace := sdk(t, w.workspace.Host(), "", w.manager.ApplicationID, w.mgrSecret.Value, transport)
		for level, api := range map[string]secretsAPI{
			"account":   accountSecrets(account, sp),
			"workspace": workspaceSecrets(workspace, sp),
		} {
			t.Run(level, func(t *testing.T) { manageSecrets(t, w, api, sp) })
		}
	})
}

func manageSecrets(t *testing.T, w *world, api secretsAPI, sp string) {
	var made []string
	for range 5 {
		o, err := api.create(t, oauth2.CreateServicePrincipalSecretRequest{ServicePrincipalId: sp, Lifetime: "86400s"})
		if err != nil {
			t.Fatalf("create: %v", err)
		}
		if !w.Authenticates(w.app.ApplicationID, o.Secret) {
			t.Error("the new secret does not authenticate")
		}
		if !strings.HasPrefix(o.Secret, "dose") || len(o.Id) != 64 || o.Status != "ACTIVE" {
			t.Errorf("create answered %+v", o)
		}
		if got := parse(t, o.ExpireTime).Sub(parse(t, o.CreateTime)); got != 24*time.Hour {
			t.Errorf("the secret lives %v, want 24h", got)
		}
		made = append(made, o.Id)
	}
	listed, err := api.list(t)
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	var ids []string
	for _, o := range listed {
		ids = append(ids, o.Id)
	}
	slices.Sort(made)
	if diff := cmp.Diff(made, ids); diff != "" {
		t.Errorf("listed ids (-made +listed):\n%s", diff)
	}
	for _, id := range made {
		if err := api.delete(t, id); err != nil {
			t.Fatalf("delete: %v", err)
		}
	}
	if err := api.delete(t, made[0]); !errors.Is(err, apierr.ErrResourceDoesNotExist) {
		t.Errorf("delete again: %v, want ErrResourceDoesNotExist", err)
	}
	if left := w.Secrets(w.app.ID); len(left) > 0 {
		t.Errorf("%d secrets are left", len(left))
	}
}

func parse(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestSDKReadsPrincipals(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, transport http.RoundTripper) {
		account := sdk(t, w.AccountHost(), w.AccountID(), w.admin.ApplicationID, w.adminSecret.Value, transport)
		all, err := listing.ToSlice(t.Context(), iam.NewAccountServicePrincipalsV2(account).List(t.Context(), iam.ListAccountServicePrincipalsRequest{Count: 2}))
		if err != nil {
			t.Fatalf("account list: %v", err)
		}
		var names []string
		for _, p := range all {
			names = append(names, p.DisplayName)
		}
		if diff := cmp.Diff([]string{"rotator", "workspace rotator", "nightly job"}, names); diff != "" {
			t.Errorf("account list (-want +got):\n%s", diff)
		}
		if len(all[0].Roles) != 1 || all[0].Roles[0].Value != "account_admin" {
			t.Errorf("roles of the admin: %+v", all[0].Roles)
		}

		workspace := sdk(t, w.workspace.Host(), "", w.manager.ApplicationID, w.mgrSecret.Value, transport)
		found, err := listing.ToSlice(t.Context(), iam.NewServicePrincipalsV2(workspace).List(t.Context(), iam.ListServicePrincipalsRequest{
			Filter: `applicationId eq "` + w.app.ApplicationID + `"`,
		}))
		if err != nil {
			t.Fatalf("workspace list: %v", err)
		}
		if len(found) != 1 || found[0].Id != strconv.FormatInt(w.app.ID, 10) || !found[0].Active {
			t.Errorf("workspace list by application id: %+v", found)
		}
		me, err := iam.NewCurrentUser(workspace).Me(t.Context(), iam.MeRequest{})
		if err != nil || me.UserName != w.manager.ApplicationID || len(me.Groups) != 2 || me.Groups[0].Display != "admins" || me.Groups[1].Display != "users" {
			t.Errorf("Me: %+v, %v", me, err)
		}
	})
}

func TestSDKDeactivatesPrincipal(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, transport http.RoundTripper) {
		sp := strconv.FormatInt(w.app.ID, 10)
		secret := w.secret(w.app, databrickstest.SecretSpec{})
		account := sdk(t, w.AccountHost(), w.AccountID(), w.admin.ApplicationID, w.adminSecret.Value, transport)
		api := iam.NewAccountServicePrincipalsV2(account)
		err := api.Patch(t.Context(), iam.PatchAccountServicePrincipalRequest{
			Id:         sp,
			Schemas:    []iam.PatchSchema{iam.PatchSchemaUrnIetfParamsScimApiMessages20PatchOp},
			Operations: []iam.Patch{{Op: iam.PatchOpReplace, Path: "active", Value: false}},
		})
		if err != nil {
			t.Fatalf("patch: %v", err)
		}
		if w.Authenticates(w.app.ApplicationID, secret.Value) {
			t.Error("an inactive service principal authenticates")
		}
		got, err := api.Get(t.Context(), iam.GetAccountServicePrincipalRequest{Id: sp})
		if err != nil || got.Active || got.DisplayName != "nightly job" {
			t.Errorf("get: %+v, %v", got, err)
		}
		_, err = api.Get(t.Context(), iam.GetAccountServicePrincipalRequest{Id: "12"})
		if !errors.Is(err, apierr.ErrNotFound) {
			t.Errorf("get of an unknown service principal: %v, want ErrNotFound", err)
		}
	})
}

func TestSDKSeesWrongSecret(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, transport http.RoundTripper) {
		c := sdk(t, w.workspace.Host(), "", w.manager.ApplicationID, "dosewrong", transport)
		_, err := iam.NewCurrentUser(c).Me(t.Context(), iam.MeRequest{})
		if err == nil || !strings.Contains(err.Error(), "invalid_client") {
			t.Errorf("Me with a wrong secret: %v, want invalid_client", err)
		}
	})
}
