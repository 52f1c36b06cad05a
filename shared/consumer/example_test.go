package consumer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/databricks/databricks-sdk-go"
	"github.com/databricks/databricks-sdk-go/service/iam"

	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/consumer"
	"databricks-credential-rotation/shared/databrickstest"
)

// An application makes one Secret and a client over it, and keeps both. Here the
// credential is replaced, without a grace period, between two of its calls.
func Example() {
	ctx := context.Background()
	clouds := newClouds() // both clouds, simulated; an application has the real ones
	// With AWS: cfg, err := config.LoadDefaultConfig(ctx); secretsmanager.NewFromConfig(cfg)
	client := clouds.secretsManager()

	secret, err := consumer.New(consumer.Options{SecretsManager: client, SecretID: "prod/etl/databricks"})
	if err != nil {
		panic(err)
	}
	cfg, err := secret.Config(ctx)
	if err != nil {
		panic(err)
	}
	workspace, err := databricks.NewWorkspaceClient((*databricks.Config)(cfg))
	if err != nil {
		panic(err)
	}
	for range 2 {
		me, err := workspace.CurrentUser.Me(ctx, iam.MeRequest{})
		if err != nil {
			panic(err)
		}
		fmt.Println("I am", me.DisplayName)
		clouds.replaceCredential()
	}
	// Output:
	// I am etl
	// I am etl
}

// A configuration that is made elsewhere gets the secret as its Credentials,
// and the transport beside it. The host may be another than the secret's: here
// it is left out.
func ExampleSecret_Configure() {
	clouds := newClouds()
	secret, err := consumer.New(consumer.Options{SecretsManager: clouds.secretsManager(), SecretID: "prod/etl/databricks"})
	if err != nil {
		panic(err)
	}
	workspace, err := databricks.NewWorkspaceClient(&databricks.Config{
		Credentials: secret, HTTPTransport: consumer.Transport(nil),
	})
	if err != nil {
		panic(err)
	}
	me, err := workspace.CurrentUser.Me(context.Background(), iam.MeRequest{})
	if err != nil {
		panic(err)
	}
	fmt.Println("I am", me.DisplayName, "by", workspace.Config.AuthType)
	// Output: I am etl by aws-secrets-manager
}

// What is not the SDK takes the credential itself, at each new connection.
func ExampleSecret_Credential() {
	clouds := newClouds()
	secret, err := consumer.New(consumer.Options{SecretsManager: clouds.secretsManager(), SecretID: "prod/etl/databricks"})
	if err != nil {
		panic(err)
	}
	c, err := secret.Credential(context.Background())
	if err != nil {
		panic(err)
	}
	url := fmt.Sprintf("AuthMech=11;Auth_Flow=1;OAuth2ClientId=%s;OAuth2Secret=%s", c.ClientID, c.ClientSecret.Reveal())
	fmt.Println(len(url) > 100, c.ClientSecret) // the secret itself does not print
	// Output: true [secret]
}

// clouds are an AWS account and a Databricks workspace, on loopback.
type clouds struct {
	aws       *awstest.Server
	dbx       *databrickstest.Server
	host      string
	principal databrickstest.Principal
	current   databrickstest.OAuthSecret
}

func newClouds() *clouds {
	c := &clouds{aws: awstest.New(awstest.Config{}), dbx: databrickstest.New(databrickstest.Config{})}
	workspace := c.dbx.AddWorkspace("analytics")
	if err := c.dbx.Listen(); err != nil {
		panic(err)
	}
	c.dbx.RevokeTokensOnDelete(true)
	c.principal = c.dbx.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "etl"})
	c.dbx.Assign(c.principal.ID, workspace, false)
	c.host = workspace.Host()
	value := c.issue()
	_, err := c.secretsManager().CreateSecret(context.Background(), &secretsmanager.CreateSecretInput{
		Name: aws.String("prod/etl/databricks"), SecretString: &value,
	})
	if err != nil {
		panic(err)
	}
	return c
}

func (c *clouds) secretsManager() *secretsmanager.Client {
	return secretsmanager.NewFromConfig(c.aws.Config(), func(o *secretsmanager.Options) {
		o.HTTPClient = &http.Client{Transport: c.aws.Transport()}
	})
}

func (c *clouds) issue() string {
	s, err := c.dbx.AddSecret(c.principal.ID, databrickstest.SecretSpec{})
	if err != nil {
		panic(err)
	}
	c.current = s
	value, err := json.Marshal(map[string]string{
		"DATABRICKS_HOST": c.host, "DATABRICKS_CLIENT_ID": c.principal.ApplicationID, "DATABRICKS_CLIENT_SECRET": s.Value,
	})
	if err != nil {
		panic(err)
	}
	return string(value)
}

func (c *clouds) replaceCredential() {
	old := c.current
	value := c.issue()
	_, err := c.secretsManager().PutSecretValue(context.Background(), &secretsmanager.PutSecretValueInput{
		SecretId: aws.String("prod/etl/databricks"), SecretString: &value,
	})
	if err != nil {
		panic(err)
	}
	c.dbx.DeleteSecret(c.principal.ID, old.ID)
}
