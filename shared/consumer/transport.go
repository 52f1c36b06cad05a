package consumer

import (
	"bytes"
	"io"
	"net/http"
)

// Transport repeats, once, a call whose access token Databricks refuses, after
// a look at the secret: the credential may have been replaced, and its tokens
// ended with it. Nothing was done by a refused call, so any may be repeated
// whose body can be sent again; those of the SDK can. Calls with tokens that
// are not from a [Secret] pass through.
//
// below carries the calls; nil is [http.DefaultTransport].
func Transport(below http.RoundTripper) http.RoundTripper { return transport{base(below)} }

type transport struct{ below http.RoundTripper }

// carried is the token in a request, and where another is to be had.
type carried struct {
	provider *provider
	token    *token
}

type carriedKey struct{}

// RoundTrip implements [http.RoundTripper].
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.below.RoundTrip(r)
	if err != nil || !isTokenRefused(resp) {
		return resp, err
	}
	c, ok := r.Context().Value(carriedKey{}).(carried)
	if !ok || r.Header.Get("Authorization") != "Bearer "+c.token.oauth.AccessToken {
		return resp, nil
	}
	again, err := repeatable(r)
	if err != nil || again == nil {
		return resp, nil //nolint:nilerr // then the refusal stands
	}
	other, err := c.provider.instead(r.Context(), c.token)
	if err != nil || other == nil || other == c.token {
		return resp, nil //nolint:nilerr // the caller is told of the refusal, and the log of the rest
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // so that the connection can be used again
	_ = resp.Body.Close()
	other.oauth.SetAuthHeader(again)
	return t.below.RoundTrip(again)
}

// repeatable returns a copy of the request with its body from the beginning,
// nil if that cannot be had.
func repeatable(r *http.Request) (*http.Request, error) {
	again := r.Clone(r.Context())
	if r.Body == nil || r.Body == http.NoBody {
		return again, nil
	}
	if r.GetBody == nil {
		return nil, nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	again.Body = body
	return again, nil
}

// invalidToken is what Databricks says with 403, not 401, of some tokens that
// have ended.
var invalidToken = []byte("Invalid access token")

// isTokenRefused looks at the beginning of a 403 and puts it back.
func isTokenRefused(resp *http.Response) bool {
	if resp.StatusCode != http.StatusForbidden {
		return resp.StatusCode == http.StatusUnauthorized
	}
	head, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	rest := resp.Body
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), rest), rest}
	return err == nil && bytes.Contains(head, invalidToken)
}
