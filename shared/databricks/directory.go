package databricks

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// RoleAccountAdmin is the role of those who may do anything in the account.
const RoleAccountAdmin = "account_admin"

// Member is a user or a service principal as a host's directory lists it.
type Member struct {
	// ID is the SCIM id on that host.
	ID string
	// Name is a user's name, or a service principal's application id.
	Name        string
	DisplayName string
	Active      bool
	// Roles are its own, such as [RoleAccountAdmin]. Entitlements and Groups
	// are told by workspaces only.
	Roles, Entitlements []string
	Groups              []GroupRef
}

// GroupRef names a group.
type GroupRef struct{ ID, Name string }

// Group is a group as a host's directory lists it. Since 2025 the account's
// list leaves the members out; [Client.Group] tells them.
type Group struct {
	ID, Name            string
	Roles, Entitlements []string
	// Members are SCIM ids of users, service principals and groups.
	Members []string
	// Parents are the groups that it is in, told by workspaces only.
	Parents []GroupRef
}

// directoryPage is how many entries are asked for at once. A host may give
// fewer.
const directoryPage = 500

// maxDirectoryPages ends a list that does not end by itself: the account's
// limit of 10,000 identities in pages of ten.
const maxDirectoryPages = 1000

type scimValue struct {
	Value   string `json:"value"`
	Display string `json:"display"`
	Ref     string `json:"$ref"`
}

type scimValues []scimValue

func (v scimValues) values() []string {
	if len(v) == 0 {
		return nil
	}
	all := make([]string, len(v))
	for i := range v {
		all[i] = v[i].Value
	}
	return all
}

func (v scimValues) groups() []GroupRef {
	var all []GroupRef
	for _, g := range v {
		all = append(all, GroupRef{ID: g.Value, Name: g.Display})
	}
	return all
}

type memberReply struct {
	principalReply
	UserName     string     `json:"userName"`
	Entitlements scimValues `json:"entitlements"`
}

func (r memberReply) decode() Member {
	p := r.principalReply.decode()
	name := p.ApplicationID
	if name == "" {
		name = r.UserName
	}
	return Member{
		ID: p.ID, Name: name, DisplayName: redact(p.DisplayName), Active: p.Active,
		Roles: r.Roles.values(), Entitlements: r.Entitlements.values(), Groups: r.Groups.groups(),
	}
}

type groupReply struct {
	ID           string     `json:"id"`
	DisplayName  string     `json:"displayName"`
	Roles        scimValues `json:"roles"`
	Entitlements scimValues `json:"entitlements"`
	Members      scimValues `json:"members"`
	Groups       scimValues `json:"groups"`
}

func (r groupReply) decode() Group {
	return Group{
		ID: r.ID, Name: r.DisplayName, Roles: r.Roles.values(), Entitlements: r.Entitlements.values(),
		Members: r.Members.values(), Parents: r.Groups.groups(),
	}
}

func (h Host) directoryURL(kind string) string {
	return strings.TrimSuffix(h.principalsURL(), "ServicePrincipals") + kind
}

// ServicePrincipals lists all service principals of a host's directory.
func (c *Client) ServicePrincipals(ctx context.Context, host Host) iter.Seq2[Member, error] {
	return directory(ctx, c, host, "list the service principals", "ServicePrincipals", "", directoryPage, memberReply.decode)
}

// Users lists all people of a host's directory.
func (c *Client) Users(ctx context.Context, host Host) iter.Seq2[Member, error] {
	return directory(ctx, c, host, "list the users", "Users", "", directoryPage, memberReply.decode)
}

// Groups lists all groups of a host's directory.
func (c *Client) Groups(ctx context.Context, host Host) iter.Seq2[Group, error] {
	return directory(ctx, c, host, "list the groups", "Groups", "", directoryPage, groupReply.decode)
}

// Group reads one group with its members.
func (c *Client) Group(ctx context.Context, host Host, id string) (Group, error) {
	var reply groupReply
	err := c.call(ctx, host, request{
		op: "read the group", method: http.MethodGet, url: host.directoryURL("Groups") + "/" + url.PathEscape(id),
	}, &reply)
	if err != nil {
		return Group{}, err
	}
	return reply.decode(), nil
}

// directory yields the entries of a SCIM list that a filter holds for, a page
// at a time; an empty filter is for all. SCIM pages by index, from 1. It stops
// on the first error. An entry that moves from one page to another while the list
// is read may come twice.
func directory[R, T any](ctx context.Context, c *Client, host Host, op, kind, filter string, pageSize int, decode func(R) T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		start := 1
		for range maxDirectoryPages {
			var reply struct {
				TotalResults int `json:"totalResults"`
				Resources    []R `json:"Resources"`
			}
			query := url.Values{"startIndex": {strconv.Itoa(start)}, "count": {strconv.Itoa(pageSize)}}
			if filter != "" {
				query.Set("filter", filter)
			}
			err := c.call(ctx, host, request{op: op, method: http.MethodGet, url: host.directoryURL(kind), query: query}, &reply)
			if err != nil {
				yield(none, err)
				return
			}
			for _, r := range reply.Resources {
				if !yield(decode(r), nil) {
					return
				}
			}
			start += len(reply.Resources)
			// Without a total, an empty page is the end.
			if len(reply.Resources) == 0 || reply.TotalResults > 0 && start > reply.TotalResults {
				return
			}
		}
		yield(none, &Error{Op: op, Host: host.URL, kind: ErrRejected, Message: endless})
	}
}
