package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"databricks-credential-rotation/shared/databricks"
)

// ruleSet is who may do what with a service principal, with everything in it
// that this program does not know.
type ruleSet struct {
	Name  string           `json:"name"`
	Etag  string           `json:"etag"`
	Rules []map[string]any `json:"grant_rules"`
}

func (c *Console) rulesPath() string {
	if c.OfAccount() {
		return "/api/2.0/preview/accounts/" + url.PathEscape(c.AccountID) + "/access-control/rule-sets"
	}
	return "/api/2.0/preview/accounts/access-control/rule-sets"
}

// rules reads the rule set of a service principal.
func (c *Console) rules(ctx context.Context, applicationID string) (ruleSet, error) {
	var raw json.RawMessage
	err := databricks.Do(ctx, c.Client, c.Host, databricks.Call{
		Op: "read who manages the service principal", Method: http.MethodGet, Path: c.rulesPath(),
		Query: url.Values{
			"name": {"accounts/" + c.AccountID + "/servicePrincipals/" + applicationID + "/ruleSets/default"},
			// Empty for the latest.
			"etag": {""},
		},
	}, &raw)
	if err != nil {
		return ruleSet{}, err
	}
	var set ruleSet
	if err := json.Unmarshal(raw, &set); err != nil {
		return ruleSet{}, fmt.Errorf("the rule set of service principal %s is not in the form that is documented", applicationID)
	}
	return set, nil
}

// Managers lists who manages a service principal, as rule sets name them:
// users/<name>, groups/<name>, servicePrincipals/<application id>.
func (c *Console) Managers(ctx context.Context, applicationID string) ([]string, error) {
	set, err := c.rules(ctx, applicationID)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, rule := range set.Rules {
		if plain(rule) {
			all = append(all, members(rule)...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// plain tells whether a rule gives the manager role without more ado. One that
// says more than a role and whom it is for may hold under some condition only.
func plain(rule map[string]any) bool {
	for key := range rule {
		if key != "role" && key != "principals" {
			return false
		}
	}
	return rule["role"] == databricks.RoleManager
}

func members(rule map[string]any) []string {
	list, _ := rule["principals"].([]any)
	var all []string
	for _, m := range list {
		if name, ok := m.(string); ok {
			all = append(all, name)
		}
	}
	return all
}

// GrantManager gives a service principal, by its application id, the manager
// role on another. What else the rule set holds stays. If somebody changes it
// at the same time, it is read and written again.
func (c *Console) GrantManager(ctx context.Context, applicationID, manager string) error {
	who := "servicePrincipals/" + manager
	var err error
	for range tries {
		var set ruleSet
		if set, err = c.rules(ctx, applicationID); err != nil {
			return err
		}
		if !set.add(who) {
			return nil
		}
		err = databricks.Do(ctx, c.Client, c.Host, databricks.Call{
			Op: "make it manager of service principal " + applicationID, Method: http.MethodPut, Path: c.rulesPath(),
			Body: map[string]any{"name": set.Name, "rule_set": set},
		}, nil)
		if status(err) != http.StatusConflict {
			return err
		}
		if waited := c.Pause(ctx, pause); waited != nil {
			return errors.Join(err, waited)
		}
	}
	return err
}

// add makes somebody a manager, and tells whether they were none.
func (s *ruleSet) add(who string) bool {
	for _, rule := range s.Rules {
		if plain(rule) && slices.Contains(members(rule), who) {
			return false
		}
	}
	for _, rule := range s.Rules {
		if plain(rule) {
			list, _ := rule["principals"].([]any)
			rule["principals"] = append(list, who)
			return true
		}
	}
	s.Rules = append(s.Rules, map[string]any{"role": databricks.RoleManager, "principals": []any{who}})
	return true
}
