// Package blast tells how far a leaked credential reaches: what a thief could
// call with it, on what, and for how long.
package blast

import (
	"time"

	"databricks-credential-rotation/functions/audit/auditing/finding"
)

// Reach is the blast radius of one credential.
type Reach struct {
	Subject finding.Subject `json:"subject"`
	// Holder is whose credential it is: a user name, or a service principal's
	// name and application id.
	Holder     string `json:"holder"`
	Automation bool   `json:"automation"`
	Owner      string `json:"owner,omitempty"`
	// Scopes are what may be called, all-apis for everything.
	Scopes []string `json:"scopes"`
	// Admin is none, workspace or account.
	Admin string `json:"admin"`
	// Workspaces are the names of those that the holder is in, at most the
	// first few; WorkspaceCount counts them all.
	Workspaces     []string `json:"workspaces"`
	WorkspaceCount int      `json:"workspace_count"`
	// Access are the entries of access lists that were read, such as
	// "warehouses/abc123 CAN_MANAGE".
	Access []string `json:"access"`
	// Until is when the credential ends by itself, zero for never.
	Until time.Time `json:"until,omitzero"`
	// Score is between 0 and 100, the product of the three below, each between
	// 0 and 1: what it may call, on what, and for how long.
	Score  float64 `json:"score"`
	Call   float64 `json:"call"`
	Rights float64 `json:"rights"`
	Time   float64 `json:"time"`
}
