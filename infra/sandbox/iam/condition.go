package iam

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// condition is one operator on one key. A request must meet all of a
// statement's.
type condition struct {
	quantifier string // "", forAll or forAny
	operator   string
	ifExists   bool
	key        string
	values     []string
}

const (
	forAll = "ForAllValues"
	forAny = "ForAnyValue"
)

// operators are those that are known: whether a request's value fits one of a
// policy's. A negated one holds if its positive does not.
var operators = map[string]struct {
	fits    func(policy, request string) bool
	negated bool
}{
	"StringEquals":             {fits: equal},
	"StringNotEquals":          {fits: equal, negated: true},
	"StringLike":               {fits: matches},
	"StringNotLike":            {fits: matches, negated: true},
	"ArnEquals":                {fits: matches},
	"ArnLike":                  {fits: matches},
	"ArnNotLike":               {fits: matches, negated: true},
	"Bool":                     {fits: strings.EqualFold},
	"NumericEquals":            {fits: numeric(func(p, r float64) bool { return r == p })},
	"NumericLessThan":          {fits: numeric(func(p, r float64) bool { return r < p })},
	"NumericLessThanEquals":    {fits: numeric(func(p, r float64) bool { return r <= p })},
	"NumericGreaterThan":       {fits: numeric(func(p, r float64) bool { return r > p })},
	"NumericGreaterThanEquals": {fits: numeric(func(p, r float64) bool { return r >= p })},
}

func equal(policy, request string) bool { return policy == request }

func numeric(compare func(policy, request float64) bool) func(policy, request string) bool {
	return func(policy, request string) bool {
		p, err := strconv.ParseFloat(policy, 64)
		if err != nil {
			return false
		}
		r, err := strconv.ParseFloat(request, 64)
		return err == nil && compare(p, r)
	}
}

// keys are the condition keys that are known, in lower case, and whether a
// request can have several values for one. A key ending in a slash or a colon
// is the beginning of a family. A key that nothing ever sets would make a
// statement that never holds, or always does.
var keys = map[string]bool{
	"aws:principalaccount": false, "aws:principalarn": false, "aws:requesttag/": false,
	"aws:resourceaccount": false, "aws:resourcetag/": false, "aws:securetransport": false,
	"aws:sourceaccount": false, "aws:sourcearn": false, "aws:tagkeys": true,
	"kms:calleraccount": false, "kms:encryptioncontext:": false, "kms:viaservice": false,
	"s3:if-none-match":            false,
	"secretsmanager:resourcetag/": false, "secretsmanager:versionid": false, "secretsmanager:versionstage": false,
	"sts:durationseconds": false, "sts:identitytokenaudience": true, "sts:signingalgorithm": false,
}

// multivalued tells whether a key can have several values; ok is false for one
// that is not known.
func multivalued(key string) (several, ok bool) {
	key = strings.ToLower(key)
	if several, ok = keys[key]; ok {
		return several, !strings.HasSuffix(key, "/") && !strings.HasSuffix(key, ":")
	}
	for family := range keys {
		if (strings.HasSuffix(family, "/") || strings.HasSuffix(family, ":")) && strings.HasPrefix(key, family) {
			return false, true
		}
	}
	return false, false
}

func parseConditions(value any) ([]condition, error) {
	if value == nil {
		return nil, nil
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("the condition is no mapping")
	}
	var conditions []condition
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		of, ok := fields[name].(map[string]any)
		if !ok {
			faults = append(faults, fmt.Errorf("the condition %s is no mapping", name))
		}
		for _, key := range slices.Sorted(maps.Keys(of)) {
			c, err := parseCondition(name, key, of[key])
			if err != nil {
				faults = append(faults, fmt.Errorf("condition %s of %s: %w", name, key, err))
			}
			conditions = append(conditions, c)
		}
	}
	return conditions, errors.Join(faults...)
}

func parseCondition(name, key string, value any) (condition, error) {
	c := condition{operator: name, key: key}
	if quantifier, rest, ok := strings.Cut(name, ":"); ok {
		c.quantifier, c.operator = quantifier, rest
		if quantifier != forAll && quantifier != forAny {
			return c, fmt.Errorf("the quantifier %s is not known", quantifier)
		}
	}
	c.operator, c.ifExists = strings.CutSuffix(c.operator, "IfExists")
	if _, ok := operators[c.operator]; !ok && c.operator != "Null" {
		return c, errors.New("the operator is not known")
	}
	several, ok := multivalued(key)
	switch {
	case !ok:
		return c, errors.New("the key is not known")
	case several && c.quantifier == "" && c.operator != "Null":
		return c, errors.New("a key of several values needs ForAllValues or ForAnyValue")
	case !several && c.quantifier != "":
		return c, errors.New("a key of one value takes no quantifier: ForAllValues would hold without it")
	}
	var err error
	if c.values, err = texts(value); err != nil {
		return c, err
	}
	for _, v := range c.values {
		_, number := strconv.ParseFloat(v, 64)
		switch {
		case strings.Contains(v, "${"):
			return c, fmt.Errorf("the policy variable in %s is not known", v)
		case strings.HasPrefix(c.operator, "Numeric") && number != nil:
			return c, fmt.Errorf("%q is no number", v)
		case (c.operator == "Bool" || c.operator == "Null") && v != "true" && v != "false":
			return c, fmt.Errorf("%q is neither true nor false", v)
		}
	}
	return c, nil
}

// holds evaluates the condition on a request's keys, which are in lower case.
func (c condition) holds(context map[string][]string) bool {
	values, present := context[strings.ToLower(c.key)]
	present = present && len(values) > 0
	if c.operator == "Null" {
		return slices.Contains(c.values, strconv.FormatBool(!present))
	}
	operator := operators[c.operator]
	one := func(request string) bool {
		fits := slices.ContainsFunc(c.values, func(policy string) bool { return operator.fits(policy, request) })
		return fits != operator.negated
	}
	switch {
	case !present:
		// ForAllValues holds of no values, as does an operator that denies.
		return c.ifExists || c.quantifier == forAll || operator.negated && c.quantifier == ""
	case c.quantifier == forAny:
		return slices.ContainsFunc(values, one)
	default:
		return !slices.ContainsFunc(values, func(v string) bool { return !one(v) })
	}
}
