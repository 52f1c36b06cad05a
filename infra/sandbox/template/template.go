// Package template reads a CloudFormation template as a deployment does:
// parameters, conditions and resources, with what refers to another thing
// replaced by what that is.
//
// It is strict and small. It knows the functions that the stack's template
// uses in what is asked for; another one is an error that names its line, so
// that nothing is read wrongly in silence. Resources are resolved when they are
// asked for, and only those.
package template

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Setting is where and with what a template is deployed.
type Setting struct {
	Account, Region, StackName, StackID string
	// Parameters are the values of parameters; one that is not here has its
	// default.
	Parameters map[string]string
	// Names are the physical names of resources by their logical ids; a secret's
	// is its ARN, which AWS makes up. A resource that is not here has the name of
	// the stack and its logical id.
	Names map[string]string
}

// Stack is a template as it is deployed.
type Stack struct {
	setting    Setting
	parameters map[string]any
	conditions map[string]*yaml.Node
	resources  map[string]*yaml.Node
	outputs    map[string]*yaml.Node
	// globals are what SAM adds to every function.
	globals *yaml.Node
}

// Resource is one resource of a stack.
type Resource struct {
	// ID is the logical id.
	ID   string
	Type string
	// Properties are the resolved properties: maps, lists, strings. Numbers
	// and booleans are strings as the template writes them.
	Properties map[string]any
}

// Open reads the template in a file.
func Open(path string, setting Setting) (*Stack, error) {
	document, err := os.ReadFile(path) //nolint:gosec // the path is the caller's own template
	if err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	return Read(document, setting)
}

// Read reads a template. Every fault of the setting is reported.
func Read(document []byte, setting Setting) (*Stack, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(document, &root); err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	if root.Kind != yaml.DocumentNode || len(root.Content) != 1 {
		return nil, errors.New("read the template: it is not one document")
	}
	sections, err := entries(root.Content[0])
	if err != nil {
		return nil, err
	}
	s := &Stack{setting: setting, parameters: map[string]any{}}
	if s.conditions, err = section(sections, "Conditions"); err != nil {
		return nil, err
	}
	if s.resources, err = section(sections, "Resources"); err != nil {
		return nil, err
	}
	if s.outputs, err = section(sections, "Outputs"); err != nil {
		return nil, err
	}
	globals, err := section(sections, "Globals")
	if err != nil {
		return nil, err
	}
	s.globals = globals["Function"]
	declared, err := section(sections, "Parameters")
	if err != nil {
		return nil, err
	}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		value, err := s.parameter(name, declared[name])
		if err != nil {
			faults = append(faults, err)
		}
		s.parameters[name] = value
	}
	for _, name := range slices.Sorted(maps.Keys(setting.Parameters)) {
		if declared[name] == nil {
			faults = append(faults, fmt.Errorf("the template has no parameter %s", name))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(setting.Names)) {
		if s.resources[id] == nil {
			faults = append(faults, fmt.Errorf("the template has no resource %s", id))
		}
	}
	return s, errors.Join(faults...)
}

func (s *Stack) parameter(name string, declaration *yaml.Node) (any, error) {
	fields, err := entries(declaration)
	if err != nil {
		return nil, fmt.Errorf("parameter %s: %w", name, err)
	}
	value, ok := s.setting.Parameters[name]
	if !ok {
		if fields["Default"] == nil {
			return nil, fmt.Errorf("parameter %s has no value", name)
		}
		value = fields["Default"].Value
	}
	if kind := fields["Type"]; kind != nil && (kind.Value == "CommaDelimitedList" || strings.HasPrefix(kind.Value, "List<")) {
		list := []any{}
		for item := range strings.SplitSeq(value, ",") {
			list = append(list, strings.TrimSpace(item))
		}
		return list, nil
	}
	return value, nil
}

// Resources returns the resources of a type that are deployed, by their logical
// ids in order.
func (s *Stack) Resources(kind string) ([]Resource, error) {
	var found []Resource
	var faults []error
	for _, id := range slices.Sorted(maps.Keys(s.resources)) {
		fields, err := entries(s.resources[id])
		if err != nil {
			return nil, fmt.Errorf("resource %s: %w", id, err)
		}
		if fields["Type"] == nil || fields["Type"].Value != kind {
			continue
		}
		if condition := fields["Condition"]; condition != nil {
			holds, err := s.condition(condition.Value)
			if err != nil {
				return nil, fmt.Errorf("resource %s: %w", id, err)
			}
			if !holds {
				continue
			}
		}
		resource, err := s.resource(id, kind, fields["Properties"])
		faults = append(faults, err)
		if kind == "AWS::Serverless::Function" && s.globals != nil {
			all, err := s.resource("Globals", kind, s.globals)
			faults = append(faults, err)
			resource.Properties = merge(all.Properties, resource.Properties)
		}
		found = append(found, resource)
	}
	return found, errors.Join(faults...)
}

// Output is the text of an output.
func (s *Stack) Output(name string) (string, error) {
	if s.outputs[name] == nil {
		return "", fmt.Errorf("the template has no output %s", name)
	}
	fields, err := entries(s.outputs[name])
	if err != nil {
		return "", fmt.Errorf("output %s: %w", name, err)
	}
	if fields["Value"] == nil {
		return "", fmt.Errorf("output %s has no value", name)
	}
	value, err := s.resolve(fields["Value"])
	if err != nil {
		return "", fmt.Errorf("output %s: %w", name, err)
	}
	text, ok := value.(string)
	if !ok {
		return "", fmt.Errorf("output %s is no text", name)
	}
	return text, nil
}

func (s *Stack) resource(id, kind string, properties *yaml.Node) (Resource, error) {
	r := Resource{ID: id, Type: kind, Properties: map[string]any{}}
	if properties == nil {
		return r, nil
	}
	value, err := s.resolve(properties)
	if err != nil {
		return r, fmt.Errorf("resource %s: %w", id, err)
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return r, fmt.Errorf("resource %s: line %d: its properties are no mapping", id, properties.Line)
	}
	r.Properties = fields
	return r, nil
}

// merge is SAM's: what a function says itself wins, and mappings are merged.
func merge(global, own map[string]any) map[string]any {
	out := maps.Clone(global)
	for key, value := range own {
		fields, isMap := value.(map[string]any)
		if of, both := out[key].(map[string]any); both && isMap {
			value = merge(of, fields)
		}
		out[key] = value
	}
	return out
}

func section(sections map[string]*yaml.Node, name string) (map[string]*yaml.Node, error) {
	if sections[name] == nil {
		return map[string]*yaml.Node{}, nil
	}
	fields, err := entries(sections[name])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return fields, nil
}

// entries are the entries of a mapping, each key once.
func entries(node *yaml.Node) (map[string]*yaml.Node, error) {
	if node.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: not a mapping", node.Line)
	}
	fields := make(map[string]*yaml.Node, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i].Value
		if fields[key] != nil {
			return nil, fmt.Errorf("line %d: %s is there twice", node.Content[i].Line, key)
		}
		fields[key] = node.Content[i+1]
	}
	return fields, nil
}
