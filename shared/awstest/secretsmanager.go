package awstest

import (
	"context"
	"net/http"
	"strings"
	"time"

	"databricks-credential-rotation/shared/faulttest"
)

// secretAction is one request to Secrets Manager, as decoded from its JSON.
type secretAction interface {
	// secretID is the SecretId as the caller gave it, empty if there is none.
	secretID() string
	// perform runs with the server's lock held.
	perform(c *secretCall) (any, error)
}

// secretCall is what an action knows about its caller.
type secretCall struct {
	*Server
	now    time.Time
	stale  bool
	caller string
	// denied holds the refusals of a batch read, by secret ARN.
	denied map[string]error
}

type secretOperation struct {
	decode func() secretAction
	read   bool
	quota  func(*quotas) *window
}

func reading[T any, P interface {
	*T
	secretAction
}](quota func(*quotas) *window) secretOperation {
	return secretOperation{decode: func() secretAction { return P(new(T)) }, read: true, quota: quota}
}

func writing[T any, P interface {
	*T
	secretAction
}](quota func(*quotas) *window) secretOperation {
	return secretOperation{decode: func() secretAction { return P(new(T)) }, quota: quota}
}

func unlimited(*quotas) *window     { return nil }
func readQuota(q *quotas) *window   { return &q.read }
func writeQuota(q *quotas) *window  { return &q.write }
func rotateQuota(q *quotas) *window { return &q.rotate }
func listQuota(q *quotas) *window   { return &q.list }
func batchQuota(q *quotas) *window  { return &q.batch }

var secretOperations = map[string]secretOperation{
	"BatchGetSecretValue":      reading[batchGetSecretValue](batchQuota),
	"CancelRotateSecret":       writing[cancelRotateSecret](rotateQuota),
	"CreateSecret":             writing[createSecret](unlimited),
	"DeleteResourcePolicy":     writing[deleteResourcePolicy](unlimited),
	"DeleteSecret":             writing[deleteSecret](unlimited),
	"DescribeSecret":           reading[describeSecret](readQuota),
	"GetResourcePolicy":        reading[getResourcePolicy](unlimited),
	"GetSecretValue":           reading[getSecretValue](readQuota),
	"ListSecretVersionIds":     reading[listSecretVersionIDs](unlimited),
	"ListSecrets":              reading[listSecrets](listQuota),
	"PutResourcePolicy":        writing[putResourcePolicy](unlimited),
	"PutSecretValue":           writing[putSecretValue](writeQuota),
	"RestoreSecret":            writing[restoreSecret](unlimited),
	"RotateSecret":             writing[rotateSecret](rotateQuota),
	"TagResource":              writing[tagResource](unlimited),
	"UntagResource":            writing[untagResource](unlimited),
	"UpdateSecret":             writing[updateSecret](writeQuota),
	"UpdateSecretVersionStage": writing[updateSecretVersionStage](writeQuota),
	"ValidateResourcePolicy":   reading[validateResourcePolicy](unlimited),
}

// secretRef is the SecretId that most requests have.
type secretRef struct {
	SecretID *string `json:"SecretId"`
}

func (r *secretRef) secretID() string { return deref(r.SecretID) }

// noSecret is for requests without a SecretId.
type noSecret struct{}

func (noSecret) secretID() string { return "" }

// named is the reply of the operations that say only which secret it was.
type named struct {
	ARN  string
	Name string
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func (s *Server) serveSecretsManager(w http.ResponseWriter, r *http.Request, op string) {
	call := faulttest.Call{Service: "secretsmanager", Op: op}
	caller, known := s.caller(r)
	call.Caller = caller

	operation, ok := secretOperations[op]
	var action secretAction
	var refused error
	switch {
	case !known:
		refused = fail(http.StatusBadRequest, "UnrecognizedClientException", "The security token included in the request is invalid.")
	case !ok:
		s.noteUnknown("secretsmanager %s", op)
		refused = fail(http.StatusBadRequest, "UnknownOperationException", "no such operation: %s", op)
	default:
		action = operation.decode()
		if refused = decodeJSON(r.Body, action); refused != nil {
			s.noteUnknown("secretsmanager %s: %v", op, refused)
		} else {
			call.Target = s.secretTarget(action)
		}
	}
	call.Read = operation.read

	throttle := func(w http.ResponseWriter, _ time.Duration) { writeJSONFailure(w, jsonVersion11, throttled()) }
	s.faults.Serve(w, r, call, throttle, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refused != nil {
			writeJSONFailure(w, jsonVersion11, asFailure(refused))
			return
		}
		reply, err := s.performSecret(r.Context(), caller, op, operation, action)
		if err != nil {
			writeJSONFailure(w, jsonVersion11, asFailure(err))
			return
		}
		writeJSON(w, jsonVersion11, reply)
	}))
}

func (s *Server) performSecret(ctx context.Context, caller, op string, operation secretOperation, action secretAction) (any, error) {
	c := &secretCall{Server: s, caller: caller, stale: faulttest.IsStale(ctx)}
	if err := s.authorizeSecret(ctx, c, op, action); err != nil {
		return nil, err
	}
	if accountOf(caller) != s.account && !strings.HasPrefix(action.secretID(), s.secretARN("")) {
		return nil, notFound("The emulator holds nothing of account %s.", accountOf(caller))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.now = s.now()
	if err := operation.quota(&s.quotas).take(c.now); err != nil {
		s.quotas.throttled++
		return nil, err
	}
	return action.perform(c)
}

// secretTarget is the name of the secret that a request is about.
func (s *Server) secretTarget(action secretAction) string {
	id := action.secretID()
	if id == "" {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sec := s.find(id); sec != nil {
		return sec.name
	}
	return strings.TrimPrefix(id, s.secretARN(""))
}

// conditioned is a request with condition keys of its own.
type conditioned interface{ conditions() map[string][]string }

func (s *Server) authorizeSecret(ctx context.Context, c *secretCall, op string, action secretAction) error {
	s.mu.Lock()
	decides := s.authorizer != nil
	s.mu.Unlock()
	if !decides {
		return nil
	}
	access := Access{Caller: c.caller, Action: "secretsmanager:" + op, Conditions: map[string][]string{}}
	if id := action.secretID(); id != "" {
		access = s.secretAccess(c.caller, op, id)
	}
	if own, ok := action.(conditioned); ok {
		for key, values := range own.conditions() {
			access.Conditions[key] = values
		}
	}
	if err := s.authorized(ctx, access); err != nil {
		return err
	}
	batch, ok := action.(*batchGetSecretValue)
	if !ok {
		return s.useSecretKey(ctx, c.caller, op, action.secretID())
	}
	c.denied = map[string]error{}
	for _, id := range s.batchCandidates(batch) {
		access := s.secretAccess(c.caller, "GetSecretValue", id)
		err := s.authorized(ctx, access)
		if err == nil {
			err = s.useSecretKey(ctx, c.caller, "GetSecretValue", id)
		}
		if err != nil {
			c.denied[access.Resource] = err
		}
	}
	return nil
}

// useSecretKey has the caller use the key of a secret for what an operation does
// with its values. The key of a secret that has none of its own is AWS' and open
// to the account.
func (s *Server) useSecretKey(ctx context.Context, caller, op, id string) error {
	actions := map[string][]string{
		"GetSecretValue": {"Decrypt"},
		"PutSecretValue": {"GenerateDataKey"},
	}[op]
	s.mu.Lock()
	use := keyUse{service: "secretsmanager", actions: actions}
	if sec := s.find(id); sec != nil && sec.state != nil && strings.HasPrefix(sec.state.kmsKey, "arn:") {
		use.key, use.about = sec.state.kmsKey, map[string]string{"SecretARN": sec.arn}
	}
	s.mu.Unlock()
	if err := s.useKey(ctx, caller, use); err != nil {
		return fail(http.StatusBadRequest, codeAccessDenied, "Access to KMS is not allowed")
	}
	return nil
}

// secretAccess is a call about a secret as IAM judges it: with its ARN, its tags
// and its policy. A caller of another account that gives a name speaks of a
// secret of its own account.
func (s *Server) secretAccess(caller, op, id string) Access {
	s.mu.Lock()
	defer s.mu.Unlock()
	access := Access{Caller: caller, Action: "secretsmanager:" + op, Conditions: map[string][]string{}}
	if home := accountOf(caller); home != s.account && !strings.HasPrefix(id, "arn:") {
		access.Resource = "arn:aws:secretsmanager:" + s.region + ":" + home + ":secret:" + id
		access.Conditions["aws:ResourceAccount"] = []string{home}
		return access
	}
	if owner := accountOf(id); owner != "" {
		access.Conditions["aws:ResourceAccount"] = []string{owner}
	}
	sec := s.find(id)
	if sec == nil || sec.state == nil {
		access.Resource = id
		if !strings.HasPrefix(id, "arn:") {
			access.Resource = s.secretARN(id)
		}
		return access
	}
	if lambda := sec.state.rotation.lambda; lambda != "" {
		access.Conditions["secretsmanager:resource/AllowRotationLambdaArn"] = []string{lambda}
	}
	for _, t := range sec.state.tags {
		for _, prefix := range []string{"aws:ResourceTag/", "secretsmanager:ResourceTag/"} {
			access.Conditions[prefix+t.Key] = []string{t.Value}
		}
	}
	access.Resource, access.ResourcePolicy = sec.arn, sec.state.policy
	return access
}

// view is a secret as a read sees it.
func (c *secretCall) view(id string) (*secret, *state, error) {
	if id == "" {
		return nil, nil, invalidParameter("You must provide a value for the SecretId parameter.")
	}
	if sec := c.find(id); sec != nil {
		if st := c.visible(sec); st != nil {
			return sec, st, nil
		}
	}
	return nil, nil, notFound("Secrets Manager can't find the specified secret.")
}

// visible is the state that this call may see of a secret, nil for none.
func (c *secretCall) visible(sec *secret) *state {
	old := c.stale
	if c.secrets.lag && sec.fresh {
		sec.fresh, old = false, true
	}
	if old && (c.maxLag == 0 || c.now.Sub(sec.committed) < c.maxLag) {
		return sec.previous
	}
	return sec.state
}

// readable is view for the operations that a secret scheduled for deletion refuses.
func (c *secretCall) readable(id string) (*secret, *state, error) {
	sec, st, err := c.view(id)
	if err == nil && !st.deleteAt.IsZero() {
		return nil, nil, errScheduledForDeletion
	}
	return sec, st, err
}

var errScheduledForDeletion = invalidRequest("You can't perform this operation on the secret because it was marked for deletion.")

// existing is a secret for a write, by its latest state.
func (c *secretCall) existing(id string) (*secret, error) {
	if id == "" {
		return nil, invalidParameter("You must provide a value for the SecretId parameter.")
	}
	sec := c.find(id)
	if sec == nil || sec.state == nil {
		return nil, notFound("Secrets Manager can't find the specified secret.")
	}
	return sec, nil
}

// edit changes a secret all at once: when f fails nothing has changed, and
// when f reports no change the secret keeps its dates.
func (c *secretCall) edit(id string, f func(sec *secret, next *state) (changed bool, err error)) (*secret, error) {
	sec, err := c.existing(id)
	if err != nil {
		return nil, err
	}
	if !sec.state.deleteAt.IsZero() {
		return nil, errScheduledForDeletion
	}
	next := sec.state.clone()
	changed, err := f(sec, next)
	if err != nil {
		return nil, err
	}
	if changed {
		sec.commit(next, c.now)
	}
	return sec, nil
}
