package databricks

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"databricks-credential-rotation/shared/pattern"
	"databricks-credential-rotation/shared/secret"
)

// MaxSecrets is how many OAuth secrets a service principal can have at once.
const MaxSecrets = 5

// maxSecretPages ends a list that does not end by itself. Five secrets fit on
// far fewer, empty pages and expired secrets included.
const maxSecretPages = 100

// MaxLifetime is the longest life that Databricks gives an OAuth secret.
const MaxLifetime = 730 * 24 * time.Hour

// OAuthSecret is an OAuth secret as Databricks lists it, without its value.
type OAuthSecret struct {
	ID string
	// CreateTime and ExpireTime are Databricks' own. ExpireTime is zero for a
	// secret that does not expire.
	CreateTime, ExpireTime time.Time
	// Scopes restrict the secret; none is unrestricted.
	Scopes []string
}

// Lifetime is the whole seconds from creation to expiry, zero if the secret
// does not expire or its creation is not known.
func (s OAuthSecret) Lifetime() time.Duration {
	if s.ExpireTime.IsZero() || s.CreateTime.IsZero() {
		return 0
	}
	return s.ExpireTime.Sub(s.CreateTime).Round(time.Second)
}

// Expired tells whether the secret has stopped working by itself.
func (s OAuthSecret) Expired(now time.Time) bool {
	return !s.ExpireTime.IsZero() && !now.Before(s.ExpireTime)
}

// IssuedSecret is a secret just created. The value is shown this once.
type IssuedSecret struct {
	OAuthSecret
	Value secret.Text
}

// secretReply is an OAuth secret on the wire. The SDK's own struct lacks
// scopes.
type secretReply struct {
	ID         string   `json:"id"`
	Secret     string   `json:"secret"`
	CreateTime string   `json:"create_time"`
	ExpireTime string   `json:"expire_time"`
	Scopes     []string `json:"scopes"`
}

// idPattern is what an id must look like to be recorded in a managed secret.
var idPattern = pattern.New(`^[A-Za-z0-9_-]{1,128}$`)

// decode reports what is wrong with a reply without showing it. What could be
// read comes with the error.
func (r secretReply) decode() (OAuthSecret, error) {
	if !idPattern.MatchString(r.ID) {
		return OAuthSecret{}, errors.New("an OAuth secret has no proper id")
	}
	s := OAuthSecret{ID: r.ID, Scopes: slices.Clone(r.Scopes)}
	var err error
	if s.CreateTime, err = parseTime(r.CreateTime); err != nil {
		return s, errors.New("an OAuth secret's create_time is not a time")
	}
	if s.ExpireTime, err = parseTime(r.ExpireTime); err != nil {
		return s, errors.New("an OAuth secret's expire_time is not a time")
	}
	return s, nil
}

func parseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339Nano, text)
}

// ListSecrets returns all OAuth secrets of a principal, over all pages.
func (c *Client) ListSecrets(ctx context.Context, host Host, principal string) ([]OAuthSecret, error) {
	type page struct {
		Secrets       []secretReply `json:"secrets"`
		NextPageToken string        `json:"next_page_token"`
	}
	var all []OAuthSecret
	err := pages(ctx, c, host, "list the OAuth secrets", host.secretsURL(principal), nil, maxSecretPages, func(reply page) (string, error) {
		for _, r := range reply.Secrets {
			s, err := r.decode()
			if err != nil {
				return "", err
			}
			all = append(all, s)
		}
		return reply.NextPageToken, nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// CreateSecret issues an OAuth secret. It is sent once: an error that is
// [ErrUncertain] and not [Unsent] may have left a secret behind, which a later
// list shows. If its id could be read, it comes with the error.
func (c *Client) CreateSecret(ctx context.Context, host Host, principal string, lifetime time.Duration, scopes []string) (IssuedSecret, error) {
	const op = "create an OAuth secret"
	body := struct {
		Lifetime string   `json:"lifetime"`
		Scopes   []string `json:"scopes,omitempty"`
	}{fmt.Sprintf("%ds", int64(lifetime/time.Second)), scopes}
	var reply secretReply
	err := c.call(ctx, host, request{op: op, method: http.MethodPost, url: host.secretsURL(principal), body: body, once: true}, &reply)
	if err != nil {
		return IssuedSecret{}, err
	}
	issued, err := reply.decode()
	if err == nil && reply.Secret == "" {
		err = errors.New("the reply carries no secret value")
	}
	if err != nil {
		return IssuedSecret{OAuthSecret: issued}, &Error{Op: op, Host: host.URL, kind: ErrUncertain, Message: err.Error()}
	}
	return IssuedSecret{OAuthSecret: issued, Value: secret.New(reply.Secret)}, nil
}

// DeleteSecret deletes an OAuth secret; one that is gone already is no error.
func (c *Client) DeleteSecret(ctx context.Context, host Host, principal, id string) error {
	err := c.call(ctx, host, request{
		op: "delete an OAuth secret", method: http.MethodDelete, url: host.secretsURL(principal) + "/" + url.PathEscape(id),
	}, nil)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
