package iam

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// document is a policy, its statements taken apart: each has one action and one
// resource, so that a grant can be judged by itself.
type document struct {
	statements []statement
}

type statement struct {
	sid   string
	allow bool
	// action and resource are patterns with * and ?.
	action, resource string
	// principals are who a policy of a resource speaks of; nil in a policy of
	// a role.
	principals principals
	conditions []condition
	// value is the condition value that this part of a statement is about, if
	// the statement lists several.
	value string
}

// principals are patterns of ARNs, names of services, or "*".
type principals struct {
	everybody     bool
	arns          []string
	services      []string
	isNamedAtAll  bool
	accountsWhole []string
}

const version = "2012-10-17"

// parseJSON reads a policy as a service keeps it.
func parseJSON(text string, ofResource bool) (document, error) {
	var value any
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return document{}, fmt.Errorf("not JSON: %w", err)
	}
	return parse(plain(value), ofResource)
}

// plain makes of JSON what a template has: texts, lists and mappings.
func plain(value any) any {
	switch v := value.(type) {
	case json.Number:
		return v.String()
	case bool:
		return fmt.Sprint(v)
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = plain(v[key])
		}
	}
	return value
}

// parse reads a policy strictly, and reports every fault. What it does not know
// it refuses: a policy that is half understood allows or denies by accident.
func parse(value any, ofResource bool) (document, error) {
	fields, ok := value.(map[string]any)
	if !ok {
		return document{}, errors.New("the policy is no mapping")
	}
	var faults []error
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		switch key {
		case "Version":
			if fields[key] != version {
				faults = append(faults, fmt.Errorf("the policy's version is %v, not %s", fields[key], version))
			}
		case "Statement", "Id":
		default:
			faults = append(faults, fmt.Errorf("the policy's field %s is not known", key))
		}
	}
	if fields["Version"] == nil {
		faults = append(faults, errors.New("the policy has no version"))
	}
	list, ok := fields["Statement"].([]any)
	if !ok {
		list = []any{fields["Statement"]}
	}
	var d document
	sids := map[string]bool{}
	for i, item := range list {
		statements, err := parseStatement(item, ofResource)
		name := fmt.Sprintf("statement %d", i+1)
		if len(statements) > 0 && statements[0].sid != "" {
			name = "statement " + statements[0].sid
			if sids[name] {
				faults = append(faults, fmt.Errorf("%s is there twice", name))
			}
			sids[name] = true
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		}
		d.statements = append(d.statements, statements...)
	}
	return d, errors.Join(faults...)
}

func parseStatement(value any, ofResource bool) ([]statement, error) {
	fields, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("it is no mapping")
	}
	var faults []error
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		switch key {
		case "Sid", "Effect", "Action", "Resource", "Condition":
		case "Principal":
			if !ofResource {
				faults = append(faults, errors.New("a role's policy has no Principal"))
			}
		default:
			faults = append(faults, fmt.Errorf("the field %s is not known", key))
		}
	}
	var s statement
	s.sid, _ = fields["Sid"].(string)
	switch fields["Effect"] {
	case "Allow":
		s.allow = true
	case "Deny":
	default:
		faults = append(faults, fmt.Errorf("the effect is %v", fields["Effect"]))
	}
	var err error
	if s.conditions, err = parseConditions(fields["Condition"]); err != nil {
		faults = append(faults, err)
	}
	if ofResource {
		if s.principals, err = parsePrincipals(fields["Principal"]); err != nil {
			faults = append(faults, err)
		}
	}
	actions, err := texts(fields["Action"])
	if err != nil {
		faults = append(faults, fmt.Errorf("its Action: %w", err))
	}
	resources, err := texts(fields["Resource"])
	if err != nil && (!ofResource || fields["Resource"] != nil) {
		faults = append(faults, fmt.Errorf("its Resource: %w", err))
	}
	if len(resources) == 0 {
		resources = []string{"*"} // what a role trusts names none
	}
	for _, text := range slices.Concat(actions, resources) {
		if strings.Contains(text, "${") {
			faults = append(faults, fmt.Errorf("the policy variable in %s is not known", text))
		}
	}
	var out []statement
	for _, action := range actions {
		if service, name, ok := strings.Cut(action, ":"); action != "*" && (!ok || service == "" || name == "") {
			faults = append(faults, fmt.Errorf("%q is no action", action))
		}
		for _, resource := range resources {
			one := s
			one.action, one.resource = action, resource
			out = append(out, one.apart()...)
		}
	}
	return out, errors.Join(faults...)
}

// apart takes a statement apart by the values of a condition: that a request fits
// one of several is the same as several statements with one each.
func (s statement) apart() []statement {
	for i, c := range s.conditions {
		if !s.allow || len(c.values) < 2 || c.quantifier != "" || operators[c.operator].fits == nil || operators[c.operator].negated {
			continue
		}
		var out []statement
		for _, value := range c.values {
			one := s
			one.conditions = slices.Clone(s.conditions)
			one.conditions[i].values = []string{value}
			one.value = strings.TrimSpace(s.value + " " + c.key + "=" + value)
			out = append(out, one.apart()...)
		}
		return out
	}
	return []statement{s}
}

func parsePrincipals(value any) (principals, error) {
	if value == "*" {
		return principals{everybody: true, isNamedAtAll: true}, nil
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return principals{}, errors.New(`the principal is neither "*" nor a mapping`)
	}
	p := principals{isNamedAtAll: true}
	for _, kind := range slices.Sorted(maps.Keys(fields)) {
		names, err := texts(fields[kind])
		if err != nil {
			return p, fmt.Errorf("its Principal: %w", err)
		}
		switch kind {
		case "Service":
			p.services = names
		case "AWS":
			for _, name := range names {
				switch account, isRoot := strings.CutSuffix(strings.TrimPrefix(name, "arn:aws:iam::"), ":root"); {
				case name == "*":
					p.everybody = true
				case strings.ContainsAny(name, "*?"):
					return p, fmt.Errorf("the principal %s has a wildcard, which AWS refuses", name)
				case isRoot:
					p.accountsWhole = append(p.accountsWhole, account)
				case len(name) == 12 && strings.Trim(name, "0123456789") == "":
					p.accountsWhole = append(p.accountsWhole, name)
				default:
					p.arns = append(p.arns, name)
				}
			}
		default:
			return p, fmt.Errorf("the kind of principal %s is not known", kind)
		}
	}
	return p, nil
}

// texts is one text or a list of them.
func texts(value any) ([]string, error) {
	switch v := value.(type) {
	case string:
		return []string{v}, nil
	case []any:
		out := make([]string, 0, len(v))
		for _, item := range v {
			text, ok := item.(string)
			if !ok {
				return nil, fmt.Errorf("%v is no text", item)
			}
			out = append(out, text)
		}
		if len(out) > 0 {
			return out, nil
		}
	}
	return nil, errors.New("neither a text nor a list of texts")
}

// matches tells whether a text fits a pattern with * and ?.
func matches(pattern, text string) bool {
	star, mark := -1, 0
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
