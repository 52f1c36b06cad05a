package databricks

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Permission is an entry of an object's access-control list.
type Permission struct {
	// Name is a user name, an application id or a group's name.
	Name  string
	Group bool
	// Level is such as CAN_USE.
	Level     string
	Inherited bool
}

// ObjectPermissions reads the access-control list of a workspace object, by
// its type and id as the permissions API names them: warehouses, abc123.
func (c *Client) ObjectPermissions(ctx context.Context, workspace Host, kind, id string) ([]Permission, error) {
	var reply struct {
		List []struct {
			User        string `json:"user_name"`
			Group       string `json:"group_name"`
			Principal   string `json:"service_principal_name"`
			Permissions []struct {
				Level     string `json:"permission_level"`
				Inherited bool   `json:"inherited"`
			} `json:"all_permissions"`
		} `json:"access_control_list"`
	}
	err := c.call(ctx, workspace, request{
		op: "read the object's permissions", method: http.MethodGet,
		url: workspace.URL + "/api/2.0/permissions/" + escapePath(kind) + "/" + url.PathEscape(id),
	}, &reply)
	if err != nil {
		return nil, err
	}
	var all []Permission
	for _, entry := range reply.List {
		for _, p := range entry.Permissions {
			all = append(all, Permission{
				Name: entry.User + entry.Principal + entry.Group, Group: entry.Group != "", Level: p.Level, Inherited: p.Inherited,
			})
		}
	}
	return all, nil
}

// escapePath escapes a type of objects. Some have two parts, such as
// authorization/tokens.
func escapePath(kind string) string {
	parts := strings.Split(kind, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// RuleSet is who may do what with one thing of the account.
type RuleSet []Rule

// Rule gives a role to some.
type Rule struct {
	// Role is such as [RoleManager].
	Role string
	// Members are users/<name>, groups/<name> or servicePrincipals/<id>.
	Members []string
}

// RoleManager is the role of those who may make credentials for a service
// principal.
const RoleManager = "roles/servicePrincipal.manager"

// PrincipalRules reads who may use and manage a service principal, by its
// application id. The host may be a workspace, with the id of its account.
func (c *Client) PrincipalRules(ctx context.Context, host Host, accountID, applicationID string) (RuleSet, error) {
	target := host.URL + "/api/2.0/preview/accounts/access-control/rule-sets"
	if host.AccountID != "" {
		target = host.URL + "/api/2.0/preview/accounts/" + url.PathEscape(host.AccountID) + "/access-control/rule-sets"
	}
	var reply struct {
		Rules []struct {
			Role    string   `json:"role"`
			Members []string `json:"principals"`
		} `json:"grant_rules"`
	}
	err := c.call(ctx, host, request{
		op: "read who manages the service principal", method: http.MethodGet, url: target,
		query: url.Values{
			"name": {"accounts/" + accountID + "/servicePrincipals/" + applicationID + "/ruleSets/default"},
			// Empty for whatever is at hand.
			"etag": {""},
		},
	}, &reply)
	if err != nil {
		return nil, err
	}
	var rules RuleSet
	for _, r := range reply.Rules {
		rules = append(rules, Rule{Role: r.Role, Members: r.Members})
	}
	return rules, nil
}

// With lists the members who have a role.
func (s RuleSet) With(role string) []string {
	var all []string
	for _, r := range s {
		if r.Role == role {
			all = append(all, r.Members...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Grant is a privilege that Unity Catalog gives to somebody on a securable.
type Grant struct {
	// Name is a user name, an application id or a group's name.
	Name      string
	Privilege string
	// InheritedFrom is the securable that gives it, empty if it is this one.
	InheritedFrom string
}

// Grants reads who may do what with a securable, privileges that come from the
// securables above it included.
func (c *Client) Grants(ctx context.Context, workspace Host, kind, name string) ([]Grant, error) {
	type page struct {
		Assignments []struct {
			Principal  string `json:"principal"`
			Privileges []struct {
				Privilege     string `json:"privilege"`
				InheritedFrom string `json:"inherited_from_name"`
				InheritedKind string `json:"inherited_from_type"`
			} `json:"privileges"`
		} `json:"privilege_assignments"`
		Next string `json:"next_page_token"`
	}
	var all []Grant
	target := workspace.URL + "/api/2.1/unity-catalog/effective-permissions/" + url.PathEscape(kind) + "/" + url.PathEscape(name)
	// With a zero the host chooses the length of a page; without it, it may
	// give all grants at once.
	err := pages(ctx, c, workspace, "read the securable's grants", target, url.Values{"max_results": {"0"}}, maxListPages, func(reply page) (string, error) {
		for _, a := range reply.Assignments {
			for _, p := range a.Privileges {
				from := ""
				if p.InheritedFrom != "" || p.InheritedKind != "" {
					from = strings.TrimSpace(strings.ToLower(p.InheritedKind) + " " + p.InheritedFrom)
				}
				all = append(all, Grant{Name: a.Principal, Privilege: p.Privilege, InheritedFrom: from})
			}
		}
		return reply.Next, nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Metastore tells which metastore of Unity Catalog a workspace uses.
// Workspaces with the same one see the same grants.
func (c *Client) Metastore(ctx context.Context, workspace Host) (string, error) {
	const op = "ask for the workspace's metastore"
	var reply struct {
		ID string `json:"metastore_id"`
	}
	err := c.call(ctx, workspace, request{op: op, method: http.MethodGet, url: workspace.URL + "/api/2.1/unity-catalog/current-metastore-assignment"}, &reply)
	if err == nil && reply.ID == "" {
		err = &Error{Op: op, Host: workspace.URL, kind: ErrNotFound, Message: "the workspace has no metastore"}
	}
	return reply.ID, err
}
