package databricks

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Workspace is a workspace as the account lists it.
type Workspace struct {
	ID   int64
	Name string
	// DeploymentName is the first label of the workspace's host.
	DeploymentName string
	// Running is false for a workspace that is being made or has failed: it
	// answers no calls.
	Running bool
	// Status is Databricks' word for it.
	Status string
}

// Workspaces lists all workspaces of the account. The list has no pages.
func (c *Client) Workspaces(ctx context.Context, account Host) ([]Workspace, error) {
	var reply []struct {
		ID             int64  `json:"workspace_id"`
		Name           string `json:"workspace_name"`
		DeploymentName string `json:"deployment_name"`
		Status         string `json:"workspace_status"`
	}
	err := c.call(ctx, account, request{
		op: "list the workspaces", method: http.MethodGet, url: account.accountURL() + "/workspaces", array: true,
	}, &reply)
	if err != nil {
		return nil, err
	}
	var all []Workspace
	for _, r := range reply {
		all = append(all, Workspace{
			ID: r.ID, Name: r.Name, DeploymentName: r.DeploymentName, Status: r.Status,
			Running: r.Status == "" || r.Status == "RUNNING",
		})
	}
	return all, nil
}

// Workspace is the host of a workspace of this account. The account console is
// accounts.<domain>, a workspace <deployment name>.<domain>. A deployment name
// of more than one label is a whole host. Which hosts may be talked to is not
// decided here.
func (h Host) Workspace(deployment string) Host {
	scheme, name, _ := strings.Cut(h.URL, "://")
	deployment = strings.ToLower(deployment)
	if strings.ContainsAny(deployment, ".:") {
		return Host{URL: scheme + "://" + deployment}
	}
	_, domain, _ := strings.Cut(name, ".")
	return Host{URL: scheme + "://" + deployment + "." + domain}
}

func (h Host) accountURL() string {
	return h.URL + "/api/2.0/accounts/" + url.PathEscape(h.AccountID)
}

// HostInfo is what a host tells of itself.
type HostInfo struct {
	AccountID string
	// WorkspaceID is zero for the account console.
	WorkspaceID int64
}

// HostInfo asks a host which account and workspace it belongs to.
func (c *Client) HostInfo(ctx context.Context, host Host) (HostInfo, error) {
	const op = "ask the host what it is"
	var reply struct {
		AccountID   string `json:"account_id"`
		WorkspaceID any    `json:"workspace_id"` // a number, or one in quotes
	}
	err := c.call(ctx, host, request{op: op, method: http.MethodGet, url: host.URL + "/.well-known/databricks-config"}, &reply)
	if err != nil {
		return HostInfo{}, err
	}
	info := HostInfo{AccountID: reply.AccountID}
	switch id := reply.WorkspaceID.(type) {
	case float64:
		info.WorkspaceID = int64(id)
	case string:
		if info.WorkspaceID, err = strconv.ParseInt(id, 10, 64); err != nil {
			return HostInfo{}, &Error{Op: op, Host: host.URL, kind: ErrUncertain, Message: "its workspace_id is not a number"}
		}
	}
	return info, nil
}

// WorkspaceAssignment is what somebody may do in a workspace, by the account.
type WorkspaceAssignment struct {
	// MemberID is the SCIM id of a user, a service principal or a group.
	MemberID string
	Admin    bool
}

// WorkspaceAssignments lists who is assigned to a workspace. The list has no
// pages.
func (c *Client) WorkspaceAssignments(ctx context.Context, account Host, workspace int64) ([]WorkspaceAssignment, error) {
	const op = "list who is assigned to the workspace"
	var reply struct {
		Assignments []struct {
			Permissions []string `json:"permissions"`
			Error       string   `json:"error"`
			Principal   struct {
				ID int64 `json:"principal_id"`
			} `json:"principal"`
		} `json:"permission_assignments"`
	}
	err := c.call(ctx, account, request{
		op: op, method: http.MethodGet, url: account.accountURL() + "/workspaces/" + strconv.FormatInt(workspace, 10) + "/permissionassignments",
	}, &reply)
	if err != nil {
		return nil, err
	}
	var all []WorkspaceAssignment
	for _, r := range reply.Assignments {
		// An assignment that failed gives nothing; the directory may know more.
		if r.Error != "" || r.Principal.ID == 0 {
			continue
		}
		a := WorkspaceAssignment{MemberID: formatID(r.Principal.ID)}
		for _, p := range r.Permissions {
			a.Admin = a.Admin || p == "ADMIN"
		}
		all = append(all, a)
	}
	return all, nil
}
