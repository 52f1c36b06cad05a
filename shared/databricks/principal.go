package databricks

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
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
}

type principalReply struct {
	ID            string `json:"id"`
	ApplicationID string `json:"applicationId"`
	DisplayName   string `json:"displayName"`
	// Absent is not the same as false.
	Active *bool `json:"active"`
}

func (r principalReply) decode() ServicePrincipal {
	return ServicePrincipal{
		ID: r.ID, ApplicationID: r.ApplicationID, DisplayName: r.DisplayName,
		Active: r.Active == nil || *r.Active,
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

// principals lists by filter. SCIM pages by index, from 1.
func (c *Client) principals(ctx context.Context, host Host, op, filter string) ([]ServicePrincipal, error) {
	const (
		pageSize = 100
		// An account has 10,000 principals at most, and a host may give fewer
		// on a page than it is asked for.
		maxPages = 1000
	)
	var all []ServicePrincipal
	start := 1
	for range maxPages {
		var reply struct {
			TotalResults int              `json:"totalResults"`
			Resources    []principalReply `json:"Resources"`
		}
		err := c.call(ctx, host, request{
			op: op, method: http.MethodGet, url: host.principalsURL(),
			query: url.Values{"filter": {filter}, "startIndex": {strconv.Itoa(start)}, "count": {strconv.Itoa(pageSize)}},
		}, &reply)
		if err != nil {
			return nil, err
		}
		for _, r := range reply.Resources {
			all = append(all, r.decode())
		}
		start += len(reply.Resources)
		// Without a total, an empty page is the end.
		if len(reply.Resources) == 0 || reply.TotalResults > 0 && start > reply.TotalResults {
			return all, nil
		}
	}
	return nil, &Error{Op: op, Host: host.URL, kind: ErrRejected, Message: endless}
}
