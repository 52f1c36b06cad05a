package databricks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/databricks/databricks-sdk-go/apierr"
	"github.com/databricks/databricks-sdk-go/config/experimental/auth"
	"github.com/databricks/databricks-sdk-go/httpclient"
	"golang.org/x/oauth2"
)

const (
	// callTimeout bounds one request. Databricks answers these calls in well
	// under a second; half a minute is past every hope.
	callTimeout = 30 * time.Second
	// A retried call is tried for a minute at most: a sweep has other
	// principals to look after, and the next sweep comes soon.
	retryBudget   = 2 * callTimeout
	retryTries    = 5
	retryFirst    = 500 * time.Millisecond
	retryMost     = 8 * time.Second
	maxRetryAfter = 30 * time.Second
	// sdkRateLimit lifts the SDK's own 15 requests a second for each client.
	sdkRateLimit = 1000
)

// Identity is how the rotator itself authenticates at a host.
type Identity interface {
	// TokenSource returns a source of access tokens for the host. It is asked
	// again after Databricks refused a token.
	TokenSource(host Host) auth.TokenSource
}

// Pace decides when the next request may be sent. Without one, a caller that
// makes few calls relies on Retry-After alone.
type Pace interface {
	// Wait returns when a request may be sent, or with the context's error.
	Wait(ctx context.Context) error
	// Answered notes a reply that was no complaint about the pace.
	Answered()
	// Throttled notes that Databricks asked to come back after that long, zero
	// if it did not say when.
	Throttled(after time.Duration)
}

// Client talks to all hosts of a fleet as one identity. It is safe for
// concurrent use and meant to be kept between invocations.
type Client struct {
	// Allowed are the hosts that may be talked to.
	Allowed AllowedHosts
	// Identity is who the rotator is.
	Identity Identity
	// Transport carries the requests, nil for one like Go's default transport.
	Transport http.RoundTripper
	// Pace bounds how fast requests are sent, nil for not at all.
	Pace Pace
	// Patience is how long one call is tried, repetitions included, zero for a
	// minute. One request gets at most half of it.
	Patience time.Duration

	mu   sync.Mutex
	apis map[Host]*api
}

// api is one host: the SDK's client and the rotator's token there.
type api struct {
	http *httpclient.ApiClient
	// asking is full while tokens is in use.
	asking chan struct{}
	tokens auth.TokenSource
}

func (c *Client) api(host Host) (*api, error) {
	if err := c.Allowed.Check(host.URL); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if a, ok := c.apis[host]; ok {
		return a, nil
	}
	a := &api{asking: make(chan struct{}, 1), http: httpclient.NewApiClient(httpclient.ClientConfig{
		Host:      host.URL,
		AccountID: host.AccountID,
		// Never reached: send ends a call before, and says so by its context.
		HTTPTimeout:        2 * callTimeout,
		RetryTimeout:       2 * callTimeout,
		RateLimitPerSecond: sdkRateLimit,
		Transport:          c.transport(),
		ErrorMapper:        apierr.GetAPIError,
		ErrorRetriable:     func(context.Context, error) bool { return false },
	})}
	if c.apis == nil {
		c.apis = map[Host]*api{}
	}
	c.apis[host] = a
	return a, nil
}

func (c *Client) transport() http.RoundTripper {
	if c.Transport != nil {
		return wire{c.Transport}
	}
	return wire{defaultTransport()}
}

// connections is how many idle connections are kept for each host. The default
// of two would have an audit's two dozen workers shake hands for each call.
const connections = 32

// defaultTransport is one for all clients, as Go's own is.
var defaultTransport = sync.OnceValue(func() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	t.MaxIdleConnsPerHost = connections
	return t
})

// Agent is the program that the usage log names where this product asked for an
// access token, be it to try a credential or to work.
const Agent = "databricks-credential-rotation"

// oauthContext has the OAuth library use this client's transport.
func (c *Client) oauthContext(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: signed{c.transport()}})
}

// signed sends requests under this product's name.
type signed struct{ http.RoundTripper }

// RoundTrip sends a request.
func (s signed) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", Agent)
	return s.RoundTripper.RoundTrip(req)
}

// token returns the rotator's access token for the host. With renew, the one
// at hand is thrown away first.
func (a *api) token(ctx context.Context, c *Client, host Host, renew bool) (*oauth2.Token, error) {
	// One asks for a token and the others wait for it, none of them for longer
	// than its own call may take. The SDK's own lock would have them wait for
	// as long as it takes.
	select {
	case a.asking <- struct{}{}:
		defer func() { <-a.asking }()
	case <-ctx.Done():
		return nil, &noReplyError{cause: ctx.Err()}
	}
	if a.tokens == nil || renew {
		// No refresh in the background: a Lambda's goroutines stand still
		// between invocations.
		a.tokens = auth.NewCachedTokenSource(c.Identity.TokenSource(host), auth.WithAsyncRefresh(false))
	}
	return a.tokens.Token(c.oauthContext(ctx))
}

// request is one call to the REST API.
type request struct {
	op     string
	method string
	url    string
	query  url.Values
	body   any
	// once forbids sending the request again when its outcome is unknown.
	once bool
	// array tells that the reply is a JSON array, not an object.
	array bool
}

// target is the URL with the query. The SDK's own query parameters are for
// other methods: with a GET it would send a body.
func (r request) target() string {
	if len(r.query) == 0 {
		return r.url
	}
	return r.url + "?" + strings.ReplaceAll(r.query.Encode(), "+", "%20")
}

// call carries out a request as the rotator and decodes the reply, which must
// be a JSON object unless the request expects an array, into out. A nil out
// does not care for the reply.
func (c *Client) call(ctx context.Context, host Host, r request, out any) error {
	a, err := c.api(host)
	if err != nil {
		return err
	}
	var body []byte
	attempt := func() (err error) {
		body, err = c.send(ctx, a, host, r, false)
		var e *Error
		if errors.As(err, &e) && e.Status == http.StatusUnauthorized && !e.unsent {
			// The token was revoked or has expired early. A refused request
			// was not carried out, so this holds for a create too.
			body, err = c.send(ctx, a, host, r, true)
		}
		return err
	}
	if r.once {
		err = attempt()
	} else {
		err = retry(ctx, c.patience(), attempt)
	}
	if err != nil || out == nil {
		return err
	}
	open := "{"
	if r.array {
		open = "["
	}
	// An empty reply must not pass for an empty list.
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte(open)) || json.Unmarshal(body, out) != nil {
		return &Error{Op: r.op, Host: host.URL, kind: ErrUncertain, Message: unreadable}
	}
	return nil
}

// send makes one request and returns the body of a successful reply.
func (c *Client) send(ctx context.Context, a *api, host Host, r request, renew bool) ([]byte, error) {
	if err := c.wait(ctx, r.op, host); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.patience()/2)
	defer cancel()
	token, err := a.token(ctx, c, host, renew)
	if err != nil {
		return nil, unauthenticated(host, err)
	}
	var body []byte
	opts := []httpclient.DoOption{
		httpclient.WithRequestHeader("Accept", "application/json"),
		httpclient.WithRequestVisitor(func(req *http.Request) error {
			token.SetAuthHeader(req)
			if r.once {
				// With it, Go's HTTP/2 would send the body again after some
				// resets of the stream, as often as they come.
				req.GetBody = nil
			}
			return nil
		}),
		httpclient.WithResponseUnmarshal(&body),
	}
	if r.body != nil {
		opts = append(opts, httpclient.WithRequestHeader("Content-Type", "application/json"), httpclient.WithRequestData(r.body))
	}
	err = a.http.Do(ctx, r.method, r.target(), opts...)
	if err != nil {
		err = reduce(r.op, host, err)
	}
	c.note(err)
	return body, err
}

// unauthenticated is a failure to get an access token for the rotator itself.
func unauthenticated(host Host, err error) *Error {
	e := reduce("authenticate the rotator", host, err)
	if errors.Is(e.kind, ErrRefused) {
		e.kind = ErrDenied
	}
	e.unsent = true
	return e
}

// wait keeps the pace. It is no part of a call's own time.
func (c *Client) wait(ctx context.Context, op string, host Host) error {
	if c.Pace == nil {
		return nil
	}
	if err := c.Pace.Wait(ctx); err != nil {
		return &Error{Op: op, Host: host.URL, kind: ErrUncertain, cause: err, unsent: true, Message: "not sent: no time was left for it"}
	}
	return nil
}

// note tells the pace how a request went. Silence says nothing about it.
func (c *Client) note(err error) {
	if c.Pace == nil {
		return
	}
	var e *Error
	switch {
	case errors.As(err, &e) && (errors.Is(e.kind, ErrBusy) || e.retryAfter > 0):
		c.Pace.Throttled(e.retryAfter)
	case err == nil || e != nil && e.Status != 0:
		c.Pace.Answered()
	}
}

// Unsent tells of an error that the request never left: a create that failed
// so has created nothing.
func Unsent(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.unsent || errors.Is(err, ErrHost)
}

func (c *Client) patience() time.Duration {
	if c.Patience > 0 {
		return c.Patience
	}
	return retryBudget
}

// retry repeats an idempotent attempt while Databricks is busy or silent.
func retry(ctx context.Context, patience time.Duration, attempt func() error) error {
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		last = attempt()
		var e *Error
		if errors.As(last, &e) && e.retryable() && ctx.Err() == nil {
			return struct{}{}, last
		}
		if last != nil {
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, nil
	},
		backoff.WithBackOff(&backoff.ExponentialBackOff{
			InitialInterval:     retryFirst,
			RandomizationFactor: backoff.DefaultRandomizationFactor,
			Multiplier:          2,
			MaxInterval:         retryMost,
		}),
		backoff.WithMaxTries(retryTries),
		backoff.WithMaxElapsedTime(patience),
	)
	if err != nil {
		// What Databricks said last is of more use than that time ran out.
		return last
	}
	return nil
}
