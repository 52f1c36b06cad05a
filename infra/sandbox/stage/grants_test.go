package stage_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/infra/sandbox/iam"
	"databricks-credential-rotation/infra/sandbox/stage"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/policy"
)

var update = flag.Bool("update", false, "write testdata/grants.txt anew")

const secretsKey = "arn:aws:kms:eu-west-1:123456789012:key/5ec4e75a-0000-4000-8000-000000000001"

// everything is a deployment that has all that the template makes a matter of
// choice, so that all its grants are there.
var everything = map[string]string{
	"SecretsKeyArn": secretsKey, "CustomerManagedEncryption": "true", "Tracing": "true", "SecurityHub": "on",
	"ResponderArns": "arn:aws:iam::123456789012:role/operator",
}

// walks are ways through the product, by the compiled functions. Between them
// they need every grant of the template.
var walks = map[string]struct {
	config stage.Config
	walk   func(*managed)
}{
	"sweep":            {walk: walkSweep},
	"reconcile":        {walk: walkReconcile},
	"protocol":         {walk: func(w *managed) { w.rotate(true) }},
	"queue":            {walk: walkQueue},
	"no time left":     {config: stage.Config{Timeouts: map[string]time.Duration{"rotate": 30 * time.Second}}, walk: walkNoTime},
	"failed events":    {walk: walkFailedEvents},
	"undelivered":      {walk: walkUndelivered},
	"audit":            {walk: walkAudit},
	"replace":          {walk: walkReplace},
	"revoke, release":  {walk: walkRelease},
	"pending replaced": {walk: walkPendingReplaced},
}

func walkSweep(w *managed) {
	w.t.Helper()
	if err := w.stage.RunSchedule(w.t.Context(), "rotate", "Sweep"); err != nil {
		w.t.Fatal(err)
	}
	w.works()
	if w.stage.Traces("rotate") != 1 {
		w.t.Error("the invocation was not traced")
	}
	if len(w.stage.Logs.Texts()["rotate"]) == 0 {
		w.t.Error("nothing was logged")
	}
}

// walkReconcile removes what a run has left that died when it had issued.
func walkReconcile(w *managed) {
	w.t.Helper()
	s := w.stage
	s.Clock.SetBack(2 * time.Hour)
	s.Databricks.Faults().Add(faulttest.Fault{Op: databrickstest.OpAccountCreateSecret, Kind: faulttest.ReplyLost})
	if _, err := s.Invoke(w.t.Context(), "rotate", []byte(`{"action":"rotate","secrets":["`+w.name+`"],"force":true}`)); err == nil {
		w.t.Fatal("a lost reply is no failure")
	}
	s.Clock.SetBack(0)
	if err := w.stage.RunSchedule(w.t.Context(), "rotate", "Reconcile"); err != nil {
		w.t.Fatal(err)
	}
}

// foreign adds an OAuth secret of somebody else's, for which all versions are
// looked at.
func (w *managed) foreign() {
	w.t.Helper()
	if _, err := w.stage.Databricks.AddSecret(w.principal.ID, databrickstest.SecretSpec{Lifetime: 24 * time.Hour}); err != nil {
		w.t.Fatal(err)
	}
}

// walkQueue has one message done and one given up.
func walkQueue(w *managed) {
	w.t.Helper()
	before := w.current()
	cfg := w.stage.AWS.Config()
	cfg.Credentials = w.stage.AWS.Role("operator")
	api := sqs.NewFromConfig(cfg)
	queue, err := api.GetQueueUrl(w.t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(stage.RotateQueue)})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, body := range []string{`{"action":"rotate","secrets":["` + w.name + `"],"force":true}`, `{"action":"rotate"`} {
		if _, err := api.SendMessage(w.t.Context(), &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: &body}); err != nil {
			w.t.Fatal(err)
		}
	}
	w.await("the queue to be empty", func() bool { return len(w.stage.AWS.QueueMessages(stage.RotateQueue)) == 0 })
	if w.current().ID == before.ID {
		w.t.Error("the message was not done")
	}
	if n := len(w.stage.AWS.QueueMessages(stage.DeadLetterQueue)); n != 1 {
		w.t.Errorf("%d messages were given up, want 1", n)
	}
}

func walkNoTime(w *managed) {
	w.t.Helper()
	_, _ = w.stage.Invoke(w.t.Context(), "rotate", []byte(`{"action":"sweep"}`)) // whether that is an error is not asked here
	w.await("the secret in the queue", func() bool { return len(w.stage.AWS.QueueMessages(stage.RotateQueue)) == 1 })
}

func walkFailedEvents(w *managed) {
	w.t.Helper()
	for i, function := range []string{"rotate", "audit"} {
		if out, body := invoke(w.t, w.stage, function, "Event", `{"action":"nothing"}`); out.StatusCode != http.StatusAccepted {
			w.t.Fatalf("status %d: %s", out.StatusCode, body)
		}
		w.await("the failed event", func() bool { return len(w.stage.AWS.QueueMessages(stage.FailedInvocationQueue)) == i+1 })
	}
}

func walkUndelivered(w *managed) {
	w.t.Helper()
	w.stage.Undeploy("rotate")
	if err := w.stage.RunSchedule(w.t.Context(), "rotate", "Sweep"); err == nil {
		w.t.Error("a function that is not there was invoked")
	}
	if n := len(w.stage.AWS.QueueMessages(stage.UndeliveredQueue)); n != 1 {
		w.t.Errorf("%d undelivered invocations, want 1", n)
	}
}

// walkAudit audits twice, and the second time removes a token of which the first
// gave notice.
func walkAudit(w *managed) {
	w.t.Helper()
	s := w.stage
	w.foreign()
	if _, err := s.Databricks.AddToken(s.Analytics, w.principal.ID, databrickstest.TokenSpec{
		CreateTime: s.Clock.Now().Add(-300 * 24 * time.Hour), LastUsed: s.Clock.Now().Add(-250 * 24 * time.Hour),
	}); err != nil {
		w.t.Fatal(err)
	}
	p := policy.Default()
	p.Prune.Mode, p.Prune.Notice = policy.Enforce, time.Second
	if err := s.SetPolicy(w.t.Context(), p); err != nil {
		w.t.Fatal(err)
	}
	if err := s.RunSchedule(w.t.Context(), "audit", "Audit"); err != nil {
		w.t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond) // the notice
	if err := s.RunSchedule(w.t.Context(), "audit", "Audit"); err != nil {
		w.t.Fatal(err)
	}
	if failures := s.Failures(); len(failures) > 0 {
		w.t.Errorf("failures: %v", failures)
	}
	if n := len(s.AWS.Published(s.Topic)); n != 2 {
		w.t.Errorf("%d summaries, want one for each audit", n)
	}
	if len(s.AWS.SecurityFindings()) == 0 {
		w.t.Error("Security Hub has no findings")
	}
	if trail, err := s.Trail(); err != nil || len(trail) == 0 {
		w.t.Errorf("nothing was pruned: %v", err)
	}
}

// walkReplace replaces a credential that is known by the hash of its value, as
// the role that responders assume.
func walkReplace(w *managed) {
	w.t.Helper()
	before := w.current()
	w.foreign()
	sum := sha256.Sum256([]byte(w.value()["DATABRICKS_CLIENT_SECRET"]))
	w.revoke(`{"mode":"replace","sha256":"` + hex.EncodeToString(sum[:]) + `","reason":"test"}`)
	if w.current().ID == before.ID {
		w.t.Error("the credential was not replaced")
	}
	w.works()
}

func walkRelease(w *managed) {
	w.t.Helper()
	// Once it is gone, nobody can ask what its scopes were.
	value := w.value()
	value["ROTATION_SCOPES"] = "all-apis"
	text, err := json.Marshal(value)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.stage.SecretsManager("operator").PutSecretValue(w.t.Context(), &secretsmanager.PutSecretValueInput{
		SecretId: &w.name, SecretString: aws.String(string(text)),
	}); err != nil {
		w.t.Fatal(err)
	}
	w.revoke(`{"mode":"revoke","secret":"` + w.name + `","reason":"test"}`)
	w.revoke(`{"mode":"release","secret":"` + w.name + `","reason":"test"}`)
	w.works()
}

// walkPendingReplaced replaces where a rotation has failed and left its label.
func walkPendingReplaced(w *managed) {
	w.t.Helper()
	w.stage.Clock.SetBack(26 * time.Hour)
	w.failedRotation()
	w.stage.Clock.SetBack(0)
	w.revoke(`{"mode":"replace","secret":"` + w.name + `","reason":"test"}`)
	w.works()
}

// revoke invokes the function revoke as a responder does.
func (w *managed) revoke(event string) {
	w.t.Helper()
	out, body := invokeAs(w.t, w.stage, stage.ResponderRole, "revoke", "RequestResponse", event)
	if out.StatusCode != http.StatusOK || out.Header.Get("X-Amz-Function-Error") != "" {
		w.t.Fatalf("status %d: %s", out.StatusCode, body)
	}
}

func (w *managed) await(what string, done func() bool) {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// journal is what IAM decided, by walks; what is the same is there once.
type journal map[string]map[string]iam.Call

func (j journal) of(walk string) func(iam.Call) {
	j[walk] = map[string]iam.Call{}
	return func(c iam.Call) {
		if _, name, ok := strings.Cut(c.Resource, stage.DataBucket+"/trail/"); ok && name != "" {
			// Every entry has a key of its own.
			c.Resource = strings.TrimSuffix(c.Resource, name) + "entry"
		}
		key, _ := json.Marshal([]any{c.Access, c.Denied == nil}) // maps and texts always marshal
		j[walk][string(key)] = c
	}
}

// walked goes all walks and returns what was decided, and the account.
func walked(t *testing.T) (journal, *iam.Account) {
	t.Helper()
	j := journal{}
	var account *iam.Account
	for _, name := range slices.Sorted(maps.Keys(walks)) {
		t.Run(name, func(t *testing.T) {
			config := walks[name].config
			config.Parameters, config.Observe = everything, j.of(name)
			w := newSecretOn(t, openWith(t, config))
			account = w.stage.IAM
			walks[name].walk(w)
			if unknown := w.stage.Unknown(); len(unknown) > 0 {
				t.Errorf("unknown to the simulators: %v", unknown)
			}
		})
	}
	if t.Failed() {
		t.FailNow()
	}
	return j, account
}

// The roles of the stack may do what they do, and nothing else.
//
//   - No call of theirs is refused on any walk.
//   - Each grant, which is one action on one resource under one statement, is
//     needed: without it a call of a walk would be refused. testdata/grants.txt
//     says of which walks.
//   - Each condition holds something back: a call that differs only in what the
//     condition asks about is refused, and would not be without it. Policies of
//     resources are left out: somebody's own bucket has not the stack's.
//   - Only actions that know no resources are granted on all.
func TestGrants(t *testing.T) {
	j, account := walked(t)
	stackRole := func(name string) bool { return strings.HasSuffix(name, "Role") }
	roles := map[string]bool{}
	var lines []string
	for _, g := range account.Grants() {
		if !stackRole(g.Role) {
			continue // a person of the sandbox
		}
		roles[g.Role] = true
		without := account.Without(g)
		var need []string
		for _, walk := range slices.Sorted(maps.Keys(j)) {
			for _, c := range j[walk] {
				if c.Action == "sqs:ReceiveMessage" && walk != "queue" {
					continue // the queue is polled all the time
				}
				if c.Denied == nil && !without.Allows(c.Access) {
					need = append(need, walk)
					break
				}
			}
		}
		if len(need) == 0 {
			t.Errorf("no walk needs the grant %s", g)
		}
		lines = append(lines, g.String()+": "+strings.Join(need, ", "))
		if g.Resource == "*" && !knowsNoResource[g.Action] {
			t.Errorf("%s is granted on all resources", g)
		}
		if strings.Contains(g.Action, "*") {
			t.Errorf("%s grants more than one action", g)
		}
	}
	if len(roles) != 5 {
		t.Errorf("roles %v, want those of three functions, of schedules and of responders", roles)
	}
	for walk, calls := range j {
		for _, c := range calls {
			if c.Denied != nil {
				t.Errorf("%s: %s may not %s on %s: %v", walk, c.Caller, c.Action, c.Resource, c.Denied)
			}
		}
	}
	t.Run("conditions", func(t *testing.T) { testConditions(t, j, account) })

	lines = append(lines, "", "# The conditions under which.")
	for _, c := range account.Conditions() {
		if stackRole(c.Role) {
			lines = append(lines, c.String())
		}
	}

	file := filepath.Join("testdata", "grants.txt")
	got := "# What the roles of the stack may do, and the walks that need it.\n" + strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("grants (-%s +template); -update writes them anew:\n%s", file, diff)
	}
}

// knowsNoResource are the actions for which IAM has no resource.
var knowsNoResource = map[string]bool{
	"secretsmanager:ListSecrets": true, "secretsmanager:BatchGetSecretValue": true, "sts:GetWebIdentityToken": true,
	"xray:PutTelemetryRecords": true, "xray:PutTraceSegments": true,
}

func testConditions(t *testing.T, j journal, account *iam.Account) {
	for _, c := range account.Conditions() {
		if !strings.HasSuffix(c.Role, "Role") {
			continue
		}
		if !holdsBack(j, account, c) {
			t.Errorf("the condition %s holds nothing back", c)
		}
	}
}

// holdsBack looks for a call that was made and would, with the key of a condition
// taken off or another value, be refused on account of the condition alone.
func holdsBack(j journal, account *iam.Account, c iam.Condition) bool {
	account = account.OfRoles()
	without := account.Unconditioned(c)
	for _, calls := range j {
		for _, call := range calls {
			for _, values := range [][]string{nil, {"another"}, {"3600"}} {
				a := call.Access
				a.Conditions = maps.Clone(a.Conditions)
				delete(a.Conditions, c.Key)
				if values != nil {
					a.Conditions[c.Key] = values
				}
				if !account.Allows(a) && without.Allows(a) {
					return true
				}
			}
		}
	}
	return false
}

// One grant is really taken away: the walk that needs it fails, and says what
// was refused.
func TestWithoutOneGrant(t *testing.T) {
	for _, test := range []struct{ role, sid, action, event, function, want string }{
		{"RotateRole", "WriteUnlessHeld", "secretsmanager:PutSecretValue", `{"action":"rotate","secrets":["etl"],"force":true}`, "rotate", "not authorized to perform: secretsmanager:PutSecretValue"},
		{"RotateRole", "AppendToTrail", "s3:PutObject", `{"action":"rotate","secrets":["etl"],"force":true}`, "rotate", "trail"},
		{"RotateRole", "ProveIdentity", "sts:GetWebIdentityToken", `{"action":"reconcile"}`, "rotate", "not authorized to perform: sts:GetWebIdentityToken"},
		{"AuditRole", "ReadPolicy", "s3:GetObject", `{"action":"audit"}`, "audit", "not authorized to perform: s3:GetObject"},
		{"RevokeRole", "HoldManagedSecrets", "secretsmanager:TagResource", `{"mode":"revoke","secret":"etl","reason":"test"}`, "revoke", "not authorized to perform: secretsmanager:TagResource"},
	} {
		t.Run(test.role+" "+test.action, func(t *testing.T) {
			w := newSecret(t)
			i := slices.IndexFunc(w.stage.IAM.Grants(), func(g iam.Grant) bool {
				return g.Role == test.role && g.Sid == test.sid && g.Action == test.action
			})
			if i < 0 {
				t.Fatal("there is no such grant")
			}
			live := w.live()
			w.stage.AWS.SetAuthorizer(w.stage.IAM.Without(w.stage.IAM.Grants()[i]).Authorize)
			reply, err := w.stage.Invoke(t.Context(), test.function, []byte(test.event))
			if text := fmt.Sprint(string(reply), err); !strings.Contains(text, test.want) {
				t.Errorf("%s, want that it says %q", text, test.want)
			}
			if test.function == "rotate" && w.live() != live {
				t.Errorf("%d OAuth secrets, want the %d there were", w.live(), live)
			}
			w.stage.AWS.SetAuthorizer(w.stage.IAM.Authorize)
		})
	}
}

// value is what AWSCURRENT holds.
func (w *managed) value() map[string]string {
	w.t.Helper()
	var value map[string]string
	if err := json.Unmarshal([]byte(w.current().Value), &value); err != nil {
		w.t.Fatal(err)
	}
	return value
}

// newSecretOn is newSecret on a stage that is there, encrypted with the secrets'
// key.
func newSecretOn(t *testing.T, s *stage.Stage) *managed {
	t.Helper()
	s.Clock.SetBack(80 * 24 * time.Hour)
	w := registered(t, s, &secretsmanager.CreateSecretInput{
		KmsKeyId: aws.String(secretsKey),
		Tags:     []types.Tag{{Key: aws.String("databricks-rotation"), Value: aws.String("managed")}},
	})
	s.Clock.SetBack(0)
	return w
}
