package usage

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

//go:embed data/*.json
var dataFiles embed.FS

// purpose is what an action of the log is looked at for.
type purpose string

const (
	authentication purpose = "authentication"
	tokenLogin     purpose = "token_login"
	tokenCreation  purpose = "token_creation"
	secretCreation purpose = "secret_creation"
	adminGrant     purpose = "admin_grant"
	groupGrant     purpose = "group_grant"
	aclChange      purpose = "acl_change"
)

// actionNames are the names of the log, as data/actions.json has them.
type actionNames struct {
	About       string   `json:"about"`
	Nobody      []string `json:"nobody"`
	TokenKeys   []string `json:"token_keys"`
	GroupKeys   []string `json:"group_keys"`
	TargetKeys  []string `json:"target_keys"`
	AdminGroups []string `json:"admin_groups"`
	Actions     []struct {
		Name string    `json:"name"`
		Sure string    `json:"sure"`
		For  []purpose `json:"for"`
	} `json:"actions"`
}

// scopeNames tell which scope a call needs, as data/scopes.json has them.
type scopeNames struct {
	About string     `json:"about"`
	Work  []workName `json:"work"`
}

type workName struct {
	Name   string   `json:"name"`
	Scopes []string `json:"scopes"`
	Sure   string   `json:"sure"`
}

var (
	names  = load[actionNames]("data/actions.json")
	scopes = load[scopeNames]("data/scopes.json")
)

// load panics on a fault in an embedded file, which the tests meet before
// anybody else does.
func load[T any](name string) (t T) {
	text, err := dataFiles.ReadFile(name)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		err = d.Decode(&t)
	}
	if err != nil {
		panic(fmt.Sprintf("%s: %v", name, err))
	}
	return t
}

// actions are the actions that serve a purpose, as a statement's parameter.
func actions(wanted ...purpose) string {
	var found []string
	for _, a := range names.Actions {
		if slices.ContainsFunc(wanted, func(p purpose) bool { return slices.Contains(a.For, p) }) {
			found = append(found, a.Name)
		}
	}
	return list(found)
}

// byAction are the services whose actions need different scopes.
func byAction() string {
	var found []string
	for _, w := range scopes.Work {
		if service, _, ok := strings.Cut(w.Name, "."); ok && !slices.Contains(found, service) {
			found = append(found, service)
		}
	}
	return list(found)
}

// needed returns the scopes that work needs, and the work of which that is not
// known.
func needed(work []string) (known, unmapped []string) {
	known = []string{}
	for _, w := range work {
		i := slices.IndexFunc(scopes.Work, func(s workName) bool { return s.Name == w })
		if i < 0 {
			unmapped = append(unmapped, w)
			continue
		}
		known = append(known, scopes.Work[i].Scopes...)
	}
	slices.Sort(known)
	return slices.Compact(known), unmapped
}

// list makes a parameter of many values. One with a separator in it cannot be
// passed; neither the log's names nor Databricks' user names have any.
func list(values []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(values), func(v string) bool { return strings.ContainsAny(v, ",=") }), ",")
}
