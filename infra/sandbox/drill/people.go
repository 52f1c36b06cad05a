package drill

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/secret"
)

// pause is between two attempts of the thief, and of an application.
const pause = 4 * time.Millisecond

// authenticate asks for an access token.
func authenticate(ctx context.Context, c credential.Credential) (string, error) {
	config := clientcredentials.Config{
		ClientID: c.ClientID, ClientSecret: c.ClientSecret.Reveal(), AuthStyle: oauth2.AuthStyleInHeader,
		TokenURL: c.Host + "/oidc/accounts/" + c.AccountID + "/v1/token",
	}
	token, err := config.Token(ctx)
	if err != nil {
		return "", err
	}
	return token.AccessToken, nil
}

// thief uses what leaked, without pause.
type thief struct {
	leaked credential.Credential
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu    sync.Mutex
	token string
	// first is when it was refused for the first time; again tells that it was
	// accepted after that.
	first time.Time
	again bool
}

func newThief(ctx context.Context, leaked credential.Credential) *thief {
	ctx, cancel := context.WithCancel(ctx)
	t := &thief{leaked: leaked, cancel: cancel}
	t.done.Go(func() {
		for ctx.Err() == nil {
			token, err := authenticate(ctx, leaked)
			if ctx.Err() != nil {
				return
			}
			t.mu.Lock()
			switch {
			case err != nil && t.first.IsZero():
				t.first = time.Now()
			case err == nil:
				t.again = t.again || !t.first.IsZero()
				t.token = token
			}
			t.mu.Unlock()
			time.Sleep(pause)
		}
	})
	return t
}

func (t *thief) stop() {
	t.cancel()
	t.done.Wait()
}

// working waits until the thief has been let in.
func (t *thief) working(ctx context.Context) error {
	for end := time.Now().Add(patience); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(pause) {
		t.mu.Lock()
		ok := t.token != ""
		t.mu.Unlock()
		if ok {
			return nil
		}
	}
	return errNoStart
}

func (t *thief) refused() (first time.Time, again bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.first, t.again
}

// tokenWorks tries the access token that the thief got last. Any answer but
// 401 means that it is accepted.
func (t *thief) tokenWorks(ctx context.Context, url string) bool {
	t.mu.Lock()
	token := t.token
	t.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return true
	}
	req.Header.Set("Authorization", "Bearer "+token)
	reply, err := http.DefaultClient.Do(req)
	if err != nil {
		return true
	}
	defer reply.Body.Close() //nolint:errcheck // the status is all that is wanted
	return reply.StatusCode != http.StatusUnauthorized
}

// crew are applications that keep a credential until it is refused and then
// read again.
type crew struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu sync.Mutex
	// refusals and turns count for each application; failing is that the last
	// turn was refused.
	refusals, turns [applications]int
	failing         [applications]bool
}

func newCrew(ctx context.Context, store *secretsmanager.Client, name string) *crew {
	ctx, cancel := context.WithCancel(ctx)
	c := &crew{cancel: cancel}
	for n := range applications {
		c.done.Go(func() {
			var held credential.Credential
			for ctx.Err() == nil {
				if !held.Issued() {
					held = read(ctx, store, name)
				}
				_, err := authenticate(ctx, held)
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					held = credential.Credential{}
				}
				c.note(n, err)
				time.Sleep(pause)
			}
		})
	}
	return c
}

func read(ctx context.Context, store *secretsmanager.Client, name string) credential.Credential {
	out, err := store.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &name, VersionStage: aws.String("AWSCURRENT")})
	if err != nil || !json.Valid([]byte(aws.ToString(out.SecretString))) {
		return credential.Credential{}
	}
	c, err := credential.Parse(secret.New(aws.ToString(out.SecretString)))
	if err != nil {
		return credential.Credential{}
	}
	return c
}

func (c *crew) note(n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turns[n]++
	if c.failing[n] = err != nil; err != nil {
		c.refusals[n]++
	}
}

func (c *crew) stop() {
	c.cancel()
	c.done.Wait()
}

// worst is the most refusals that one application has met.
func (c *crew) worst() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Max(c.refusals[:])
}

// works tells whether every application's last attempt succeeded.
func (c *crew) works() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !slices.Contains(c.turns[:], 0) && !slices.Contains(c.failing[:], true)
}
