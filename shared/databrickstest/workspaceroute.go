package databrickstest

import (
	"net/http"
	"strings"
)

// workspaceInfo is a workspace on the wire.
type workspaceInfo struct {
	AccountID      string `json:"account_id"`
	ID             int64  `json:"workspace_id"`
	Name           string `json:"workspace_name"`
	DeploymentName string `json:"deployment_name"`
	Status         string `json:"workspace_status"`
	Message        string `json:"workspace_status_message,omitempty"`
	Cloud          string `json:"cloud"`
	Region         string `json:"aws_region"`
	PricingTier    string `json:"pricing_tier"`
	CreationTime   int64  `json:"creation_time"`
}

// info describes a workspace. A workspace's host is its deployment name and
// Databricks' domain; on loopback there is no domain, and the deployment name
// is the host and port.
func (w *Workspace) info() workspaceInfo {
	deployment := w.site.address
	if deployment == "" {
		deployment, _, _ = strings.Cut(w.site.name, ".")
	}
	return workspaceInfo{
		AccountID:      w.site.server.config.AccountID,
		ID:             w.ID,
		Name:           w.Name,
		DeploymentName: deployment,
		Status:         w.status,
		Message:        "Workspace is " + strings.ToLower(w.status) + ".",
		Cloud:          "aws",
		Region:         "eu-west-1",
		PricingTier:    "ENTERPRISE",
		CreationTime:   w.created.UnixMilli(),
	}
}

// listWorkspaces answers all workspaces of the account at once.
func listWorkspaces(r *request) (reply, *failure) {
	if err := r.requireAdmin(); err != nil {
		return reply{}, err
	}
	list := []workspaceInfo{}
	for _, w := range r.server.workspaces {
		list = append(list, w.info())
	}
	return reply{http.StatusOK, list}, nil
}

func getWorkspace(r *request) (reply, *failure) {
	if err := r.requireAdmin(); err != nil {
		return reply{}, err
	}
	w, err := r.pathWorkspace()
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, w.info()}, nil
}

// SetStatus sets what the account says of the workspace, RUNNING at first.
func (w *Workspace) SetStatus(status string) {
	w.site.server.mu.Lock()
	defer w.site.server.mu.Unlock()
	w.status = status
}

// Down makes the workspace's host unreachable, or reachable again: every
// connection to it breaks.
func (w *Workspace) Down(on bool) { w.site.server.set(&w.site.down, on) }
