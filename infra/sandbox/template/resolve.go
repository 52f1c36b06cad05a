package template

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// absent is AWS::NoValue: what holds it is left out.
type absent struct{}

// function is one of CloudFormation's, by its short form; nil for one that is
// not known.
func function(tag string) func(*Stack, *yaml.Node) (any, error) {
	switch tag {
	case "!Ref":
		return (*Stack).ref
	case "!GetAtt":
		return (*Stack).getAtt
	case "!Sub":
		return (*Stack).sub
	case "!If":
		return (*Stack).choose
	case "!Join":
		return (*Stack).join
	case "!Equals":
		return (*Stack).equals
	case "!Not":
		return (*Stack).not
	case "!And":
		return (*Stack).and
	case "!Or":
		return (*Stack).or
	case "!Condition":
		return func(s *Stack, n *yaml.Node) (any, error) { return s.condition(n.Value) }
	default:
		return nil
	}
}

// resolve gives a node's value: a string, a list, a mapping, or what a function
// makes of it.
func (s *Stack) resolve(n *yaml.Node) (any, error) {
	if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
		f := function(n.Tag)
		if f == nil {
			return nil, fmt.Errorf("line %d: the function %s is not known here", n.Line, n.Tag)
		}
		value, err := f(s, n)
		if err != nil && !errors.As(err, new(*located)) {
			err = &located{n.Line, err}
		}
		return value, err
	}
	switch n.Kind {
	case yaml.ScalarNode:
		return n.Value, nil
	case yaml.SequenceNode:
		return s.list(n)
	case yaml.MappingNode:
		fields, err := entries(n)
		if err != nil {
			return nil, err
		}
		out := map[string]any{}
		for key, node := range fields {
			if key == "Ref" || strings.HasPrefix(key, "Fn::") {
				return nil, fmt.Errorf("line %d: the long form %s is not known here", node.Line, key)
			}
			value, err := s.resolve(node)
			if err != nil {
				return nil, err
			}
			if value != any(absent{}) {
				out[key] = value
			}
		}
		return out, nil
	default:
		return nil, fmt.Errorf("line %d: neither text, list nor mapping", n.Line)
	}
}

// located says in which line an error is, once.
type located struct {
	line int
	err  error
}

func (l *located) Error() string { return fmt.Sprintf("line %d: %v", l.line, l.err) }
func (l *located) Unwrap() error { return l.err }

func (s *Stack) list(n *yaml.Node) ([]any, error) {
	if n.Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("line %d: not a list", n.Line)
	}
	out := []any{}
	for _, item := range n.Content {
		value, err := s.resolve(item)
		if err != nil {
			return nil, err
		}
		if value != any(absent{}) {
			out = append(out, value)
		}
	}
	return out, nil
}

func (s *Stack) ref(n *yaml.Node) (any, error) { return s.reference(n.Value) }

func (s *Stack) reference(name string) (any, error) {
	switch name {
	case "AWS::NoValue":
		return absent{}, nil
	case "AWS::AccountId":
		return s.setting.Account, nil
	case "AWS::Region":
		return s.setting.Region, nil
	case "AWS::Partition":
		return "aws", nil
	case "AWS::URLSuffix":
		return "amazonaws.com", nil
	case "AWS::StackName":
		return s.setting.StackName, nil
	case "AWS::StackId":
		return s.setting.StackID, nil
	}
	if value, ok := s.parameters[name]; ok {
		return value, nil
	}
	kind, physical, err := s.physical(name)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "AWS::SQS::Queue":
		return fmt.Sprintf("https://sqs.%s.amazonaws.com/%s/%s", s.setting.Region, s.setting.Account, physical), nil
	case "AWS::SNS::Topic":
		return s.arn(kind, physical)
	}
	return physical, nil
}

func (s *Stack) getAtt(n *yaml.Node) (any, error) {
	if n.Kind == yaml.SequenceNode {
		return nil, errors.New("!GetAtt with a list is not known here")
	}
	return s.attribute(n.Value)
}

func (s *Stack) attribute(path string) (any, error) {
	id, name, _ := strings.Cut(path, ".")
	kind, physical, err := s.physical(id)
	if err != nil {
		return nil, err
	}
	if name != "Arn" && (name != "TopicArn" || kind != "AWS::SNS::Topic") {
		return nil, fmt.Errorf("the attribute %s is not known here", path)
	}
	return s.arn(kind, physical)
}

// arns are the ends of ARNs by the types of resources: service, whether region
// and account are in it, and what comes before and after the name.
var arns = map[string]struct {
	service       string
	global, plain bool
	before, after string
}{
	"AWS::IAM::Role":            {service: "iam", global: true, before: "role/"},
	"AWS::Serverless::Function": {service: "lambda", before: "function:"},
	"AWS::SQS::Queue":           {service: "sqs"},
	"AWS::SNS::Topic":           {service: "sns"},
	"AWS::KMS::Key":             {service: "kms", before: "key/"},
	"AWS::Logs::LogGroup":       {service: "logs", before: "log-group:", after: ":*"},
	"AWS::S3::Bucket":           {service: "s3", plain: true},
}

func (s *Stack) arn(kind, physical string) (string, error) {
	form, ok := arns[kind]
	if !ok {
		return "", fmt.Errorf("the ARN of a %s is not known here", kind)
	}
	where := s.setting.Region + ":" + s.setting.Account
	switch {
	case form.plain:
		where = ":"
	case form.global:
		where = ":" + s.setting.Account
	}
	return "arn:aws:" + form.service + ":" + where + ":" + form.before + physical + form.after, nil
}

// ARN is the ARN of a resource by its logical id.
func (s *Stack) ARN(id string) (string, error) {
	kind, physical, err := s.physical(id)
	if err != nil {
		return "", err
	}
	return s.arn(kind, physical)
}

// physical is a resource's type and name.
func (s *Stack) physical(id string) (kind, name string, err error) {
	node := s.resources[id]
	if node == nil {
		return "", "", fmt.Errorf("the template has no parameter or resource %s", id)
	}
	fields, err := entries(node)
	if err != nil {
		return "", "", err
	}
	if fields["Type"] == nil {
		return "", "", fmt.Errorf("resource %s has no type", id)
	}
	name, ok := s.setting.Names[id]
	if !ok {
		name = s.setting.StackName + "-" + id
	}
	return fields["Type"].Value, name, nil
}

var substitution = regexp.MustCompile(`\$\{[^}]*\}`)

func (s *Stack) sub(n *yaml.Node) (any, error) {
	text, local := n, map[string]*yaml.Node{}
	if n.Kind == yaml.SequenceNode {
		if len(n.Content) != 2 {
			return nil, errors.New("!Sub takes a text and a mapping")
		}
		var err error
		if local, err = entries(n.Content[1]); err != nil {
			return nil, err
		}
		text = n.Content[0]
	}
	var faults []error
	out := substitution.ReplaceAllStringFunc(text.Value, func(match string) string {
		name := strings.TrimSuffix(strings.TrimPrefix(match, "${"), "}")
		if literal, ok := strings.CutPrefix(name, "!"); ok {
			return "${" + literal + "}"
		}
		var value any
		var err error
		switch {
		case local[name] != nil:
			value, err = s.resolve(local[name])
		case strings.Contains(name, "."):
			value, err = s.attribute(name)
		default:
			value, err = s.reference(name)
		}
		replacement, ok := value.(string)
		if err == nil && !ok {
			err = fmt.Errorf("${%s} is no text", name)
		}
		faults = append(faults, err)
		return replacement
	})
	return out, errors.Join(faults...)
}

func (s *Stack) choose(n *yaml.Node) (any, error) {
	if len(n.Content) != 3 {
		return nil, errors.New("!If takes a condition and two values")
	}
	holds, err := s.condition(n.Content[0].Value)
	if err != nil {
		return nil, err
	}
	if holds {
		return s.resolve(n.Content[1])
	}
	return s.resolve(n.Content[2])
}

func (s *Stack) join(n *yaml.Node) (any, error) {
	if len(n.Content) != 2 {
		return nil, errors.New("!Join takes a separator and a list")
	}
	value, err := s.resolve(n.Content[1])
	if err != nil {
		return nil, err
	}
	list, ok := value.([]any)
	if !ok {
		return nil, errors.New("!Join takes a separator and a list")
	}
	texts := make([]string, len(list))
	for i, item := range list {
		if texts[i], ok = item.(string); !ok {
			return nil, errors.New("!Join takes a list of texts")
		}
	}
	return strings.Join(texts, n.Content[0].Value), nil
}

// condition evaluates a condition of the template by its name.
func (s *Stack) condition(name string) (bool, error) {
	node := s.conditions[name]
	if node == nil {
		return false, fmt.Errorf("the template has no condition %s", name)
	}
	return s.truth(node)
}

func (s *Stack) truth(n *yaml.Node) (bool, error) {
	value, err := s.resolve(n)
	if err != nil {
		return false, err
	}
	holds, ok := value.(bool)
	if !ok {
		return false, fmt.Errorf("line %d: not a condition", n.Line)
	}
	return holds, nil
}

func (s *Stack) equals(n *yaml.Node) (any, error) {
	list, err := s.list(n)
	if err != nil {
		return nil, err
	}
	if len(list) != 2 {
		return nil, errors.New("!Equals takes two values")
	}
	a, isText := list[0].(string)
	b, alsoText := list[1].(string)
	if !isText || !alsoText {
		return nil, errors.New("!Equals takes two texts")
	}
	return a == b, nil
}

func (s *Stack) not(n *yaml.Node) (any, error) {
	truths, err := s.truths(n)
	if err != nil {
		return nil, err
	}
	if len(truths) != 1 {
		return nil, errors.New("!Not takes one condition")
	}
	return !truths[0], nil
}

func (s *Stack) and(n *yaml.Node) (any, error) {
	truths, err := s.truths(n)
	return !slices.Contains(truths, false), err
}

func (s *Stack) or(n *yaml.Node) (any, error) {
	truths, err := s.truths(n)
	return slices.Contains(truths, true), err
}

func (s *Stack) truths(n *yaml.Node) ([]bool, error) {
	if n.Kind != yaml.SequenceNode {
		return nil, errors.New("not a list of conditions")
	}
	out := make([]bool, len(n.Content))
	var faults []error
	for i, item := range n.Content {
		var err error
		out[i], err = s.truth(item)
		faults = append(faults, err)
	}
	return out, errors.Join(faults...)
}
