// Package conformance is what the product relies on in AWS's protocols, as
// rules that run through the real SDK against whatever serves them: the
// emulator of package awstest, moto, or an account.
//
// A rule uses what a client can see and nothing else. It makes what it needs
// under names of its own, and does not clean up.
package conformance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Rule is one thing that AWS does.
type Rule struct {
	// Name says it, as a sentence without a full stop.
	Name string
	// Rotates is true for rules that need a rotation function, see
	// [Account.Function].
	Rotates bool
	check   func(*trial)
}

// Rules are all rules, in an order that reads well.
func Rules() []Rule {
	return slices.Concat(valueRules, labelRules, versionRules, listRules, batchRules,
		secretRules, policyRules, rotationRules, identityRules, queueRules, topicRules, bucketRules)
}

// Account is where rules run.
type Account struct {
	Config aws.Config
	// Function is the ARN of a rotation function that passes a rotation
	// through the four steps of the protocol, for a secret whose value is any
	// text. In the step createSecret it fails, with nothing changed, while
	// the secret has the tag "fail". Empty if there is none.
	Function string
	// Settle returns when the rotations that RotateSecret has started are over.
	Settle func(context.Context) error
	// Tick is how far apart two changes must be for their dates to differ.
	Tick time.Duration
}

// Run tries one rule. The error says what was otherwise.
func (a *Account) Run(ctx context.Context, rule Rule) error {
	if rule.Rotates && a.Function == "" {
		return errors.New("the rule needs a rotation function")
	}
	t := &trial{
		ctx: ctx, account: a, prefix: "conformance-" + strings.ToLower(rand.Text()[:12]),
		secrets: secretsmanager.NewFromConfig(a.Config),
		queues:  sqs.NewFromConfig(a.Config),
		topics:  sns.NewFromConfig(a.Config),
		sts:     sts.NewFromConfig(a.Config),
		buckets: s3.NewFromConfig(a.Config, func(o *s3.Options) { o.UsePathStyle = true }),
	}
	// A goroutine of its own lets a rule stop where it makes no sense to go on.
	done := make(chan struct{})
	go func() {
		defer close(done)
		rule.check(t)
	}()
	<-done
	return errors.Join(t.failures...)
}

// trial is one run of one rule.
type trial struct {
	ctx      context.Context //nolint:containedctx // it lives as long as the rule's run
	account  *Account
	prefix   string
	secrets  *secretsmanager.Client
	queues   *sqs.Client
	topics   *sns.Client
	sts      *sts.Client
	buckets  *s3.Client
	failures []error
}

func (t *trial) errorf(format string, args ...any) {
	t.failures = append(t.failures, fmt.Errorf(format, args...))
}

// must ends the rule at an error.
func (t *trial) must(what string, err error) {
	if err != nil {
		t.errorf("%s: %w", what, err)
		runtime.Goexit()
	}
}

// equal compares; an empty slice or map is like none.
func (t *trial) equal(what string, got, want any) {
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.errorf("%s (-want +got):\n%s", what, diff)
	}
}

// refused demands an error of one of these codes: AWS documents which errors
// an operation has, and seldom which mistake gets which.
func (t *trial) refused(what string, err error, codes ...string) {
	if err == nil {
		t.errorf("%s: went through, want %s", what, strings.Join(codes, " or "))
		return
	}
	var api smithy.APIError
	if !errors.As(err, &api) || !slices.Contains(codes, api.ErrorCode()) {
		t.errorf("%s: %w, want %s", what, err, strings.Join(codes, " or "))
	}
}

const (
	current  = "AWSCURRENT"
	pending  = "AWSPENDING"
	previous = "AWSPREVIOUS"
)

const (
	invalidParameter = "InvalidParameterException"
	invalidRequest   = "InvalidRequestException"
	validation       = "ValidationException"
	notFound         = "ResourceNotFoundException"
	exists           = "ResourceExistsException"
	limit            = "LimitExceededException"
)
