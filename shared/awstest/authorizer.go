package awstest

import (
	"context"
	"net/http"
)

// Access is one decision that IAM would take.
type Access struct {
	// Caller is the role's ARN.
	Caller string
	// Action is the IAM action: "secretsmanager:GetSecretValue",
	// "s3:PutObject".
	Action string
	// Resource is the ARN of what the action is about; "*" when the action
	// has no resource. A secret that does not exist has the ARN of its name
	// without the random suffix.
	Resource string
	// Conditions holds the condition keys that the emulator knows, by the
	// names that policies use: "aws:ResourceTag/<key>", "aws:RequestTag/<key>",
	// "aws:TagKeys", "secretsmanager:Name", "secretsmanager:ResourceTag/<key>",
	// "secretsmanager:VersionId", "secretsmanager:VersionStage",
	// "secretsmanager:RotationLambdaARN",
	// "secretsmanager:resource/AllowRotationLambdaArn",
	// "sts:IdentityTokenAudience", "sts:SigningAlgorithm", "sts:DurationSeconds".
	Conditions map[string][]string
}

// Authorizer decides on one access; an error refuses it, and its text becomes
// the message of the service's access-denied error.
type Authorizer func(context.Context, Access) error

// SetAuthorizer has every call decided by a, also each secret of a batch
// read. Nil, the default, allows everything to every known caller.
func (s *Server) SetAuthorizer(a Authorizer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.authorizer = a
}

// authorized takes the decision outside the lock.
func (s *Server) authorized(ctx context.Context, a Access) error {
	s.mu.Lock()
	decide := s.authorizer
	s.mu.Unlock()
	if decide == nil {
		return nil
	}
	if a.Resource == "" {
		a.Resource = "*"
	}
	if err := decide(ctx, a); err != nil {
		return fail(http.StatusBadRequest, codeAccessDenied, "User: %s is not authorized to perform: %s on resource: %s: %v", a.Caller, a.Action, a.Resource, err)
	}
	return nil
}
