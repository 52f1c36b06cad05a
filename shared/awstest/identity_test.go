package awstest_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/awstest"
)

func TestAnotherRoleIsAnotherCaller(t *testing.T) {
	f := newFleet(t)
	cfg := f.config()
	cfg.Credentials = f.Role("rotate")
	out, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := "arn:aws:sts::123456789012:assumed-role/rotate/test"; aws.ToString(out.Arn) != want {
		t.Errorf("got %s, want %s", aws.ToString(out.Arn), want)
	}
	if calls := f.Faults().Calls(); calls[0].Caller != f.RoleARN("rotate") {
		t.Errorf("the call is recorded for %s", calls[0].Caller)
	}
}

func TestUnknownAccessKey(t *testing.T) {
	f := newFleet(t)
	cfg := f.config()
	cfg.Credentials = credentials.NewStaticCredentialsProvider("AKIASOMEBODYELSE0000", "secret", "")
	ctx := t.Context()
	_, err := secretsmanager.NewFromConfig(cfg).ListSecrets(ctx, nil)
	wantCode(t, "Secrets Manager", err, "UnrecognizedClientException")
	_, err = sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	wantCode(t, "STS", err, "InvalidClientTokenId")
	_, err = sns.NewFromConfig(cfg).ListTopics(ctx, nil)
	wantCode(t, "SNS", err, "InvalidClientTokenId")
	_, err = sqs.NewFromConfig(cfg).CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("q")})
	wantCode(t, "SQS", err, "UnrecognizedClientException")
	_, err = s3.NewFromConfig(cfg).ListBuckets(ctx, nil)
	wantCode(t, "S3", err, "InvalidAccessKeyId")
}

func TestAuthorizer(t *testing.T) {
	f := newFleet(t)
	a, err := f.CreateSecret("a", "one", map[string]string{"team": "x"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.CreateSecret("b", "two", nil)
	if err != nil {
		t.Fatal(err)
	}
	var seen []awstest.Access
	f.SetAuthorizer(func(_ context.Context, access awstest.Access) error {
		f.SecretNames() // the server is not locked meanwhile
		seen = append(seen, access)
		if access.Action == "secretsmanager:GetSecretValue" && access.Resource == b {
			return errors.New("no statement allows it")
		}
		return nil
	})
	ctx := t.Context()
	_, err = f.sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("a")})
	wantCode(t, "a", err, "")
	want := awstest.Access{
		Caller: f.RoleARN("test"), Action: "secretsmanager:GetSecretValue", Resource: a,
		Conditions: map[string][]string{
			"aws:ResourceTag/team": {"x"}, "secretsmanager:ResourceTag/team": {"x"}, "secretsmanager:VersionStage": {"AWSCURRENT"},
			"aws:ResourceAccount": {"123456789012"}, "aws:SecureTransport": {"true"},
		},
	}
	if diff := cmp.Diff([]awstest.Access{want}, seen); diff != "" {
		t.Errorf("access (-want +got):\n%s", diff)
	}
	_, err = f.sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("b")})
	wantCode(t, "b", err, "AccessDeniedException")

	out, err := f.sm.BatchGetSecretValue(ctx, &secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{"a", "b"}})
	wantCode(t, "batch", err, "")
	if len(out.SecretValues) != 1 || len(out.Errors) != 1 || aws.ToString(out.Errors[0].ErrorCode) != "AccessDeniedException" {
		t.Errorf("a batch with one refused secret: %d values, errors %v", len(out.SecretValues), out.Errors)
	}
}

func TestAuthorizerSeesEveryService(t *testing.T) {
	f := newFleet(t)
	var seen []string
	f.SetAuthorizer(func(_ context.Context, access awstest.Access) error {
		seen = append(seen, access.Action+" "+access.Resource)
		return errors.New("no")
	})
	cfg, ctx := f.config(), t.Context()
	_, err := sts.NewFromConfig(cfg).GetWebIdentityToken(ctx, &sts.GetWebIdentityTokenInput{Audience: []string{"x"}, SigningAlgorithm: aws.String("RS256")})
	wantCode(t, "STS", err, "AccessDenied")
	_, err = sns.NewFromConfig(cfg).Publish(ctx, &sns.PublishInput{TopicArn: aws.String("arn:aws:sns:eu-west-1:123456789012:news"), Message: aws.String("m")})
	wantCode(t, "SNS", err, "AuthorizationError")
	_, err = sqs.NewFromConfig(cfg).GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("jobs")})
	wantCode(t, "SQS", err, "AccessDeniedException")
	_, err = s3.NewFromConfig(cfg).GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("b"), Key: aws.String("k")})
	wantCode(t, "S3", err, "AccessDenied")
	_, err = f.sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("new")})
	wantCode(t, "Secrets Manager", err, "AccessDeniedException")
	want := []string{
		"sts:GetWebIdentityToken *",
		"sns:Publish arn:aws:sns:eu-west-1:123456789012:news",
		"sqs:GetQueueUrl arn:aws:sqs:eu-west-1:123456789012:jobs",
		"s3:GetObject arn:aws:s3:::b/k",
		"secretsmanager:CreateSecret arn:aws:secretsmanager:eu-west-1:123456789012:secret:new",
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
}

// A process of its own finds the server by its environment alone.
func TestEnv(t *testing.T) {
	f := newFleet(t)
	if err := f.Listen(); err != nil {
		t.Fatal(err)
	}
	env := f.Env("audit")
	if !slices.Contains(env, "AWS_ENDPOINT_URL="+f.URL()) || !strings.HasPrefix(f.URL(), "http://127.0.0.1:") {
		t.Fatalf("environment %q for the URL %s", env, f.URL())
	}
	for _, line := range env {
		name, value, _ := strings.Cut(line, "=")
		t.Setenv(name, value)
	}
	cfg := aws.Config{
		Region:       os.Getenv("AWS_REGION"),
		BaseEndpoint: aws.String(os.Getenv("AWS_ENDPOINT_URL")),
		Credentials:  credentials.NewStaticCredentialsProvider(os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), ""),
	}
	out, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(aws.ToString(out.Arn), ":assumed-role/audit/") {
		t.Errorf("the caller is %s", aws.ToString(out.Arn))
	}
}

func TestWebIdentityToken(t *testing.T) {
	f := newFleet(t)
	cfg := f.config()
	cfg.Credentials = f.Role("rotate")
	client := sts.NewFromConfig(cfg)
	for _, algorithm := range []string{"RS256", "ES384"} {
		t.Run(algorithm, func(t *testing.T) {
			out, err := client.GetWebIdentityToken(t.Context(), &sts.GetWebIdentityTokenInput{
				Audience: []string{"one", "two"}, SigningAlgorithm: &algorithm,
			})
			if err != nil {
				t.Fatal(err)
			}
			token, err := jwt.ParseSigned(aws.ToString(out.WebIdentityToken), []jose.SignatureAlgorithm{jose.SignatureAlgorithm(algorithm)})
			if err != nil {
				t.Fatal(err)
			}
			var claims jwt.Claims
			keys := f.JWKS()
			if err := token.Claims(&keys, &claims); err != nil {
				t.Fatal(err)
			}
			err = claims.ValidateWithLeeway(jwt.Expected{
				Issuer: f.Issuer(), Subject: f.RoleARN("rotate"), AnyAudience: jwt.Audience{"two"}, Time: f.now,
			}, 0)
			if err != nil {
				t.Error(err)
			}
			if got := claims.Expiry.Time().Sub(claims.IssuedAt.Time()); got != 5*time.Minute {
				t.Errorf("it lives %s by default, want 5m", got)
			}
			if !out.Expiration.Equal(claims.Expiry.Time()) {
				t.Errorf("Expiration is %s, the token expires %s", out.Expiration, claims.Expiry.Time())
			}
		})
	}
}

func TestWebIdentityTokenRefusals(t *testing.T) {
	f := newFleet(t)
	client := sts.NewFromConfig(f.config())
	for name, change := range map[string]func(*sts.GetWebIdentityTokenInput){
		"too short":      func(in *sts.GetWebIdentityTokenInput) { in.DurationSeconds = aws.Int32(59) },
		"too long":       func(in *sts.GetWebIdentityTokenInput) { in.DurationSeconds = aws.Int32(3601) },
		"no audience":    func(in *sts.GetWebIdentityTokenInput) { in.Audience = []string{} },
		"other signing":  func(in *sts.GetWebIdentityTokenInput) { in.SigningAlgorithm = aws.String("HS256") },
		"empty audience": func(in *sts.GetWebIdentityTokenInput) { in.Audience = []string{""} },
	} {
		t.Run(name, func(t *testing.T) {
			in := &sts.GetWebIdentityTokenInput{Audience: []string{"x"}, SigningAlgorithm: aws.String("RS256")}
			change(in)
			_, err := client.GetWebIdentityToken(t.Context(), in)
			wantCode(t, name, err, "ValidationError")
		})
	}
	f.DisableWebIdentity(true)
	_, err := client.GetWebIdentityToken(t.Context(), &sts.GetWebIdentityTokenInput{Audience: []string{"x"}, SigningAlgorithm: aws.String("RS256")})
	wantCode(t, "disabled", err, "OutboundWebIdentityFederationDisabledException")
}

// post sends what no SDK would.
func post(t *testing.T, s *awstest.Server, header map[string]string, body string) (status int, reply string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	creds, err := s.Role("test").Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+creds.AccessKeyID+"/20260301/eu-west-1/x/aws4_request, SignedHeaders=host, Signature=0")
	for name, value := range header {
		r.Header.Set(name, value)
	}
	out, err := s.Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(out.Body); err != nil {
		t.Fatal(err)
	}
	return out.StatusCode, b.String()
}

func TestUnknownRequestsAreLoud(t *testing.T) {
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	target := func(op string) map[string]string { return map[string]string{"X-Amz-Target": op} }
	for name, test := range map[string]struct {
		header              map[string]string
		body, code, unknown string
	}{
		"operation of Secrets Manager": {target("secretsmanager.GetRandomPassword"), `{}`, "UnknownOperationException", "secretsmanager GetRandomPassword"},
		"field of Secrets Manager":     {target("secretsmanager.DescribeSecret"), `{"SecretId":"a","Colour":"red"}`, "SerializationException", `secretsmanager DescribeSecret: SerializationException: unknown field "Colour"`},
		"type of a field":              {target("secretsmanager.DescribeSecret"), `{"SecretId":7}`, "SerializationException", "cannot unmarshal number"},
		"no JSON":                      {target("secretsmanager.DescribeSecret"), `SecretId=a`, "SerializationException", "invalid character"},
		"operation of SQS":             {target("AmazonSQS.PurgeQueue"), `{}`, "UnknownOperationException", "sqs PurgeQueue"},
		"field of SQS":                 {target("AmazonSQS.GetQueueUrl"), `{"QueueName":"a","Colour":"red"}`, "SerializationException", "Colour"},
		"service":                      {target("DynamoDB_20120810.GetItem"), `{}`, "UnknownOperationException", "DynamoDB_20120810.GetItem"},
		"operation of STS":             {form, "Version=2011-06-15&Action=AssumeRole", "InvalidAction", "query 2011-06-15 AssumeRole"},
		"parameter of STS":             {form, "Version=2011-06-15&Action=GetCallerIdentity&Colour=red", "ValidationError", "sts GetCallerIdentity: Colour"},
		"operation of S3":              {nil, "", "NotImplemented", "s3 POST /"},
	} {
		t.Run(name, func(t *testing.T) {
			s := awstest.New(awstest.Config{})
			status, reply := post(t, s, test.header, test.body)
			if status < 400 || !strings.Contains(reply, test.code) {
				t.Errorf("got %d %s, want %s", status, reply, test.code)
			}
			if got := s.Unknown(); len(got) != 1 || !strings.Contains(got[0], test.unknown) {
				t.Errorf("Unknown() is %q, want %q", got, test.unknown)
			}
		})
	}
}
