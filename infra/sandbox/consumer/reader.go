package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// reader is one application with one secret.
type reader struct {
	group  *Group
	secret string
	kind   string
	// keep is how long a credential is used after it was read.
	keep time.Duration

	held   credential
	readAt time.Time
}

// credential is the part of the value that an application looks at.
type credential struct {
	Host         string `json:"DATABRICKS_HOST"`
	AccountID    string `json:"DATABRICKS_ACCOUNT_ID"`
	ClientID     string `json:"DATABRICKS_CLIENT_ID"`
	ClientSecret string `json:"DATABRICKS_CLIENT_SECRET"`
}

func (c credential) tokenURL() string {
	if c.AccountID != "" {
		return c.Host + "/oidc/accounts/" + c.AccountID + "/v1/token"
	}
	return c.Host + "/oidc/v1/token"
}

func (r *reader) run() {
	for r.group.ctx.Err() == nil {
		// A turn that has begun is finished when the group ends: a request that
		// is cut off would look like a fault of whoever got half of it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.group.ctx), turnTimeout)
		r.turn(ctx)
		cancel()
		select {
		case <-time.After(r.group.config.Pause):
		case <-r.group.ctx.Done():
		}
	}
}

// turnTimeout is far beyond what a read and a token request take.
const turnTimeout = 10 * time.Second

// turn reads, if it has to, and authenticates.
func (r *reader) turn(ctx context.Context) {
	r.group.still.RLock()
	defer r.group.still.RUnlock()
	if r.readAt.IsZero() || time.Since(r.readAt) >= r.keep {
		if err := r.read(ctx); err != nil {
			r.fail(0, err)
			return
		}
	}
	if err := r.authenticate(ctx); err != nil {
		r.fail(max(time.Since(r.readAt), 1), err)
	}
}

func (r *reader) read(ctx context.Context) error {
	r.group.add(func(c *Count) { c.Reads++ })
	r.readAt = time.Time{}
	now := time.Now()
	out, err := r.group.config.Store.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{
		SecretId: &r.secret, VersionStage: aws.String("AWSCURRENT"),
	})
	if err != nil {
		return err
	}
	var c credential
	if err := json.Unmarshal([]byte(aws.ToString(out.SecretString)), &c); err != nil {
		return errors.New("the value is not JSON") // the decoder's error may quote it
	}
	r.held, r.readAt = c, now
	return nil
}

func (r *reader) authenticate(ctx context.Context) error {
	g := r.group
	g.mu.Lock()
	g.count.Authentications++
	g.requests[r.held.ClientID]++
	g.mu.Unlock()
	config := clientcredentials.Config{
		ClientID: r.held.ClientID, ClientSecret: r.held.ClientSecret, TokenURL: r.held.tokenURL(),
		// The style is set because finding it out costs a request that fails.
		AuthStyle: oauth2.AuthStyleInHeader,
	}
	_, err := config.Token(context.WithValue(ctx, oauth2.HTTPClient, g.client))
	var refusal *oauth2.RetrieveError
	if errors.As(err, &refusal) {
		return fmt.Errorf("%s: %s", refusal.ErrorCode, refusal.ErrorDescription)
	}
	return err
}

func (r *reader) fail(age time.Duration, err error) {
	r.group.add(func(c *Count) { c.Failures++ })
	if tell := r.group.config.OnFailure; tell != nil {
		tell(Failure{Secret: r.secret, Kind: r.kind, Age: age, Err: err})
	}
}

func (g *Group) add(f func(*Count)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f(&g.count)
}
