package awstest

import (
	"context"
	"maps"
	"net/http"
	"strings"
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
	// "sts:IdentityTokenAudience", "sts:SigningAlgorithm", "sts:DurationSeconds",
	// "s3:if-none-match", "kms:ViaService", "kms:EncryptionContext:<name>", and
	// with every access "aws:ResourceAccount" and "aws:SecureTransport", which is
	// always true: the loopback interface stands for TLS.
	Conditions map[string][]string
	// ResourcePolicy is the policy of the secret, "" if it has none. Policies of
	// other resources are not known to the emulator.
	ResourcePolicy string
}

// Authorizer decides on one access; an error refuses it, and its text ends the
// message of the service's access-denied error: "because no identity-based policy
// allows the … action".
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
	conditions := map[string][]string{"aws:ResourceAccount": {s.account}, "aws:SecureTransport": {"true"}}
	maps.Copy(conditions, a.Conditions)
	a.Conditions = conditions
	if err := decide(ctx, a); err != nil {
		return fail(http.StatusBadRequest, codeAccessDenied, "User: %s is not authorized to perform: %s on resource: %s %v", a.Caller, a.Action, a.Resource, err)
	}
	return nil
}

// keyUse is what a service does with a customer-managed key on behalf of who
// calls it.
type keyUse struct {
	key     string // the key's ARN; nothing is decided without
	service string // as in kms:ViaService
	actions []string
	// about is the encryption context: what the key is used for.
	about map[string]string
}

// useKey takes the decisions on the use of a key, which is no call of its own
// but needs permissions of its own.
func (s *Server) useKey(ctx context.Context, caller string, use keyUse) error {
	if use.key == "" {
		return nil
	}
	for _, action := range use.actions {
		conditions := map[string][]string{
			"kms:ViaService":    {use.service + "." + s.region + ".amazonaws.com"},
			"kms:CallerAccount": {accountOf(caller)},
		}
		for name, value := range use.about {
			conditions["kms:EncryptionContext:"+name] = []string{value}
		}
		if err := s.authorized(ctx, Access{Caller: caller, Action: "kms:" + action, Resource: use.key, Conditions: conditions}); err != nil {
			return err
		}
	}
	return nil
}

// accountOf is the account in an ARN.
func accountOf(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
		return parts[4]
	}
	return ""
}
