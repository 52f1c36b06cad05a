package iam

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"databricks-credential-rotation/infra/sandbox/template"
)

// Read adds the roles of a stack and the policies of its resources.
func (a *Account) Read(stack *template.Stack) error {
	return errors.Join(
		a.readRoles(stack),
		a.readPolicies(stack, "AWS::S3::BucketPolicy", func(p map[string]any) ([]any, any) {
			name, _ := p["Bucket"].(string)
			return []any{"arn:aws:s3:::" + name}, p["PolicyDocument"]
		}),
		a.readPolicies(stack, "AWS::SNS::TopicPolicy", func(p map[string]any) ([]any, any) {
			topics, _ := p["Topics"].([]any)
			return topics, p["PolicyDocument"]
		}),
		a.readKeys(stack),
		a.readPermissions(stack),
	)
}

func (a *Account) readRoles(stack *template.Stack) error {
	roles, err := stack.Resources("AWS::IAM::Role")
	faults := []error{err}
	for _, r := range roles {
		arn, err := stack.ARN(r.ID)
		if err != nil {
			return err
		}
		read := role{name: r.ID}
		for _, property := range slices.Sorted(maps.Keys(r.Properties)) {
			switch property {
			case "AssumeRolePolicyDocument":
				read.trust, err = parse(r.Properties[property], true)
			case "Policies":
				read.may, err = policies(r.Properties[property])
			case "Description", "RoleName", "MaxSessionDuration", "Tags", "Path":
			default:
				err = fmt.Errorf("the property %s is not known", property)
			}
			if err != nil {
				faults = append(faults, fmt.Errorf("role %s: %w", r.ID, err))
			}
		}
		a.mu.Lock()
		a.roles[arn] = read
		a.mu.Unlock()
	}
	return errors.Join(faults...)
}

// policies are the statements of a role's inline policies.
func policies(value any) ([]statement, error) {
	list, ok := value.([]any)
	if !ok {
		return nil, errors.New("its Policies are no list")
	}
	var statements []statement
	var faults []error
	for _, item := range list {
		fields, ok := item.(map[string]any)
		if !ok {
			return nil, errors.New("a policy is no mapping")
		}
		d, err := parse(fields["PolicyDocument"], false)
		if err != nil {
			faults = append(faults, fmt.Errorf("policy %v: %w", fields["PolicyName"], err))
		}
		for _, s := range d.statements {
			if s.sid == "" {
				faults = append(faults, fmt.Errorf("policy %v: a statement has no Sid, by which to speak of it", fields["PolicyName"]))
			}
		}
		statements = append(statements, d.statements...)
	}
	return statements, errors.Join(faults...)
}

// readPolicies reads the resources of a type that give others their policy.
func (a *Account) readPolicies(stack *template.Stack, kind string, of func(properties map[string]any) (arns []any, document any)) error {
	found, err := stack.Resources(kind)
	faults := []error{err}
	for _, r := range found {
		arns, value := of(r.Properties)
		d, err := parse(value, true)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", r.ID, err))
		}
		for _, arn := range arns {
			name, ok := arn.(string)
			if !ok {
				faults = append(faults, fmt.Errorf("%s: it does not say of what it is the policy", r.ID))
			}
			a.extend(name, d)
		}
	}
	return errors.Join(faults...)
}

func (a *Account) extend(arn string, d document) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.resources[arn] = document{append(a.resources[arn].statements, d.statements...)}
}

func (a *Account) readKeys(stack *template.Stack) error {
	keys, err := stack.Resources("AWS::KMS::Key")
	faults := []error{err}
	for _, k := range keys {
		arn, err := stack.ARN(k.ID)
		if err != nil {
			return err
		}
		d, err := parse(k.Properties["KeyPolicy"], true)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", k.ID, err))
		}
		a.extend(arn, d)
	}
	return errors.Join(faults...)
}

// readPermissions reads who may invoke functions, which Lambda keeps as the
// function's policy.
func (a *Account) readPermissions(stack *template.Stack) error {
	permissions, err := stack.Resources("AWS::Lambda::Permission")
	faults := []error{err}
	functions, err := stack.Resources("AWS::Serverless::Function")
	faults = append(faults, err)
	for _, p := range permissions {
		s := statement{sid: p.ID, allow: true, principals: principals{isNamedAtAll: true}}
		for _, property := range slices.Sorted(maps.Keys(p.Properties)) {
			value, ok := p.Properties[property].(string)
			if !ok {
				faults = append(faults, fmt.Errorf("%s: %s is no text", p.ID, property))
			}
			switch property {
			case "Action":
				s.action = value
			case "FunctionName":
				s.resource, err = functionARN(stack, functions, value)
				faults = append(faults, err)
			case "Principal":
				if strings.HasPrefix(value, "arn:") {
					s.principals.arns = []string{value}
				} else {
					s.principals.services = []string{value}
				}
			case "SourceAccount":
				s.conditions = append(s.conditions, condition{operator: "StringEquals", key: "aws:SourceAccount", values: []string{value}})
			case "SourceArn":
				s.conditions = append(s.conditions, condition{operator: "ArnLike", key: "aws:SourceArn", values: []string{value}})
			default:
				faults = append(faults, fmt.Errorf("%s: the property %s is not known", p.ID, property))
			}
		}
		a.extend(s.resource, document{[]statement{s}})
	}
	return errors.Join(faults...)
}

// functionARN finds the function of the stack that has a name or an ARN.
func functionARN(stack *template.Stack, functions []template.Resource, name string) (string, error) {
	for _, f := range functions {
		arn, err := stack.ARN(f.ID)
		if err != nil {
			return "", err
		}
		if arn == name || strings.HasSuffix(arn, ":function:"+name) {
			return arn, nil
		}
	}
	return "", fmt.Errorf("the stack has no function %s", name)
}
