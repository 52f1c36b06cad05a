package databricks

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// ServicePrincipal is a service principal as the host's directory knows it.
type ServicePrincipal struct {
	// ID is the numeric SCIM id by which APIs name the principal.
	ID string
	// ApplicationID is the UUID that OAuth calls client id.
	ApplicationID string
	DisplayName   string
	// Active is false for a principal that was switched off: it keeps its
	// permissions and cannot authenticate.
	Active bool
	// Admin tells that it administers the host: the account, by a role of its
	// own, or the workspace. A role that comes by a group of the account does
	// not show.
	Admin bool
}

type principalReply struct {
	ID            string `json:"id"`
	ApplicationID string `json:"applicationId"`
	DisplayName   string `json:"displayName"`
	// Absent is not the same as false.
	Active *bool      `json:"active"`
	Roles  scimValues `json:"roles"`
	Groups scimValues `json:"groups"`
}

func (r principalReply) decode() ServicePrincipal {
	return ServicePrincipal{
		ID: r.ID, ApplicationID: r.ApplicationID, DisplayName: r.DisplayName,
		Active: r.Active == nil || *r.Active, Admin: isAdmin(r.Roles.values(), r.Groups.groups()),
	}
}

// Principal reads one service principal by its numeric id.
func (c *Client) Principal(ctx context.Context, host Host, id string) (ServicePrincipal, error) {
	var reply principalReply
	err := c.call(ctx, host, request{
		op: "read the service principal", method: http.MethodGet, url: host.principalsURL() + "/" + url.PathEscape(id),
	}, &reply)
	if err != nil {
		return ServicePrincipal{}, err
	}
	return reply.decode(), nil
}

// FindPrincipal looks a service principal up by its application id, which is
// the OAuth client id.
func (c *Client) FindPrincipal(ctx context.Context, host Host, applicationID string) (ServicePrincipal, error) {
	const op = "find the service principal"
	found, err := c.principals(ctx, host, op, fmt.Sprintf("applicationId eq %q", applicationID))
	if err != nil {
		return ServicePrincipal{}, err
	}
	for _, p := range found {
		if p.ApplicationID == applicationID {
			return p, nil
		}
	}
	return ServicePrincipal{}, &Error{Op: op, Host: host.URL, kind: ErrNotFound, Message: "no service principal has the client id " + applicationID}
}

// PrincipalsNamed returns every service principal with that display name,
// which need not be unique.
func (c *Client) PrincipalsNamed(ctx context.Context, host Host, name string) ([]ServicePrincipal, error) {
	found, err := c.principals(ctx, host, "find the service principal", fmt.Sprintf("displayName eq %q", name))
	if err != nil {
		return nil, err
	}
	// A host may ignore the filter, or the case of a name.
	return slices.DeleteFunc(found, func(p ServicePrincipal) bool { return p.DisplayName != name }), nil
}

// SetActive switches a service principal on or off. Off, it keeps its
// permissions and cannot authenticate. The change is read back: an answer
// alone does not prove that a principal is locked out.
func (c *Client) SetActive(ctx context.Context, host Host, id string, active bool) error {
	op := "switch the service principal off"
	if active {
		op = "switch the service principal on"
	}
	type value struct {
		Value string `json:"value"`
	}
	type operation struct {
		Op    string  `json:"op"`
		Path  string  `json:"path"`
		Value []value `json:"value"`
	}
	body := struct {
		Schemas    []string    `json:"schemas"`
		Operations []operation `json:"Operations"`
	}{
		[]string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
		[]operation{{"replace", "active", []value{{strconv.FormatBool(active)}}}},
	}
	err := c.call(ctx, host, request{op: op, method: http.MethodPatch, url: host.principalsURL() + "/" + url.PathEscape(id), body: body}, nil)
	if err != nil {
		return err
	}
	return retry(ctx, c.patience(), func() error {
		now, err := c.Principal(ctx, host, id)
		if err == nil && now.Active != active {
			err = &Error{Op: op, Host: host.URL, kind: ErrUncertain, Message: fmt.Sprintf("it still reads active = %t", now.Active)}
		}
		return err
	})
}

// OtherAdmin finds an active principal or person, other than the given
// principal, that administers the host, and says who. It is empty if there is
// none.
func (c *Client) OtherAdmin(ctx context.Context, host Host, applicationID string) (string, error) {
	for _, list := range []iter.Seq2[Member, error]{c.Users(ctx, host), c.ServicePrincipals(ctx, host)} {
		for m, err := range list {
			if err != nil {
				return "", err
			}
			if m.Active && m.Name != applicationID && isAdmin(m.Roles, m.Groups) {
				return cmp.Or(m.Name, m.DisplayName, m.ID), nil
			}
		}
	}
	return "", nil
}

// isAdmin goes by the role on an account's host and by the group on a
// workspace's.
func isAdmin(roles []string, groups []GroupRef) bool {
	return slices.Contains(roles, RoleAccountAdmin) || slices.ContainsFunc(groups, func(g GroupRef) bool { return g.Name == "admins" })
}

// InactivePrincipals lists the service principals that are switched off, by
// application id. One call for each host of a sweep saves one for each
// principal.
func (c *Client) InactivePrincipals(ctx context.Context, host Host) (map[string]bool, error) {
	found, err := c.principals(ctx, host, "list inactive service principals", "active eq false")
	if err != nil {
		return nil, err
	}
	inactive := map[string]bool{}
	for _, p := range found {
		// A host that ignores the filter lists everybody.
		if !p.Active {
			inactive[p.ApplicationID] = true
		}
	}
	return inactive, nil
}

// filteredPage is how many principals are asked for at once by a filter, which
// few of them meet.
const filteredPage = 100

// principals lists by filter.
func (c *Client) principals(ctx context.Context, host Host, op, filter string) ([]ServicePrincipal, error) {
	var all []ServicePrincipal
	for p, err := range directory(ctx, c, host, op, "ServicePrincipals", filter, filteredPage, principalReply.decode) {
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}
