// Command auditbench measures how long an audit takes to read the largest
// account that Databricks allows, and how much memory it needs for that.
//
//	go run ./infra/auditbench
//
// The simulators run in this process and the collector in one of its own, over
// real sockets, so that what is measured is the collector's alone. The
// simulator of Databricks has a limit on requests, which bounds the time from
// below: the program fails if the audit takes more than 1.2 times the bound,
// needs more than 256 MiB, or does not read everything.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/managedsecret"
)

const (
	mostTime   = 1.2 // times the bound
	mostMemory = 256 << 20
	// pageSize is how many OAuth secrets and federation policies are listed at
	// once.
	pageSize = 100
)

func main() {
	var opts options
	flag.IntVar(&opts.perSecond, "rate", 250, "requests a second that the simulator of Databricks takes")
	flag.Float64Var(&opts.scale, "scale", 1, "size of the account, 1 for the largest there may be")
	flag.IntVar(&opts.managed, "managed", 1000, "managed secrets in Secrets Manager")
	flag.IntVar(&opts.memberships, "memberships", 0, "workspaces that each service principal is in, zero for three")
	child := flag.Bool("collect", false, "be the process that is measured")
	flag.Parse()
	if err := run(opts, *child); err != nil {
		fmt.Fprintln(os.Stderr, "auditbench:", err)
		os.Exit(1)
	}
}

func run(opts options, child bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if child {
		return collectOnly(ctx, os.Stdin, os.Stdout)
	}
	return bench(ctx, opts, os.Stdout)
}

type options struct {
	perSecond, managed, memberships int
	scale                           float64
}

// task is what the measured process is told.
type task struct {
	Host, AccountID, ClientID, ClientSecret string
	PerSecond                               int
}

// outcome is what it says.
type outcome struct {
	Took                                            time.Duration
	PeakBytes                                       int64
	Sent, Throttled                                 int
	Workspaces, People, Principals, Secrets, Tokens int
	Managed, Authenticating                         int
	Gaps                                            []string
}

func bench(ctx context.Context, opts options, out io.Writer) error {
	// What it prints is for a person to look at; the verdict is the error.
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }
	size := databrickstest.LargeAccount
	for _, n := range []*int{&size.Workspaces, &size.Principals, &size.People, &size.Tokens} {
		*n = max(1, int(float64(*n)*opts.scale))
	}
	if opts.memberships > 0 {
		size.Memberships = opts.memberships
	}
	size.Memberships = min(size.Memberships, size.Workspaces)
	say("account: %d workspaces, %d service principals with %d OAuth secrets, %d people, %d personal access tokens; %d managed secrets\n",
		size.Workspaces, size.Principals, size.Principals*size.Secrets, size.People, size.Tokens, opts.managed)

	clouds, t, err := seed(ctx, size, opts)
	if err != nil {
		return err
	}
	defer clouds.close()
	clouds.databricks.RateLimit(opts.perSecond)
	t.PerSecond = opts.perSecond
	got, err := measure(ctx, clouds.aws.Env("audit"), t)
	if err != nil {
		return err
	}
	// The simulator holds a second's requests in reserve; the rest must come at
	// its rate.
	served := got.Sent - got.Throttled
	bound := time.Duration(float64(served-opts.perSecond) / float64(opts.perSecond) * float64(time.Second))
	ratio := got.Took.Seconds() / bound.Seconds()
	say("read:    %d workspaces, %d service principals with %d OAuth secrets, %d people, %d personal access tokens; %d managed secrets, %d of which authenticate\n",
		got.Workspaces, got.Principals, got.Secrets, got.People, got.Tokens, got.Managed, got.Authenticating)
	say("calls:   %d, and %d more that were throttled\n", served, got.Throttled)
	say("time:    %.1f s, %.2f times the bound of %.1f s at %d requests a second (at most %.1f)\n",
		got.Took.Seconds(), ratio, bound.Seconds(), opts.perSecond, mostTime)
	say("memory:  %.0f MiB at its peak (at most %d)\n", float64(got.PeakBytes)/(1<<20), mostMemory>>20)

	var faults []error
	if ratio > mostTime {
		faults = append(faults, errors.New("too slow"))
	}
	if got.PeakBytes > mostMemory {
		faults = append(faults, errors.New("too much memory"))
	}
	// One more: the auditor itself.
	if got.Workspaces != size.Workspaces || got.Principals != size.Principals+1 || got.Secrets != size.Principals*size.Secrets+1 ||
		got.People != size.People || got.Tokens != size.Tokens || got.Managed != opts.managed || got.Authenticating != opts.managed {
		faults = append(faults, errors.New("not everything was read"))
	}
	if len(got.Gaps) > 0 {
		faults = append(faults, fmt.Errorf("gaps: %s", strings.Join(got.Gaps, "; ")))
	}
	return errors.Join(faults...)
}

type clouds struct {
	databricks *databrickstest.Server
	aws        *awstest.Server
}

func (c clouds) close() {
	c.databricks.Close()
	c.aws.Close()
}

func seed(ctx context.Context, size databrickstest.Population, opts options) (clouds, task, error) {
	c := clouds{
		// The auditor's own token must outlive the run.
		databrickstest.New(databrickstest.Config{PageSize: pageSize, AccessTokenTTL: 24 * time.Hour}),
		awstest.New(awstest.Config{}),
	}
	workspaces, err := c.databricks.Populate(size) //nolint:contextcheck // it does not listen yet
	if err != nil {
		return c, task{}, err
	}
	auditor := c.databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "auditor", AccountAdmin: true})
	for _, w := range workspaces {
		c.databricks.Assign(auditor.ID, w, true)
	}
	secret, err := c.databricks.AddSecret(auditor.ID, databrickstest.SecretSpec{})
	if err != nil {
		return c, task{}, err
	}
	if err := errors.Join(c.databricks.Listen(), c.aws.Listen()); err != nil { //nolint:contextcheck // listening ends with close
		return c, task{}, err
	}
	if err := c.manage(ctx, opts.managed); err != nil {
		return c, task{}, err
	}
	return c, task{
		Host: c.databricks.AccountHost(), AccountID: c.databricks.AccountID(),
		ClientID: auditor.ApplicationID, ClientSecret: secret.Value,
	}, nil
}

// manage makes managed secrets of the first service principals.
func (c clouds) manage(ctx context.Context, n int) error {
	cfg := c.aws.Config()
	cfg.Credentials = c.aws.Role("operator")
	api := secretsmanager.NewFromConfig(cfg)
	i := 0
	for _, p := range c.databricks.Principals() {
		if i == n {
			break
		}
		secrets := c.databricks.Secrets(p.ID)
		if len(secrets) == 0 {
			continue
		}
		s := secrets[0]
		value, err := json.Marshal(map[string]string{
			credential.KeyHost: c.databricks.AccountHost(), credential.KeyAccountID: c.databricks.AccountID(),
			credential.KeyClientID: p.ApplicationID, credential.KeyClientSecret: s.Value,
			credential.KeyServicePrincipalID: strconv.FormatInt(p.ID, 10), credential.KeyOAuthSecretID: s.ID,
		})
		if err != nil {
			return err
		}
		_, err = api.CreateSecret(ctx, &secretsmanager.CreateSecretInput{
			Name: aws.String(fmt.Sprintf("job-%05d", i)), SecretString: aws.String(string(value)),
			Tags: []types.Tag{{Key: aws.String(managedsecret.TagKey), Value: aws.String(managedsecret.TagValue)}},
		})
		if err != nil {
			return err
		}
		i++
	}
	if i < n {
		return fmt.Errorf("%d managed secrets are wanted, and there are %d service principals with an OAuth secret", n, i)
	}
	return nil
}

// measure has the collector run in a process of its own.
func measure(ctx context.Context, env []string, t task) (outcome, error) {
	in, err := json.Marshal(t) //nolint:gosec // the simulator's secret goes to this program's own other process
	if err != nil {
		return outcome{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return outcome{}, err
	}
	cmd := exec.CommandContext(ctx, self, "-collect") //nolint:gosec // it is this program
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	reply, err := cmd.Output()
	if err != nil {
		return outcome{}, fmt.Errorf("the collector: %w", err)
	}
	var got outcome
	if err := json.Unmarshal(reply, &got); err != nil {
		return outcome{}, fmt.Errorf("the collector's answer: %w", err)
	}
	return got, nil
}
