package awstest

import "encoding/json"

type getResourcePolicy struct{ secretRef }

type policyReply struct {
	named
	ResourcePolicy string `json:",omitempty"`
}

func (g *getResourcePolicy) perform(c *secretCall) (any, error) {
	sec, st, err := c.view(g.secretID())
	if err != nil {
		return nil, err
	}
	return policyReply{named{sec.arn, sec.name}, st.policy}, nil
}

type putResourcePolicy struct {
	secretRef
	ResourcePolicy    *string
	BlockPublicPolicy *bool
}

func (p *putResourcePolicy) perform(c *secretCall) (any, error) {
	policy := deref(p.ResourcePolicy)
	if problem := policyProblem(policy); problem != "" {
		return nil, fail(400, "MalformedPolicyDocumentException", "%s", problem)
	}
	sec, err := c.edit(p.secretID(), func(_ *secret, next *state) (bool, error) {
		next.policy = policy
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return named{sec.arn, sec.name}, nil
}

type deleteResourcePolicy struct{ secretRef }

func (d *deleteResourcePolicy) perform(c *secretCall) (any, error) {
	sec, err := c.edit(d.secretID(), func(_ *secret, next *state) (bool, error) {
		had := next.policy != ""
		next.policy = ""
		return had, nil
	})
	if err != nil {
		return nil, err
	}
	return named{sec.arn, sec.name}, nil
}

type validateResourcePolicy struct {
	secretRef
	ResourcePolicy *string
}

type policyError struct {
	CheckName    string
	ErrorMessage string
}

type validateReply struct {
	PolicyValidationPassed bool
	ValidationErrors       []policyError
}

func (v *validateResourcePolicy) perform(c *secretCall) (any, error) {
	if v.secretID() != "" {
		if _, _, err := c.view(v.secretID()); err != nil {
			return nil, err
		}
	}
	if problem := policyProblem(deref(v.ResourcePolicy)); problem != "" {
		return validateReply{ValidationErrors: []policyError{{"POLICY_SYNTAX", problem}}}, nil
	}
	return validateReply{PolicyValidationPassed: true, ValidationErrors: []policyError{}}, nil
}

// policyProblem says what is wrong with a policy's syntax, "" if nothing is.
// What the policy means is not judged.
func policyProblem(document string) string {
	var policy struct {
		Version   string
		Statement any
	}
	if err := json.Unmarshal([]byte(document), &policy); err != nil {
		return "The policy is not valid JSON: " + err.Error()
	}
	if policy.Statement == nil {
		return "The policy has no Statement."
	}
	return ""
}
