// Command tofuapp is a pipeline that runs OpenTofu with the Databricks provider
// again and again, until it is interrupted. Each run reads the managed secret
// first and puts it into the environment, as the shell lines of
// docs/consumers.md do, and then plans and applies a configuration. It ends
// with one line that says how many runs there were and how many failed.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

func main() {
	var (
		id            = flag.String("secret", "", "name or ARN of the managed secret")
		tofu          = flag.String("tofu", "", "the program tofu, or terraform")
		provider      = flag.String("provider", "", "the directory of the provider's program")
		configuration = flag.String("configuration", "", "the directory of the configuration")
		dir           = flag.String("dir", "", "where to keep the state")
	)
	flag.Parse()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := pipeline{tofu: *tofu, dir: *dir}
	if err := p.run(ctx, log, *id, *provider, *configuration); err != nil {
		log.ErrorContext(ctx, "ended", "error", err.Error())
		os.Exit(1) //nolint:gocritic // the signal handler ends with the process
	}
}

// result is the last line.
type result struct {
	Calls    int `json:"calls"`
	Failures int `json:"failures"`
	// FirstFailure is empty if there was none.
	FirstFailure string `json:"first_failure"`
}

type pipeline struct {
	tofu, dir string
	env       []string
}

func (p *pipeline) run(ctx context.Context, log *slog.Logger, id, provider, configuration string) error {
	text, err := os.ReadFile(filepath.Join(configuration, "main.tf")) //nolint:gosec // G304: the caller names the directory
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(p.dir, "main.tf"), text, 0o600); err != nil { //nolint:gosec // G703: as above
		return err
	}
	// The provider is the one that was built, so nothing is asked of a registry
	// and there is no init.
	cli := filepath.Join(p.dir, "cli.tfrc")
	overrides := fmt.Sprintf("provider_installation {\n  dev_overrides {\n    \"databricks/databricks\" = %q\n  }\n  direct {}\n}\n", provider)
	if err := os.WriteFile(cli, []byte(overrides), 0o600); err != nil {
		return err
	}
	p.env = []string{
		"PATH=" + filepath.Dir(p.tofu), "HOME=" + p.dir, "TF_CLI_CONFIG_FILE=" + cli, "TF_IN_AUTOMATION=1",
		"CHECKPOINT_DISABLE=1", "DATABRICKS_AUTH_TYPE=oauth-m2m",
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	secrets := secretsmanager.NewFromConfig(cfg)
	var r result
	for ctx.Err() == nil {
		// A run that has begun is finished when the pipeline is interrupted.
		r.Calls++
		if err := p.once(context.WithoutCancel(ctx), secrets, id); err != nil {
			if r.Failures++; r.Failures == 1 {
				r.FirstFailure = time.Now().UTC().Format(time.RFC3339Nano)
				log.ErrorContext(ctx, "run failed", "error", err.Error())
			}
		}
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// once reads the secret, plans and applies, and looks at what is in the state.
func (p *pipeline) once(ctx context.Context, secrets *secretsmanager.Client, id string) error {
	held, err := secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
	if err != nil {
		return err
	}
	var members map[string]any
	if err := json.Unmarshal([]byte(aws.ToString(held.SecretString)), &members); err != nil {
		return errors.New("the secret's value is no JSON object")
	}
	env := p.env
	for key, value := range members {
		if text, ok := value.(string); ok && strings.HasPrefix(key, "DATABRICKS_") {
			env = append(env[:len(env):len(env)], key+"="+text)
		}
	}
	if _, err := p.command(ctx, env, "plan", "-out=plan"); err != nil {
		return err
	}
	if _, err := p.command(ctx, env, "apply", "plan"); err != nil {
		return err
	}
	me, err := p.command(ctx, env, "output", "-raw", "me")
	if err == nil && me != members["DATABRICKS_CLIENT_ID"] {
		err = fmt.Errorf("the state has %q for who it is", me)
	}
	return err
}

func (p *pipeline) command(ctx context.Context, env []string, args ...string) (string, error) {
	if args[0] != "output" {
		args = append([]string{args[0], "-no-color", "-input=false"}, args[1:]...)
	}
	c := exec.CommandContext(ctx, p.tofu, args...) //nolint:gosec // G204: the program that the caller names
	c.Dir, c.Env = p.dir, env
	// An interrupt of the pipeline's whole group must not cut a run off.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out, said bytes.Buffer
	c.Stdout, c.Stderr = &out, &said
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("tofu %s: %w; it said\n%s%s", args[0], err, out.String(), said.String())
	}
	return out.String(), nil
}
