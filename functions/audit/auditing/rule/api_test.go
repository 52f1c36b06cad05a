package rule_test

import (
	"encoding/json"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/databricks/databricks-sdk-go/service/catalog"
	"github.com/databricks/databricks-sdk-go/service/iam"
	"github.com/databricks/databricks-sdk-go/service/oauth2"
	"github.com/databricks/databricks-sdk-go/service/settings"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/audit/auditing/rule"
)

// databricksCommands is what the Databricks CLI documents of the commands in
// remedies: how many words follow, which flags there are, and the request that
// --json is.
var databricksCommands = map[string]struct {
	words int
	flags []string
	body  func() any
}{
	"token-management delete":                            {1, nil, nil},
	"token-management create-obo-token":                  {1, []string{"--lifetime-seconds", "--comment"}, nil},
	"tokens create":                                      {0, []string{"--lifetime-seconds", "--comment"}, nil},
	"api patch":                                          {1, []string{"--json"}, func() any { return new(settings.UpdateTokenManagementRequest) }},
	"api delete":                                         {1, nil, nil},
	"account service-principals create":                  {0, []string{"--display-name"}, nil},
	"account service-principals patch":                   {1, []string{"--json"}, func() any { return new(iam.PatchAccountServicePrincipalRequest) }},
	"account service-principal-secrets delete":           {2, nil, nil},
	"account service-principal-secrets list":             {1, nil, nil},
	"account service-principal-federation-policy create": {1, []string{"--json"}, func() any { return new(oauth2.FederationPolicy) }},
	"account workspace-assignment update":                {2, []string{"--json"}, func() any { return new(iam.UpdateWorkspaceAssignments) }},
	"account access-control get-rule-set":                {2, nil, nil},
	"account custom-app-integration update":              {1, []string{"--json"}, func() any { return new(oauth2.UpdateCustomAppIntegration) }},
	"account custom-app-integration delete":              {1, nil, nil},
	"account published-app-integration update":           {1, []string{"--json"}, func() any { return new(oauth2.UpdatePublishedAppIntegration) }},
	"grants update":                                      {2, []string{"--json"}, func() any { return new(catalog.UpdatePermissions) }},
	"permissions set":                                    {2, []string{"--json"}, func() any { return new(iam.SetObjectPermissions) }},
	"service-principals patch":                           {1, []string{"--json"}, func() any { return new(iam.PatchServicePrincipalRequest) }},
}

// Every remedy that is a command of the Databricks CLI is one that it has, with
// as many words as it takes, and its JSON is a request of the API, no field of
// which the API does not know.
func TestRemediesFitTheAPI(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("SKIPPED: no bash to split commands with")
	}
	seen := map[string]bool{}
	for name, c := range cases() {
		w := healthy()
		c.spoil(w)
		found, _ := judge(rule.NewEstate(w.Inventory, w.policy, place), rule.Judge)
		for _, f := range found {
			if !strings.Contains(f.Remedy, "databricks ") || !strings.HasPrefix(f.Remedy, "DATABRICKS_HOST=") {
				continue
			}
			// What the shell would start, a word to a line.
			out, err := exec.CommandContext(t.Context(), bash, "-c", "databricks() { printf '%s\\0' \"$DATABRICKS_HOST\" \"$@\"; }; "+f.Remedy).Output()
			if err != nil {
				t.Fatalf("%s: %s: %v", name, f.Remedy, err)
			}
			words := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
			if !strings.HasPrefix(words[0], "https://") {
				t.Errorf("%s: host %q", name, words[0])
			}
			checkCommand(t, name+": "+f.Remedy, words[1:], seen)
		}
	}
	for command := range databricksCommands {
		if !seen[command] {
			t.Errorf("no remedy is databricks %s", command)
		}
	}
}

func checkCommand(t *testing.T, where string, words []string, seen map[string]bool) {
	t.Helper()
	n := 2
	if words[0] == "account" {
		n = 3
	}
	command := strings.Join(words[:n], " ")
	is, ok := databricksCommands[command]
	if !ok {
		t.Errorf("%s: there is no command databricks %s", where, command)
		return
	}
	seen[command] = true
	rest := words[n:]
	for range is.words {
		if len(rest) == 0 || strings.HasPrefix(rest[0], "-") {
			t.Errorf("%s: it takes %d words", where, is.words)
			return
		}
		rest = rest[1:]
	}
	for ; len(rest) >= 2; rest = rest[2:] {
		if !slices.Contains(is.flags, rest[0]) {
			t.Errorf("%s: there is no flag %s", where, rest[0])
		}
		if rest[0] == "--json" {
			checkRequest(t, where, rest[1], is.body())
		}
	}
	if len(rest) > 0 {
		t.Errorf("%s: %q is left over", where, rest)
	}
}

// checkRequest reads a request into the SDK's type and writes it again: what
// the type does not have is lost on the way. So is an empty list.
func checkRequest(t *testing.T, where, body string, into any) {
	t.Helper()
	var want, got any
	if err := json.Unmarshal([]byte(body), &want); err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	again, err := json.Marshal(into)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(again, &got); err != nil {
		t.Fatal(err)
	}
	if fields, ok := want.(map[string]any); ok {
		maps.DeleteFunc(fields, func(_ string, v any) bool { list, is := v.([]any); return is && len(list) == 0 })
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: the API does not know all of it (-sent +known):\n%s", where, diff)
	}
}
