// Command auditbench measures audits of the largest account that Databricks
// allows: how long they take to read it, and how much memory they need from
// the first call to the last publication.
//
//	go run ./infra/auditbench
//
// Two audits are made one after the other, each with over a hundred thousand
// findings, the second compared with the first; they publish to S3, SNS and
// Security Hub. The simulators run in this process and the audits in one of
// their own, over real sockets and with the stack's memory limit, so that what
// is measured is the audits' alone. The simulator of Databricks has a limit on
// requests, which bounds the time from below: the program fails if reading
// takes more than 1.2 times the bound, if all of it needs more than 256 MiB,
// or if something is not read or not published.
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
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"databricks-credential-rotation/functions/audit/auditing"
	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/usagelogtest"
)

const (
	mostTime   = 1.2 // times the bound
	mostMemory = 256 << 20
	// pageSize is how many OAuth secrets and federation policies are listed at
	// once.
	pageSize = 100

	bucketName = "auditbench"
	warehouse  = "audit"
)

func main() {
	var opts options
	flag.IntVar(&opts.perSecond, "rate", 250, "requests a second that the simulator of Databricks takes")
	flag.Float64Var(&opts.scale, "scale", 1, "size of the account, 1 for the largest there may be")
	flag.IntVar(&opts.managed, "managed", 1000, "managed secrets in Secrets Manager")
	flag.IntVar(&opts.memberships, "memberships", 0, "workspaces that each service principal is in, zero for three")
	child := flag.Bool("audit", false, "be the process that is measured")
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
		return audits(ctx, os.Stdin, os.Stdout)
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
	Warehouse, Topic, AWSAccount            string
	PerSecond                               int
}

// outcome is what it says.
type outcome struct {
	Took, Whole                                     time.Duration
	PeakBytes, CollectPeak                          int64
	Answer                                          auditing.Answer
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
	var faults []error
	for i, one := range got {
		say("\n%s audit\n", []string{"first", "second"}[i])
		faults = append(faults, one.judge(size, opts, say)...)
	}
	return errors.Join(faults...)
}

// judge says how an audit went, and what is wrong with that.
func (o outcome) judge(size databrickstest.Population, opts options, say func(string, ...any)) (faults []error) {
	// The simulator holds a second's requests in reserve; the rest must come at
	// its rate.
	served := o.Sent - o.Throttled
	bound := time.Duration(float64(served-opts.perSecond) / float64(opts.perSecond) * float64(time.Second))
	ratio := o.Took.Seconds() / bound.Seconds()
	say("read:     %d workspaces, %d service principals with %d OAuth secrets, %d people, %d personal access tokens; %d managed secrets, %d of which authenticate\n",
		o.Workspaces, o.Principals, o.Secrets, o.People, o.Tokens, o.Managed, o.Authenticating)
	say("calls:    %d, and %d more that were throttled\n", served, o.Throttled)
	say("time:     %.1f s to read, %.2f times the bound of %.1f s at %d requests a second (at most %.1f); %.1f s for the rest\n",
		o.Took.Seconds(), ratio, bound.Seconds(), opts.perSecond, mostTime, (o.Whole - o.Took).Seconds())
	say("findings: %d open, %d of them new; %d resolved\n", o.Answer.Open.Total(), o.Answer.New, o.Answer.Resolved)
	say("memory:   %.0f MiB at the peak of reading, %.0f MiB at the peak of all (at most %d)\n",
		float64(o.CollectPeak)/(1<<20), float64(o.PeakBytes)/(1<<20), mostMemory>>20)

	if ratio > mostTime {
		faults = append(faults, errors.New("too slow"))
	}
	if o.PeakBytes > mostMemory {
		faults = append(faults, errors.New("too much memory"))
	}
	// One more: the auditor itself.
	if o.Workspaces != size.Workspaces || o.Principals != size.Principals+1 || o.Secrets != size.Principals*size.Secrets+1 ||
		o.People != size.People || o.Tokens != size.Tokens || o.Managed != opts.managed || o.Authenticating != opts.managed {
		faults = append(faults, errors.New("not everything was read"))
	}
	if n := o.Answer.Open.Total(); n < int(100_000*opts.scale) || o.Answer.Report == "" {
		faults = append(faults, fmt.Errorf("%d findings were published at %q", n, o.Answer.Report))
	}
	if len(o.Gaps) > 0 {
		faults = append(faults, fmt.Errorf("gaps: %s", strings.Join(o.Gaps, "; ")))
	}
	return faults
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
	workspaces[0].AddWarehouse(warehouse)
	c.databricks.SetStatements(use(c.databricks.Principals()).Statement)
	secret, err := c.databricks.AddSecret(auditor.ID, databrickstest.SecretSpec{})
	if err != nil {
		return c, task{}, err
	}
	if err := errors.Join(c.databricks.Listen(), c.aws.Listen()); err != nil { //nolint:contextcheck // listening ends with close
		return c, task{}, err
	}
	if err := errors.Join(c.manage(ctx, opts.managed), c.aws.CreateBucket(bucketName, true)); err != nil {
		return c, task{}, err
	}
	return c, task{
		Host: c.databricks.AccountHost(), AccountID: c.databricks.AccountID(),
		ClientID: auditor.ApplicationID, ClientSecret: secret.Value,
		Warehouse: workspaces[0].Host() + "/sql/1.0/warehouses/" + warehouse, Topic: c.aws.CreateTopic("notifications"),
		AWSAccount: strings.Split(c.aws.RoleARN(""), ":")[4],
	}, nil
}

// use is an audit log in which every service principal is seen now and then.
func use(all []databrickstest.Principal) *usagelogtest.Log {
	log := &usagelogtest.Log{}
	for _, p := range all {
		for _, ago := range []time.Duration{44, 20, 3} {
			log.Add(usagelogtest.Event{
				At: time.Now().Add(-ago * 24 * time.Hour), Address: "198.51.100.7", Agent: "databricks-sdk-go/0.182.0",
				Identity: p.ApplicationID, Service: "benchmark", Action: "use", Status: 200,
			})
		}
	}
	return log
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

// memoryLimit is the GOMEMLIMIT that the stack gives the function.
func memoryLimit() (string, error) {
	stack, err := os.ReadFile("template.yaml")
	if err != nil {
		return "", fmt.Errorf("the stack's template, which is looked for in the working directory: %w", err)
	}
	found := regexp.MustCompile(`(?m)^ +GOMEMLIMIT: (\w+)$`).FindSubmatch(stack)
	if found == nil {
		return "", errors.New("template.yaml sets no GOMEMLIMIT")
	}
	return string(found[1]), nil
}

// measure has the audits run in a process of their own.
func measure(ctx context.Context, env []string, t task) ([]outcome, error) {
	in, err := json.Marshal(t) //nolint:gosec // the simulator's secret goes to this program's own other process
	if err != nil {
		return nil, err
	}
	limit, err := memoryLimit()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-audit") //nolint:gosec // it is this program
	cmd.Env = append(append(os.Environ(), env...), "GOMEMLIMIT="+limit)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	reply, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("the auditor: %w", err)
	}
	var got []outcome
	if err := json.Unmarshal(reply, &got); err != nil {
		return nil, fmt.Errorf("the auditor's answer: %w", err)
	}
	return got, nil
}
