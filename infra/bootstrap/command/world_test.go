package command_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/databricks/databricks-sdk-go/config"

	"databricks-credential-rotation/infra/bootstrap/command"
	"databricks-credential-rotation/infra/bootstrap/login"
	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/rotator"
)

// rotateRole is the name of the role that a function runs as.
const rotateRole = "rotate"

// world is an account with two workspaces and a job in the first, and an AWS
// account whose roles are vouched for.
type world struct {
	*databrickstest.Server
	t                   *testing.T
	aws                 *awstest.Server
	analytics, research *databrickstest.Workspace
	job                 databrickstest.Principal
	// admin administers the account, local the first workspace, and nobody is
	// in the account and in the workspace, and may nothing.
	admin, local, nobody databrickstest.Principal
	waits                int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, Server: databrickstest.New(databrickstest.Config{}), aws: awstest.New(awstest.Config{})}
	t.Cleanup(func() {
		if unknown := append(w.Unknown(), w.aws.Unknown()...); len(unknown) > 0 {
			t.Errorf("requests that the simulators do not know: %v", unknown)
		}
	})
	w.PublishKeys(w.aws.Issuer(), w.aws.JWKS)
	w.analytics, w.research = w.AddWorkspace("analytics"), w.AddWorkspace("research")
	w.admin = w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "the account's admin", AccountAdmin: true})
	w.local = w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "a workspace's admin"})
	w.nobody = w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "nobody"})
	w.job = w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "nightly job"})
	w.Assign(w.local.ID, w.analytics, true)
	w.Assign(w.nobody.ID, w.analytics, false)
	w.Assign(w.job.ID, w.analytics, false)
	return w
}

// credentials is a login by what the SDK would find in the environment.
type credentials struct{ host, account, id, secret string }

func (credentials) Name() string { return "test" }

func (c credentials) Configure(cfg *config.Config) error {
	cfg.Host, cfg.AccountID, cfg.ClientID, cfg.ClientSecret = c.host, c.account, c.id, c.secret
	return nil
}

// as returns a login of a service principal at the account's console, or at a
// workspace's.
func (w *world) as(p databrickstest.Principal, at *databrickstest.Workspace) credentials {
	w.t.Helper()
	secret, err := w.AddSecret(p.ID, databrickstest.SecretSpec{})
	if err != nil {
		w.t.Fatal(err)
	}
	c := credentials{host: w.AccountHost(), account: w.AccountID(), id: p.ApplicationID, secret: secret.Value}
	if at != nil {
		c.host, c.account = at.Host(), ""
	}
	return c
}

// result is one run of the command.
type result struct {
	code     int
	out, err string
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\n%s%s", r.code, r.out, r.err)
}

func (w *world) run(who credentials, answer string, args ...string) result {
	w.t.Helper()
	return w.runIn(w.t.Context(), who, strings.NewReader(answer), args...)
}

func (w *world) runIn(ctx context.Context, who credentials, answer io.Reader, args ...string) result {
	w.t.Helper()
	var out, errs bytes.Buffer
	c := &command.Command{
		In: answer, Out: &out, Err: &errs,
		Login: login.Options{Loaders: []config.Loader{who}, Transport: w.Transport()},
		STS: func(context.Context) (rotator.STS, error) {
			cfg := w.aws.Config()
			cfg.Credentials = w.aws.Role(rotateRole)
			return sts.NewFromConfig(cfg), nil
		},
		Wait: func(ctx context.Context, d time.Duration) error {
			w.waits++
			return ctx.Err()
		},
	}
	r := result{code: c.Run(ctx, args)}
	r.out, r.err = out.String(), errs.String()
	for _, secret := range w.Issued() {
		if strings.Contains(r.String(), secret) {
			w.t.Errorf("a secret is printed (invariant 6):\n%v", r)
		}
	}
	return r
}

// federation are the flags that let the function's role in.
func (w *world) federation() []string {
	return []string{"-issuer", w.aws.Issuer(), "-subject", w.aws.RoleARN(rotateRole)}
}

// expect fails unless the run ended so and said so.
func (w *world) expect(r result, code int, says ...string) {
	w.t.Helper()
	if r.code != code {
		w.t.Errorf("exit code %d, want %d", r.code, code)
	}
	for _, text := range says {
		if !strings.Contains(r.out+r.err, text) {
			w.t.Errorf("does not say %q", text)
		}
	}
	if w.t.Failed() {
		w.t.Fatalf("the run:\n%v", r)
	}
}

// rotators are the service principals that have the rotator's name.
func (w *world) rotators() []databrickstest.Principal {
	return slices.DeleteFunc(w.Principals(), func(p databrickstest.Principal) bool {
		return p.DisplayName != "databricks-credential-rotation"
	})
}

func (w *world) rotator() databrickstest.Principal {
	w.t.Helper()
	all := w.rotators()
	if len(all) != 1 {
		w.t.Fatalf("%d rotators: %+v", len(all), all)
	}
	return all[0]
}

// writes are the requests that change something, logins apart.
func (w *world) writes() []string {
	var all []string
	for _, call := range w.Faults().Calls() {
		if !call.Read {
			all = append(all, call.Op)
		}
	}
	return all
}
