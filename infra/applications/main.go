// Command applications runs applications against the sandbox while their
// credential is rotated five times, each time with a grace period of some
// seconds, and then replaced as if it had leaked. It fails if a call of theirs
// fails, and if a process that reads its secret once does not fail, after grace
// and not before.
//
//	go run ./infra/applications
//	go run ./infra/applications -python .bin/consumers/bin/python
//	go run ./infra/applications -tofu .bin/tofu/tofu -provider .bin/tofu
//
// The second line runs the application in Python as well, the third OpenTofu
// with the Databricks provider.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"databricks-credential-rotation/infra/sandbox/stage"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
)

const (
	secretName = "applications/etl"
	rotations  = 5
	grace      = 4 * time.Second
	// checkEvery is how often an application looks, so that it does within the
	// grace period.
	checkEvery = time.Second
	// begin is how long the slowest of them takes to make its first call.
	begin = 30 * time.Second
)

func main() {
	python := flag.String("python", "", "a Python that has boto3 and databricks-sdk")
	tofu := flag.String("tofu", "", "the program tofu")
	provider := flag.String("provider", "", "the directory of the program terraform-provider-databricks")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := run(ctx, tools{python: *python, tofu: *tofu, provider: *provider}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // the process ends
	}
}

// tools are programs that need not be there.
type tools struct{ python, tofu, provider string }

// application is a process that calls Databricks all the time.
type application struct {
	name    string
	command []string
	// once tells that it reads the secret at its start only.
	once bool
	// briefly tells that it cannot look again when it is refused, and so is
	// stopped before the replacement, which has no grace. Its calls are whole
	// runs of a tool.
	briefly bool

	process *exec.Cmd
	out     *os.File
	said    bytes.Buffer
	result  result
}

// result is the last line of an application.
type result struct {
	Calls        int    `json:"calls"`
	Failures     int    `json:"failures"`
	FirstFailure string `json:"first_failure"`
}

func run(ctx context.Context, t tools) error {
	dir, err := os.MkdirTemp("", "applications")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := stage.Build(ctx, dir); err != nil {
		return err
	}
	goapp := filepath.Join(dir, "goapp")
	build := exec.CommandContext(ctx, "go", "build", "-o", dir, "databricks-credential-rotation/infra/applications/...") //nolint:gosec // paths of this repository
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build the applications: %w", err)
	}
	s, err := stage.Open(ctx, stage.Config{Binaries: dir, Policy: policy.Policy{
		Interval: 30 * 24 * time.Hour, Grace: grace, Lifetime: 90 * 24 * time.Hour,
	}})
	if err != nil {
		return err
	}
	defer s.Close()
	principal, err := register(ctx, s)
	if err != nil {
		return err
	}
	every := checkEvery.String()
	apps := []*application{
		{name: "Go, databricks-sdk-go and shared/consumer", command: []string{goapp, "-secret", secretName, "-check-every", every}},
		{name: "Go, read once, authenticates for each call", command: []string{goapp, "-secret", secretName, "-once"}, once: true},
	}
	if t.python != "" {
		apps = append(apps, &application{name: "Python, databricks-sdk and boto3", command: []string{
			t.python, filepath.Join("infra", "applications", "python", "app.py"),
			"--secret", secretName, "--check-every", strconv.FormatFloat(checkEvery.Seconds(), 'f', -1, 64),
		}})
	}
	if t.tofu != "" {
		app, err := tofuApplication(t, dir)
		if err != nil {
			return err
		}
		apps = append(apps, app)
	}
	graceOver, err := play(ctx, s, principal, apps, dir)
	if err != nil {
		return err
	}
	return judge(apps, graceOver)
}

// tofuApplication runs OpenTofu in a directory of its own.
func tofuApplication(t tools, dir string) (*application, error) {
	state := filepath.Join(dir, "state")
	tofu, err1 := filepath.Abs(t.tofu)
	provider, err2 := filepath.Abs(t.provider)
	if err := errors.Join(err1, err2, os.Mkdir(state, 0o700)); err != nil {
		return nil, err
	}
	return &application{name: "OpenTofu plan and apply, Databricks provider", command: []string{
		filepath.Join(dir, "tofuapp"), "-secret", secretName, "-tofu", tofu, "-provider", provider,
		"-configuration", filepath.Join("infra", "applications", "tofu"), "-dir", state,
	}, briefly: true}, nil
}

// register makes a principal with a managed secret, and has the first
// credential issued.
func register(ctx context.Context, s *stage.Stage) (databrickstest.Principal, error) {
	principal := s.Databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "etl"})
	s.Databricks.Assign(principal.ID, s.Analytics, false)
	s.Databricks.GrantManager(s.Rotator.ID, principal.ID)
	value, err := json.Marshal(map[string]string{"DATABRICKS_HOST": s.Analytics.Host(), "DATABRICKS_CLIENT_ID": principal.ApplicationID})
	if err != nil {
		return principal, err
	}
	_, err = s.SecretsManager("operator").CreateSecret(ctx, &secretsmanager.CreateSecretInput{
		Name: aws.String(secretName), SecretString: aws.String(string(value)),
		Tags: []types.Tag{{Key: aws.String(managedsecret.TagKey), Value: aws.String(managedsecret.TagValue)}},
	})
	if err != nil {
		return principal, err
	}
	return principal, sweep(ctx, s)
}

func sweep(ctx context.Context, s *stage.Stage) error {
	_, err := s.Invoke(ctx, "rotate", []byte(`{"action":"sweep"}`))
	return err
}

// play rotates while the applications are at work. It returns when the first
// predecessor was ended.
func play(ctx context.Context, s *stage.Stage, principal databrickstest.Principal, apps []*application, dir string) (time.Time, error) {
	defer func() {
		for _, a := range apps {
			a.kill()
		}
	}()
	// One that reads for each run would be counted for several.
	residents, others := split(apps)
	for _, group := range [][]*application{residents, others} {
		for _, a := range group {
			if err := a.start(ctx, s.AWS.Env("operator"), dir); err != nil {
				return time.Time{}, err
			}
		}
		if err := atWork(ctx, s, len(residents)); err != nil {
			return time.Time{}, err
		}
	}
	var graceOver time.Time
	for i := range rotations {
		if _, err := s.Invoke(ctx, "rotate", []byte(`{"action":"rotate","secrets":["`+secretName+`"],"force":true}`)); err != nil {
			return time.Time{}, err
		}
		if n := len(s.Databricks.Secrets(principal.ID)); n != 2 {
			return time.Time{}, fmt.Errorf("after rotation %d there are %d OAuth secrets, not a current one and its predecessor", i+1, n)
		}
		if err := sleep(ctx, grace+time.Second); err != nil {
			return time.Time{}, err
		}
		if i == 0 {
			graceOver = time.Now()
		}
		if err := sweep(ctx, s); err != nil {
			return time.Time{}, err
		}
		if n := len(s.Databricks.Secrets(principal.ID)); n != 1 {
			return time.Time{}, fmt.Errorf("after the grace of rotation %d there are %d OAuth secrets", i+1, n)
		}
		if err := sleep(ctx, time.Second); err != nil {
			return time.Time{}, err
		}
	}
	if err := stop(others); err != nil {
		return time.Time{}, err
	}
	// The credential leaks and is replaced: no grace, and its access tokens end
	// with it.
	s.Databricks.RevokeTokensOnDelete(true)
	before := s.Databricks.Secrets(principal.ID)
	if _, err := s.Invoke(ctx, "revoke", []byte(`{"mode":"replace","secret":"`+secretName+`","reason":"drill"}`)); err != nil {
		return time.Time{}, err
	}
	if after := s.Databricks.Secrets(principal.ID); len(after) != 1 || after[0].ID == before[0].ID {
		return time.Time{}, errors.New("the leaked credential was not replaced")
	}
	if err := sleep(ctx, time.Second); err != nil {
		return time.Time{}, err
	}
	return graceOver, stop(residents)
}

// split tells applications that stay from those that are briefly there.
func split(apps []*application) (residents, others []*application) {
	for _, a := range apps {
		if a.briefly {
			others = append(others, a)
		} else {
			residents = append(residents, a)
		}
	}
	return residents, others
}

func stop(apps []*application) error {
	for _, a := range apps {
		if err := a.stop(); err != nil {
			return err
		}
	}
	return nil
}

// atWork waits until each application has made a call.
func atWork(ctx context.Context, s *stage.Stage, apps int) error {
	// Each reads the secret once before its first call, and a moment later all
	// of them have called.
	for end := time.Now().Add(begin); time.Now().Before(end); {
		reads := 0
		for _, c := range s.AWS.Faults().Calls() {
			if c.Op == "GetSecretValue" && c.Caller == s.AWS.RoleARN("operator") {
				reads++
			}
		}
		if reads >= apps {
			return sleep(ctx, 2*time.Second)
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("not every application has read its secret within %v", begin)
}

func judge(apps []*application, graceOver time.Time) error {
	var errs []error
	fmt.Printf("%d rotations, each with %v of grace, and the replacement of a leaked credential, with none\n", rotations, grace)
	for _, a := range apps {
		r := a.result
		fmt.Printf("  %-44s %4d calls, %d failed", a.name, r.Calls, r.Failures)
		if !a.once {
			fmt.Println()
			least := 50
			if a.briefly {
				least = rotations
			}
			if r.Failures > 0 || r.Calls < least {
				errs = append(errs, fmt.Errorf("%s: %d of %d calls failed; it said\n%s", a.name, r.Failures, r.Calls, a.said.String()))
			}
			continue
		}
		first, err := time.Parse(time.RFC3339Nano, r.FirstFailure)
		if err != nil || first.Before(graceOver) {
			errs = append(errs, fmt.Errorf("%s: its calls must fail from the end of the first grace on, not before; the first failed at %q", a.name, r.FirstFailure))
			fmt.Println()
			continue
		}
		fmt.Printf(", the first %v after the end of the first grace\n", first.Sub(graceOver).Round(10*time.Millisecond))
	}
	return errors.Join(errs...)
}

func (a *application) start(ctx context.Context, env []string, dir string) error {
	out, err := os.CreateTemp(dir, "out")
	if err != nil {
		return err
	}
	a.out = out
	a.process = exec.CommandContext(ctx, a.command[0], a.command[1:]...) //nolint:gosec // programs of this repository
	a.process.Env = slices.Concat(env, []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")})
	a.process.Stdout, a.process.Stderr = out, &a.said
	if err := a.process.Start(); err != nil {
		return fmt.Errorf("start %s: %w", a.name, err)
	}
	return nil
}

// stop has the application end and reads its last line.
func (a *application) stop() error {
	if err := a.process.Process.Signal(os.Interrupt); err != nil {
		return fmt.Errorf("stop %s: %w", a.name, err)
	}
	if err := a.process.Wait(); err != nil {
		return fmt.Errorf("%s: %w; it said\n%s", a.name, err, a.said.String())
	}
	line, err := os.ReadFile(a.out.Name())
	if err != nil {
		return err
	}
	if err := json.Unmarshal(line, &a.result); err != nil {
		return fmt.Errorf("%s: its last line: %w", a.name, err)
	}
	return nil
}

// kill ends an application that was not stopped.
func (a *application) kill() {
	if a.process != nil && a.process.ProcessState == nil {
		_ = a.process.Process.Kill()
		_ = a.process.Wait()
	}
	if a.out != nil {
		_ = a.out.Close()
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
