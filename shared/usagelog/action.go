package usagelog

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
)

// Purpose is what an action of the log is looked at for.
type Purpose string

// The purposes.
const (
	Authentication Purpose = "authentication"
	TokenLogin     Purpose = "token_login"
	TokenCreation  Purpose = "token_creation"
	SecretCreation Purpose = "secret_creation"
	AdminGrant     Purpose = "admin_grant"
	GroupGrant     Purpose = "group_grant"
	ACLChange      Purpose = "acl_change"
	// TokenGrant is that somebody got an access token by a credential.
	TokenGrant Purpose = "token_grant"
)

// Names are the names of the log, as data/actions.json has them.
var Names = loadNames()

type names struct {
	About string `json:"about"`
	// Nobody are identities that stand for none.
	Nobody []string `json:"nobody"`
	// The rest are keys of a request's parameters, and groups of admins.
	TokenKeys   []string `json:"token_keys"`
	ClientKeys  []string `json:"client_keys"`
	GroupKeys   []string `json:"group_keys"`
	TargetKeys  []string `json:"target_keys"`
	AdminGroups []string `json:"admin_groups"`
	Actions     []struct {
		Name string    `json:"name"`
		Sure string    `json:"sure"`
		For  []Purpose `json:"for"`
	} `json:"actions"`
}

//go:embed data/actions.json
var actionsFile []byte

// loadNames panics on a fault in the embedded file, which the tests meet
// before anybody else does.
func loadNames() (n names) {
	d := json.NewDecoder(bytes.NewReader(actionsFile))
	d.DisallowUnknownFields()
	if err := d.Decode(&n); err != nil {
		panic(fmt.Sprintf("data/actions.json: %v", err))
	}
	return n
}

// Actions are the actions that serve a purpose, as a statement's parameter.
func Actions(wanted ...Purpose) string {
	var found []string
	for _, a := range Names.Actions {
		if slices.ContainsFunc(wanted, func(p Purpose) bool { return slices.Contains(a.For, p) }) {
			found = append(found, a.Name)
		}
	}
	return List(found)
}
