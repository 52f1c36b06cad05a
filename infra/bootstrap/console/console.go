// Package console is what an administrator would do by hand in the consoles of
// Databricks: make a service principal, give it roles, and let it in by a
// federation policy.
//
// Every change is safe to repeat. What is replaced whole, a rule set, is read
// first and written back with all that was in it.
package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"databricks-credential-rotation/shared/databricks"
)

// Console is the account's console, or that of one workspace.
type Console struct {
	Client *databricks.Client
	// Host is where the administrator is logged in, with the account's id if it
	// is the account's console.
	Host databricks.Host
	// AccountID is the account's id on either.
	AccountID string
	// WorkspaceID is zero at the account's console.
	WorkspaceID int64
	// Wait pauses, nil for as long as it says.
	Wait func(context.Context, time.Duration) error
}

// Open asks the host what it is. An account id that is given is believed; for
// an account's console it is needed.
func Open(ctx context.Context, client *databricks.Client, hostURL, accountID string) (*Console, error) {
	info, err := client.HostInfo(ctx, databricks.Host{URL: hostURL})
	if err != nil {
		return nil, err
	}
	c := &Console{Client: client, Host: databricks.Host{URL: hostURL}, AccountID: accountID, WorkspaceID: info.WorkspaceID}
	if accountID == "" {
		c.AccountID = info.AccountID
	}
	if c.AccountID == "" {
		return nil, fmt.Errorf("%s does not say which account it belongs to: give its id with -account-id", hostURL)
	}
	if info.WorkspaceID == 0 {
		c.Host.AccountID = c.AccountID
	}
	return c, nil
}

// OfAccount tells the account's console from a workspace's.
func (c *Console) OfAccount() bool { return c.WorkspaceID == 0 }

// Pause waits for that long, or until the context ends.
func (c *Console) Pause(ctx context.Context, d time.Duration) error {
	if c.Wait != nil {
		return c.Wait(ctx, d)
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Console) scimPath(kind string) string {
	if c.OfAccount() {
		return "/api/2.0/accounts/" + url.PathEscape(c.AccountID) + "/scim/v2/" + kind
	}
	return "/api/2.0/preview/scim/v2/" + kind
}

const (
	tries = 4
	pause = 2 * time.Second
)

// CreatePrincipal makes a service principal without any secret. The request is
// sent once: a name is not unique, and a repeated create would be a second
// principal. If its outcome is unknown, the name is looked for.
func (c *Console) CreatePrincipal(ctx context.Context, name string) (databricks.ServicePrincipal, error) {
	var reply struct {
		ID            string `json:"id"`
		ApplicationID string `json:"applicationId"`
	}
	call := databricks.Call{
		Op: "create the service principal", Method: http.MethodPost, Path: c.scimPath("ServicePrincipals"), Once: true,
		Body: map[string]any{"displayName": name, "active": true},
	}
	var err error
	for range tries {
		err = databricks.Do(ctx, c.Client, c.Host, call, &reply)
		switch {
		case err == nil && reply.ID != "" && reply.ApplicationID != "":
			return databricks.ServicePrincipal{ID: reply.ID, ApplicationID: reply.ApplicationID, DisplayName: name, Active: true}, nil
		case err == nil || errors.Is(err, databricks.ErrUncertain):
			return c.created(ctx, name, err)
		case !errors.Is(err, databricks.ErrBusy):
			return databricks.ServicePrincipal{}, err
		}
		if waited := c.Pause(ctx, pause); waited != nil {
			return databricks.ServicePrincipal{}, errors.Join(err, waited)
		}
	}
	return databricks.ServicePrincipal{}, err
}

// created finds the service principal that a create has or has not made.
func (c *Console) created(ctx context.Context, name string, cause error) (databricks.ServicePrincipal, error) {
	var none databricks.ServicePrincipal
	for range tries {
		found, err := c.Client.PrincipalsNamed(ctx, c.Host, name)
		switch {
		case err != nil:
			return none, errors.Join(cause, err)
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1:
			return none, errors.Join(cause, fmt.Errorf("%d service principals are named %q now", len(found), name))
		}
		if err := c.Pause(ctx, pause); err != nil {
			return none, errors.Join(cause, err)
		}
	}
	return none, errors.Join(cause, fmt.Errorf("no service principal is named %q: run this again in a minute, it goes on from what is there", name))
}

// GrantAccountAdmin gives a service principal the role of an account admin.
func (c *Console) GrantAccountAdmin(ctx context.Context, principalID string) error {
	return c.patch(ctx, "grant the role account admin", "ServicePrincipals/"+url.PathEscape(principalID), "roles", databricks.RoleAccountAdmin)
}

// AssignAdmin makes a service principal an admin of a workspace: at the
// account's console by an assignment, in the workspace's own by its group
// admins.
func (c *Console) AssignAdmin(ctx context.Context, workspace int64, principalID string) error {
	const op = "make it an admin of the workspace"
	if c.OfAccount() {
		return databricks.Do(ctx, c.Client, c.Host, databricks.Call{
			Op: op, Method: http.MethodPut,
			Path: "/api/2.0/accounts/" + url.PathEscape(c.AccountID) + "/workspaces/" + strconv.FormatInt(workspace, 10) +
				"/permissionassignments/principals/" + url.PathEscape(principalID),
			Body: map[string]any{"permissions": []string{"ADMIN"}},
		}, nil)
	}
	for g, err := range c.Client.Groups(ctx, c.Host) {
		if err != nil {
			return err
		}
		if g.Name == "admins" {
			return c.patch(ctx, op, "Groups/"+url.PathEscape(g.ID), "members", principalID)
		}
	}
	return fmt.Errorf("%s: %s has no group named admins", op, c.Host)
}

// patch adds one value to a list of a SCIM resource.
func (c *Console) patch(ctx context.Context, op, resource, path, value string) error {
	return databricks.Do(ctx, c.Client, c.Host, databricks.Call{
		Op: op, Method: http.MethodPatch, Path: c.scimPath(resource),
		Body: map[string]any{
			"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
			"Operations": []any{
				map[string]any{"op": "add", "path": path, "value": []any{map[string]string{"value": value}}},
			},
		},
	}, nil)
}

// PutPolicy lets the holders of another issuer's tokens in as the service
// principal, by a policy of the given id, which is made or replaced.
func (c *Console) PutPolicy(ctx context.Context, principalID string, p databricks.FederationPolicy) error {
	const op = "put the federation policy"
	path := "/api/2.0/accounts/" + url.PathEscape(c.AccountID) + "/servicePrincipals/" + url.PathEscape(principalID) + "/federationPolicies"
	body := map[string]any{
		"description": p.Description,
		"oidc_policy": map[string]any{"issuer": p.Issuer, "audiences": p.Audiences, "subject": p.Subject},
	}
	err := databricks.Do(ctx, c.Client, c.Host, databricks.Call{
		Op: op, Method: http.MethodPost, Path: path, Query: url.Values{"policy_id": {p.ID}}, Body: body,
	}, nil)
	if status(err) != http.StatusConflict {
		return err
	}
	// It is there: by this very request, whose reply was lost, or by an earlier
	// one that said something else.
	return databricks.Do(ctx, c.Client, c.Host, databricks.Call{
		Op: op, Method: http.MethodPatch, Path: path + "/" + url.PathEscape(p.ID), Query: url.Values{"update_mask": {"oidc_policy"}},
		Body: map[string]any{"oidc_policy": body["oidc_policy"]},
	}, nil)
}

func status(err error) int {
	var e *databricks.Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}
