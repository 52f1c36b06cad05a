package rule

import (
	"slices"
	"strings"
)

// scopesBehind tells which scopes reach an object through the first layer, by
// the object's kind in the policy; any one of them will do. A kind that is not
// here is judged by the second layer alone.
var scopesBehind = map[string][]string{
	"warehouses":       {"sql"},
	"queries":          {"sql"},
	"alerts":           {"sql", "alerts"},
	"dashboards":       {"dashboards", "sql"},
	"jobs":             {"jobs"},
	"clusters":         {"clusters"},
	"cluster-policies": {"clusters"},
	"instance-pools":   {"clusters"},
	"notebooks":        {"workspace"},
	"directories":      {"workspace"},
	"repos":            {"workspace"},
	"files":            {"workspace", "files"},
	"apps":             {"apps"},
	"genie":            {"genie"},
	"catalog":          {"sql", "unity-catalog"},
	"schema":           {"sql", "unity-catalog"},
	"table":            {"sql", "unity-catalog"},
	"function":         {"sql", "unity-catalog"},
	"volume":           {"sql", "unity-catalog", "files"},
}

// workspaceScopes mean nothing to a principal that is in no workspace.
var workspaceScopes = []string{
	"sql", "jobs", "clusters", "files", "workspace", "unity-catalog", "dashboards", "genie", "apps", "alerts", "postgres", "ai-search",
}

// usualEntitlements come with a workspace, by its group of all users.
var usualEntitlements = []string{"workspace-access", "databricks-sql-access", "workspace-consume"}

// levels rank what an access list can allow on an object. Between two of the
// same rank, and for one that is not here, only the same level is not more.
var levels = map[string]int{
	"CAN_VIEW": 1, "CAN_READ": 1, "CAN_USE": 2, "CAN_ATTACH_TO": 2, "CAN_QUERY": 2, "CAN_MONITOR": 3, "CAN_RUN": 3, "CAN_RESTART": 3,
	"CAN_MANAGE_RUN": 4, "CAN_EDIT": 4, "CAN_MANAGE": 6, "IS_OWNER": 6,
}

// securableKinds are the kinds of Unity Catalog among the policy's objects.
var securableKinds = []string{
	"catalog", "schema", "table", "volume", "function", "external-location", "storage-credential", "connection", "metastore", "share", "recipient", "provider", "clean-room", "model",
}

func securable(kind string) bool {
	return slices.Contains(securableKinds, strings.ReplaceAll(strings.ToLower(kind), "_", "-"))
}

// exceeds tells whether a level is more than the allowed one.
func exceeds(level, allowed string) bool {
	if level == allowed {
		return false
	}
	have, known := levels[level]
	most, limited := levels[allowed]
	return !known || !limited || have >= most
}

// privilege is a privilege's name as the API spells it.
func privilege(name string) string {
	return strings.ReplaceAll(strings.ToUpper(strings.TrimSpace(name)), " ", "_")
}

// within tells whether a securable is another one, or lies in it. Privileges
// on a catalog or a schema hold for what is in it.
func within(kind, name, outerKind, outerName string) bool {
	if strings.EqualFold(kind, outerKind) && strings.EqualFold(name, outerName) {
		return true
	}
	switch strings.ToLower(outerKind) {
	case "catalog", "schema":
		return strings.HasPrefix(strings.ToLower(name), strings.ToLower(outerName)+".")
	default:
		return false
	}
}
