package awstest

import (
	"strings"
	"time"
)

// rotationConfig is how a secret is rotated.
type rotationConfig struct {
	configured bool // RotateSecret was called once
	enabled    bool
	lambda     string
	rules      *rotationRules
}

type rotateSecret struct {
	secretRef
	ClientRequestToken             *string
	RotationLambdaARN              *string
	RotationRules                  *rotationRules
	RotateImmediately              *bool
	ExternalSecretRotationMetadata []any
	ExternalSecretRotationRoleARN  *string `json:"ExternalSecretRotationRoleArn"`
}

func (r *rotateSecret) conditions() map[string][]string {
	if r.RotationLambdaARN == nil {
		return nil
	}
	return map[string][]string{"secretsmanager:RotationLambdaARN": {*r.RotationLambdaARN}}
}

func (r *rotateSecret) perform(c *secretCall) (any, error) {
	if err := checkToken(r.ClientRequestToken); err != nil {
		return nil, err
	}
	if r.ExternalSecretRotationMetadata != nil || r.ExternalSecretRotationRoleARN != nil {
		return nil, unsupported("managed external secrets")
	}
	if r.RotationRules != nil {
		if err := r.RotationRules.check(); err != nil {
			return nil, err
		}
	}
	token := *r.ClientRequestToken
	test := r.RotateImmediately != nil && !*r.RotateImmediately
	queued := false
	sec, err := c.edit(r.secretID(), func(_ *secret, next *state) (bool, error) {
		if err := r.configure(c, next); err != nil {
			return false, err
		}
		if next.version(token) != nil {
			// The caller did not get the first reply: the rotation is on its
			// way, or done.
			return false, nil
		}
		if pending := next.labels[labelPending]; pending != "" && pending != next.labels[labelCurrent] {
			return false, invalidRequest("A previous rotation isn't complete. That rotation will be reattempted.")
		}
		if err := next.makeRoom(c.now); err != nil {
			return false, err
		}
		next.versions = append(next.versions, &version{id: token, kmsKey: next.kmsKey, created: c.now})
		next.labels[labelPending] = token
		queued = true
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	if queued {
		c.rotations.add(&rotation{secret: sec, token: token, rotationToken: c.uuid(), test: test, attempts: c.rotations.attempts})
		c.rotations.start(c.Server)
	}
	return createReply{named{sec.arn, sec.name}, token}, nil
}

// configure applies the request's settings, and demands that there be a
// function which can be called.
func (r *rotateSecret) configure(c *secretCall, next *state) error {
	cfg := &next.rotation
	if r.RotationLambdaARN != nil {
		cfg.lambda = *r.RotationLambdaARN
	}
	if r.RotationRules != nil {
		cfg.rules = r.RotationRules
	}
	switch {
	case cfg.lambda == "":
		return invalidRequest("No Lambda rotation function ARN is associated with this secret.")
	case !strings.HasPrefix(cfg.lambda, "arn:"):
		return invalidParameter("RotationLambdaARN is not an ARN: %s", cfg.lambda)
	case c.rotations.functions[cfg.lambda] == nil:
		return fail(400, codeAccessDenied, "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com.")
	}
	cfg.configured, cfg.enabled = true, true
	return nil
}

// nextRotation is zero when nothing is scheduled. A value that was put by
// hand counts as a rotation.
func (st *state) nextRotation() time.Time {
	if !st.rotation.enabled || st.rotation.rules == nil {
		return time.Time{}
	}
	last := st.refreshed
	if st.rotated.After(last) {
		last = st.rotated
	}
	return st.rotation.rules.next(last)
}

type cancelRotateSecret struct{ secretRef }

func (r *cancelRotateSecret) perform(c *secretCall) (any, error) {
	version := ""
	sec, err := c.edit(r.secretID(), func(sec *secret, next *state) (bool, error) {
		if !next.rotation.configured {
			return false, invalidRequest("You tried to cancel rotation on a secret that has no rotation.")
		}
		next.rotation.enabled = false
		version = c.rotations.cancel(sec)
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return createReply{named{sec.arn, sec.name}, version}, nil
}
