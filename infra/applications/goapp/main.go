// Command goapp is an application that reads a managed secret and calls
// Databricks all the time, until it is interrupted. It ends with one line that
// says how many calls were made and how many failed.
//
// With -once it reads the secret at its start and never again, and
// authenticates anew for each call, as jobs do that are started with what
// somebody has put into their environment.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/databricks/databricks-sdk-go/client"
	"github.com/databricks/databricks-sdk-go/config"
	"github.com/databricks/databricks-sdk-go/service/iam"

	"databricks-credential-rotation/shared/consumer"
)

func main() {
	var (
		id         = flag.String("secret", "", "name or ARN of the managed secret")
		checkEvery = flag.Duration("check-every", consumer.DefaultCheckEvery, "how old what was read may be")
		pause      = flag.Duration("pause", 100*time.Millisecond, "between two calls")
		once       = flag.Bool("once", false, "read the secret once")
	)
	flag.Parse()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, log, *id, *checkEvery, *pause, *once); err != nil {
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

func run(ctx context.Context, log *slog.Logger, id string, checkEvery, pause time.Duration, once bool) error {
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	secret, err := consumer.New(consumer.Options{
		SecretsManager: secretsmanager.NewFromConfig(cfg), SecretID: id, CheckEvery: checkEvery, Log: log,
	})
	if err != nil {
		return err
	}
	call, err := caller(ctx, secret)
	if once {
		call, err = frozen(ctx, secret)
	}
	if err != nil {
		return err
	}
	var r result
	for ctx.Err() == nil {
		// A call that has begun is finished when the application is interrupted.
		r.Calls++
		if err := call(context.WithoutCancel(ctx)); err != nil {
			if r.Failures++; r.Failures == 1 {
				r.FirstFailure = time.Now().UTC().Format(time.RFC3339Nano)
				log.ErrorContext(ctx, "call failed", "error", err.Error())
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// caller calls with a credential that follows the secret.
func caller(ctx context.Context, secret *consumer.Secret) (func(context.Context) error, error) {
	cfg, err := secret.Config(ctx)
	if err != nil {
		return nil, err
	}
	c, err := client.New(cfg)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return me(ctx, c) }, nil
}

// frozen calls with the credential of the start.
func frozen(ctx context.Context, secret *consumer.Secret) (func(context.Context) error, error) {
	held, err := secret.Credential(ctx)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		c, err := client.New(&config.Config{
			Host: held.Host, AccountID: held.AccountID, ClientID: held.ClientID, ClientSecret: held.ClientSecret.Reveal(),
			AuthType: "oauth-m2m", Credentials: config.M2mCredentials{},
		})
		if err != nil {
			return err
		}
		return me(ctx, c)
	}, nil
}

func me(ctx context.Context, c *client.DatabricksClient) error {
	user, err := iam.NewCurrentUser(c).Me(ctx, iam.MeRequest{})
	if err == nil && user.Id == "" {
		err = fmt.Errorf("nobody is known by that token")
	}
	return err
}
