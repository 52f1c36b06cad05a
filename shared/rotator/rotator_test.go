package rotator_test

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/config"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/rotator"
)

// clouds are both accounts, with a rotator that is account admin.
type clouds struct {
	aws        *awstest.Server
	databricks *databrickstest.Server
	rotator    databrickstest.Principal
	app        string // the principal whose OAuth secrets are rotated
	role       string // the function's role on AWS
}

func newClouds(t *testing.T) *clouds {
	t.Helper()
	c := &clouds{aws: awstest.New(awstest.Config{}), databricks: databrickstest.New(databrickstest.Config{}), role: "rotate"}
	c.rotator = c.databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "rotator", AccountAdmin: true})
	c.app = strconv.FormatInt(c.databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "nightly job"}).ID, 10)
	t.Cleanup(func() {
		if unknown := append(c.aws.Unknown(), c.databricks.Unknown()...); len(unknown) > 0 {
			t.Errorf("calls that nobody knows: %q", unknown)
		}
	})
	return c
}

func (c *clouds) awsConfig() aws.Config {
	cfg := c.aws.Config()
	cfg.Credentials = c.aws.Role(c.role)
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	return cfg
}

// list does, as the rotator that the configuration describes, what every run
// does first.
func (c *clouds) list(t *testing.T, cfg config.Rotate) error {
	t.Helper()
	aws := c.awsConfig()
	hosts, err := databricks.ParseAllowedHosts("https://*.cloud.databricks.com")
	if err != nil {
		t.Fatal(err)
	}
	client := &databricks.Client{
		Allowed: hosts, Transport: c.databricks.Transport(),
		Identity: rotator.Identity(cfg, managedsecret.Store{API: secretsmanager.NewFromConfig(aws)}, sts.NewFromConfig(aws)),
	}
	_, err = client.ListSecrets(t.Context(), databricks.Host{URL: c.databricks.AccountHost(), AccountID: c.databricks.AccountID()}, c.app)
	return err
}

func (c *clouds) federated() config.Rotate {
	return config.Rotate{ClientID: c.rotator.ApplicationID, Audience: c.databricks.AccountID()}
}

// trust has the rotator's principal trust the function's role, with the
// policy's default audience.
func (c *clouds) trust() {
	c.databricks.AddFederationPolicy(c.rotator.ID, databrickstest.FederationPolicy{
		Issuer: c.aws.Issuer(), Subject: c.aws.RoleARN(c.role), JWKS: c.aws.JWKS,
	})
}

// The default identity stores nothing: the role's own token is exchanged.
func TestFederated(t *testing.T) {
	c := newClouds(t)
	c.trust()
	var access awstest.Access
	c.aws.SetAuthorizer(func(_ context.Context, a awstest.Access) error { access = a; return nil })
	if err := c.list(t, c.federated()); err != nil {
		t.Fatal(err)
	}
	// The role's policy can be held to exactly this.
	want := map[string][]string{
		"sts:IdentityTokenAudience": {c.databricks.AccountID()},
		"sts:SigningAlgorithm":      {"RS256"},
		"sts:DurationSeconds":       {"300"},
	}
	maps.DeleteFunc(access.Conditions, func(key string, _ []string) bool { return !strings.HasPrefix(key, "sts:") })
	if diff := cmp.Diff(want, access.Conditions); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
	for _, call := range c.aws.Faults().Calls() {
		if call.Service == "secretsmanager" {
			t.Errorf("%s: a secret is read where none is stored", call.Op)
		}
	}
}

func TestFederationFails(t *testing.T) {
	tests := map[string]struct {
		spoil func(*clouds)
		says  string
	}{
		"switched off for the AWS account": {
			func(c *clouds) { c.aws.DisableWebIdentity(true) },
			"OutboundWebIdentityFederationDisabledException: enable it once for this AWS account with aws iam enable-outbound-web-identity-federation",
		},
		"the role may not": {
			func(c *clouds) {
				c.aws.SetAuthorizer(func(context.Context, awstest.Access) error { return errors.New("no policy allows it") })
			},
			"no policy allows it",
		},
		"STS is silent": {
			func(c *clouds) {
				c.aws.Faults().Add(faulttest.Fault{Op: "GetWebIdentityToken", Kind: faulttest.RequestLost})
			},
			"getting a web identity token: no reply from STS",
		},
		"Databricks trusts another role": {
			func(c *clouds) { c.role = "another" },
			"subject",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClouds(t)
			c.trust()
			test.spoil(c)
			err := c.list(t, c.federated())
			if !errors.Is(err, databricks.ErrDenied) || !databricks.Unsent(err) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want ErrDenied, unsent, saying %q", err, test.says)
			}
		})
	}
}

// value is the rotator's own managed secret.
func (c *clouds) value(clientSecret string) string {
	return `{"DATABRICKS_HOST":"` + c.databricks.AccountHost() + `","DATABRICKS_ACCOUNT_ID":"` + c.databricks.AccountID() +
		`","DATABRICKS_CLIENT_ID":"` + c.rotator.ApplicationID + `","DATABRICKS_CLIENT_SECRET":"` + clientSecret + `"}`
}

// stored makes the rotator's own managed secret and the configuration for it.
func (c *clouds) stored(t *testing.T, value string) config.Rotate {
	t.Helper()
	out, err := secretsmanager.NewFromConfig(c.awsConfig()).CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{
		Name: aws.String("rotator"), SecretString: &value,
	})
	if err != nil {
		t.Fatal(err)
	}
	return config.Rotate{SecretARN: aws.ToString(out.ARN)}
}

func TestStored(t *testing.T) {
	c := newClouds(t)
	made, err := c.databricks.AddSecret(c.rotator.ID, databrickstest.SecretSpec{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.list(t, c.stored(t, c.value(made.Value))); err != nil {
		t.Fatal(err)
	}
	for _, call := range c.aws.Faults().Calls() {
		if call.Service == "sts" {
			t.Errorf("%s: nothing is federated here", call.Op)
		}
	}
}

func TestStoredFails(t *testing.T) {
	tests := map[string]struct {
		value string
		spoil func(*clouds)
		says  string
	}{
		"not issued": {
			says: "DATABRICKS_CLIENT_SECRET is missing: the rotator's own first secret must be put there by hand",
		},
		"malformed": {value: "dose0123456789abcdef", says: "the value is not a JSON object"},
		"may not be read": {
			spoil: func(c *clouds) {
				c.aws.SetAuthorizer(func(context.Context, awstest.Access) error { return errors.New("no policy allows it") })
			},
			says: "no policy allows it",
		},
		"Secrets Manager is silent": {
			spoil: func(c *clouds) {
				c.aws.Faults().Add(faulttest.Fault{Op: "GetSecretValue", Kind: faulttest.RequestLost})
			},
			says: "no reply from Secrets Manager",
		},
		"out of date": {value: "wrong", says: "401 invalid_client"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClouds(t)
			switch test.value {
			case "":
				test.value = c.value("")
			case "wrong":
				test.value = c.value("dose0123456789abcdef")
			}
			cfg := c.stored(t, test.value)
			if test.spoil != nil {
				test.spoil(c)
			}
			err := c.list(t, cfg)
			if !errors.Is(err, databricks.ErrDenied) || !databricks.Unsent(err) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want ErrDenied, unsent, saying %q", err, test.says)
			}
			// Invariant 6.
			if err != nil && strings.Contains(err.Error(), "0123456789abcdef") {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}
