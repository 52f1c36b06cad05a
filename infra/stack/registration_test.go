package stack_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/secret"
)

// What the template registers is what the function takes for a registration.
func TestRegistration(t *testing.T) {
	template := open(t, "infra/managed-secret.yaml")
	r := template.Resource("Secret")
	tags := []any{
		map[string]any{"Key": managedsecret.TagKey, "Value": managedsecret.TagValue},
		map[string]any{"Key": managedsecret.BindingKey, "Value": map[string]any{"Ref": "ClientId"}},
	}
	if diff := cmp.Diff(tags, r.At("Tags")); diff != "" {
		t.Errorf("tags (-want +template): %s", diff)
	}
	values := strings.NewReplacer(
		"${DatabricksAccountId}", "6d1c2a4e-9f30-4b57-8f0e-2b7c51d8a930",
		"${ClientId}", "0c5e3a1f-7d24-4c8e-9b6a-1f2e3d4c5b6a", "${Scopes}", "jobs sql",
	)
	var documents []string
	fields(r.At("SecretString"), func(m map[string]any) {
		if text, ok := m["Fn::Sub"].(string); ok {
			host := "https://dbc-1a2b.cloud.databricks.com"
			if strings.Contains(text, "${DatabricksAccountId}") {
				host = "https://accounts.cloud.databricks.com"
			}
			documents = append(documents, values.Replace(strings.ReplaceAll(text, "${DatabricksHost}", host)))
		}
	})
	kinds := map[string]bool{}
	for _, document := range documents {
		c, err := credential.Parse(secret.New(document))
		if err != nil {
			t.Errorf("%s: %v", document, err)
			continue
		}
		if c.Issued() || c.ClientID == "" || c.Host == "" {
			t.Errorf("%s is no registration of a principal", document)
		}
		var keys map[string]string
		if err := json.Unmarshal([]byte(document), &keys); err != nil {
			t.Fatal(err)
		}
		kinds[strings.Join(slices.Sorted(maps.Keys(keys)), " ")] = true
		if want := keys["ROTATION_SCOPES"]; strings.Join(c.Scopes, " ") != want {
			t.Errorf("%s: scopes %v", document, c.Scopes)
		}
	}
	if len(kinds) != 4 {
		t.Errorf("%d kinds of registrations, want with and without account id and scopes", len(kinds))
	}
}
