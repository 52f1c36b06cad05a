// Package rotator is who the product is towards Databricks.
//
// By default nothing is stored: the function's own AWS role gets a signed web
// identity token from STS, and Databricks exchanges it under the federation
// policy of the rotator's service principal. Where that cannot be had, the
// rotator's credential is in a managed secret of its own, which it rotates
// like any other.
package rotator

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"databricks-credential-rotation/shared/config"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/secret"
)

const (
	// tokenSeconds is how long a web identity token is good for. It is
	// exchanged at once; the function's role is limited to this duration.
	tokenSeconds = 300
	// signingAlgorithm is the one of the two that Databricks documents.
	signingAlgorithm = "RS256"
)

// STS is what federation needs of AWS.
type STS interface {
	GetWebIdentityToken(context.Context, *sts.GetWebIdentityTokenInput, ...func(*sts.Options)) (*sts.GetWebIdentityTokenOutput, error)
}

// Identity returns the identity that the configuration asks for.
func Identity(cfg config.Rotate, store managedsecret.Store, api STS) databricks.Identity {
	if cfg.ClientID != "" {
		return databricks.Federation{ClientID: cfg.ClientID, Audience: cfg.Audience, WebIdentity: webIdentity(api)}
	}
	return databricks.Stored{Read: func(ctx context.Context) (string, secret.Text, error) {
		c, err := stored(ctx, cfg, store)
		return c.ClientID, c.ClientSecret, err
	}}
}

// ClientID returns the application id by which the product works.
func ClientID(cfg config.Rotate, store managedsecret.Store) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if cfg.ClientID != "" {
			return cfg.ClientID, nil
		}
		c, err := stored(ctx, cfg, store)
		return c.ClientID, err
	}
}

func stored(ctx context.Context, cfg config.Rotate, store managedsecret.Store) (credential.Credential, error) {
	v, err := store.CurrentVersion(ctx, cfg.SecretARN)
	if err != nil {
		return credential.Credential{}, err
	}
	c, err := credential.Parse(v.Value)
	if err == nil && !c.Issued() {
		err = fmt.Errorf("%s is missing: the rotator's own first secret must be put there by hand", credential.KeyClientSecret)
	}
	if err != nil {
		return credential.Credential{}, fmt.Errorf("secret %s: %w", cfg.SecretARN, err)
	}
	return c, nil
}

func webIdentity(api STS) databricks.WebIdentity {
	return func(ctx context.Context, audience string) (secret.Text, error) {
		out, err := api.GetWebIdentityToken(ctx, &sts.GetWebIdentityTokenInput{
			Audience: []string{audience}, SigningAlgorithm: aws.String(signingAlgorithm), DurationSeconds: aws.Int32(tokenSeconds),
		})
		if err != nil {
			var api smithy.APIError
			if !errors.As(err, &api) {
				return secret.Text{}, errors.New("no reply from STS")
			}
			if api.ErrorCode() == "OutboundWebIdentityFederationDisabledException" {
				return secret.Text{}, fmt.Errorf("%s: enable it once for this AWS account with aws iam enable-outbound-web-identity-federation", api.ErrorCode())
			}
			return secret.Text{}, fmt.Errorf("%s: %s", api.ErrorCode(), api.ErrorMessage())
		}
		return secret.New(aws.ToString(out.WebIdentityToken)), nil
	}
}
