package databricks_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/secret"
)

var kinds = []error{
	databricks.ErrHost, databricks.ErrNotFound, databricks.ErrDenied, databricks.ErrRefused,
	databricks.ErrRejected, databricks.ErrUncertain, databricks.ErrBusy,
}

// isOnly tells whether err is of one kind and of no other.
func isOnly(err, kind error) bool {
	for _, k := range kinds {
		if errors.Is(err, k) != errors.Is(kind, k) {
			return false
		}
	}
	return true
}

func TestKindsOfErrors(t *testing.T) {
	tests := []struct {
		status int
		body   string
		want   error
		shows  string
	}{
		{400, `{"error_code":"INVALID_PARAMETER_VALUE","message":"lifetime is too long"}`, databricks.ErrRejected, "(400 INVALID_PARAMETER_VALUE): lifetime is too long"},
		{400, `{"error_code":"RESOURCE_EXHAUSTED","message":"five"}`, databricks.ErrRejected, "(400 RESOURCE_EXHAUSTED): five"},
		{401, `{"error_code":"UNAUTHENTICATED"}`, databricks.ErrDenied, "(401 UNAUTHENTICATED)"},
		{403, `{"error_code":"PERMISSION_DENIED","message":"not an account admin"}`, databricks.ErrDenied, "not an account admin"},
		{404, `{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"no principal"}`, databricks.ErrNotFound, "no principal"},
		{404, `{"schemas":["x"],"detail":"no such user","status":"404"}`, databricks.ErrNotFound, "(404 SCIM_404): no such user"},
		{408, `{}`, databricks.ErrUncertain, "(408)"},
		{409, `{"error":"busy elsewhere"}`, databricks.ErrRejected, "(409): busy elsewhere"},
		{422, `{"error_code":4711,"message":"a code of an old API"}`, databricks.ErrRejected, "(422 4711): a code of an old API"},
		{422, `{"error_code":{"nested":["x y"]}}`, databricks.ErrRejected, "(422)"},
		{429, `{"error_code":"REQUEST_LIMIT_EXCEEDED"}`, databricks.ErrBusy, "(429 REQUEST_LIMIT_EXCEEDED)"},
		{500, `{"error_code":"INTERNAL_ERROR"}`, databricks.ErrUncertain, "(500 INTERNAL_ERROR)"},
		{502, `<html>Bad gateway, and a page of markup</html>`, databricks.ErrUncertain, "(502)"},
		{503, ``, databricks.ErrUncertain, "(503): Service Unavailable"},
		{504, `gateway text`, databricks.ErrUncertain, "(504)"},
		{200, ``, databricks.ErrUncertain, "could not be read"},
		{200, `null`, databricks.ErrUncertain, "could not be read"},
		{200, `[]`, databricks.ErrUncertain, "could not be read"},
		{200, `<html>log in</html>`, databricks.ErrUncertain, "could not be read"},
		{200, `{"id":7}`, databricks.ErrUncertain, "could not be read"},
		{200, `{"id":"9f00"`, databricks.ErrUncertain, "could not be read"},
		{200, `{"secret":"x"}`, databricks.ErrUncertain, "no proper id"},
		{200, `{"id":"9f 00","secret":"x"}`, databricks.ErrUncertain, "no proper id"},
		{200, `{"id":"9f00"}`, databricks.ErrUncertain, "no secret value"},
		{200, `{"id":"9f00","secret":"x","create_time":"noon"}`, databricks.ErrUncertain, "create_time is not a time"},
		{200, `{"id":"9f00","secret":"x","expire_time":"noon"}`, databricks.ErrUncertain, "expire_time is not a time"},
	}
	for _, test := range tests {
		c, host, _ := stub(t, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, test.status, test.body) })
		issued, err := c.CreateSecret(t.Context(), host, "4711", lifetime, nil)
		if !isOnly(err, test.want) {
			t.Errorf("%d %s: %v, want %v alone", test.status, test.body, err, test.want)
			continue
		}
		if !strings.HasSuffix(err.Error(), test.shows) {
			t.Errorf("%d %s: %q, want …%q", test.status, test.body, err, test.shows)
		}
		if !strings.HasPrefix(err.Error(), "create an OAuth secret at https://stub.example.com: ") {
			t.Errorf("%q does not say what was tried where", err)
		}
		// A secret that was made and whose value is lost can still be deleted.
		if known := strings.Contains(test.body, `"id":"9f00",`) || test.body == `{"id":"9f00"}`; known != (issued.ID == "9f00") {
			t.Errorf("%s: the id %q came with the error", test.body, issued.ID)
		}
	}
}

func TestKindsOfTokenErrors(t *testing.T) {
	tests := []struct {
		status int
		body   string
		want   error
	}{
		{401, `{"error":"invalid_client","error_description":"Client authentication failed"}`, databricks.ErrRefused},
		{401, `not JSON`, databricks.ErrRefused},
		{400, `{"error":"invalid_client"}`, databricks.ErrRefused},
		{400, `{"error":"unauthorized_client"}`, databricks.ErrRefused},
		{400, `{"error":"invalid_grant"}`, databricks.ErrRefused},
		{400, `{"error":"invalid_scope"}`, databricks.ErrRejected},
		{403, `{"error":"access_denied"}`, databricks.ErrDenied},
		{404, `{}`, databricks.ErrNotFound},
		{429, `{"error_code":"REQUEST_LIMIT_EXCEEDED"}`, databricks.ErrBusy},
		{500, `oops`, databricks.ErrUncertain},
		{200, `{}`, databricks.ErrUncertain},
		{200, `oops`, databricks.ErrUncertain},
		{200, `{"error":"invalid_client"}`, databricks.ErrRefused},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, test.status, test.body) })
			c := &databricks.Client{
				Allowed:   allow(t, "https://stub.example.com"),
				Transport: faulttest.Transport{Route: func(string) http.Handler { return handler }},
			}
			host := databricks.Host{URL: "https://stub.example.com"}
			if err := c.Verify(t.Context(), host, "id", secret.New("dose-app-secret"), nil); !isOnly(err, test.want) {
				t.Errorf("Verify, %d %s: %v, want %v alone", test.status, test.body, err, test.want)
			}
			// The same refusal of the rotator's own credential is a denial: it
			// says nothing about the credential that is rotated.
			c.Identity = databricks.Stored{Read: func(context.Context) (string, secret.Text, error) {
				return "rotator", secret.New(rotatorSecret), nil
			}}
			want := test.want
			if errors.Is(want, databricks.ErrRefused) {
				want = databricks.ErrDenied
			}
			_, err := c.CreateSecret(t.Context(), host, "4711", lifetime, nil)
			if !isOnly(err, want) || !databricks.Unsent(err) || !strings.HasPrefix(err.Error(), "authenticate the rotator at ") {
				t.Errorf("rotator, %d %s: %v, want %v alone, unsent", test.status, test.body, err, want)
			}
		})
	}
}

// Invariant 6: a server that repeats what it was sent does not get it into an
// error, whatever it wraps it in.
func TestErrorsNeverEcho(t *testing.T) {
	const (
		appSecret   = "dose/app+secret=9876543210"
		webIdentity = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
		odd         = "an-unusual-web-identity-987654"
	)
	basic := func(secret string) []string {
		header := base64.StdEncoding.EncodeToString([]byte("rotator:" + url.QueryEscape(secret)))
		return []string{secret, url.QueryEscape(secret), header}
	}
	hidden := append(basic(rotatorSecret), accessToken, webIdentity, odd, "dose1111222233334444")
	hidden = append(hidden, basic(appSecret)...)
	wraps := map[string]func(echo string) string{
		"message":     func(e string) string { return fmt.Sprintf(`{"error_code":"X","message":%s}`, quote(e)) },
		"code":        func(e string) string { return fmt.Sprintf(`{"error_code":%s,"message":"m"}`, quote(e)) },
		"old error":   func(e string) string { return fmt.Sprintf(`{"error":%s}`, quote(e)) },
		"SCIM":        func(e string) string { return fmt.Sprintf(`{"detail":%s,"status":"400"}`, quote(e)) },
		"description": func(e string) string { return fmt.Sprintf(`{"error":"invalid","error_description":%s}`, quote(e)) },
		"text":        func(e string) string { return e },
		"code: text":  func(e string) string { return "INVALID_STATE: " + e },
		"HTML":        func(e string) string { return "<html><pre>" + e + "</pre></html>" },
		"half a JSON": func(e string) string { return `{"error_code":"X","message":` + quote(e) },
	}
	identities := map[string]databricks.Identity{
		"stored": databricks.Stored{Read: func(context.Context) (string, secret.Text, error) {
			return "rotator", secret.New(rotatorSecret), nil
		}},
		"federation":     databricks.Federation{ClientID: "rotator", WebIdentity: constant(webIdentity)},
		"odd federation": databricks.Federation{ClientID: "rotator", WebIdentity: constant(odd)},
	}
	for wrap, body := range wraps {
		for who, identity := range identities {
			for _, status := range []int{200, 400, 401, 403, 404, 429, 500} {
				for _, tokens := range []bool{true, false} { // whether the token endpoint works
					synctest.Test(t, func(t *testing.T) {
						echo := echoing(status, tokens, body)
						c := &databricks.Client{
							Allowed: allow(t, "https://stub.example.com"), Identity: identity,
							Transport: faulttest.Transport{Route: func(string) http.Handler { return echo }},
						}
						ctx, host := t.Context(), databricks.Host{URL: "https://stub.example.com"}
						_, list := c.ListSecrets(ctx, host, "1")
						_, create := c.CreateSecret(ctx, host, "1", lifetime, nil)
						_, find := c.FindPrincipal(ctx, host, "x")
						_, read := c.Principal(ctx, host, "1")
						errs := []error{list, create, find, read, c.DeleteSecret(ctx, host, "1", "2")}
						if !tokens {
							errs = append(errs, c.Verify(ctx, host, "rotator", secret.New(appSecret), nil))
						}
						for i, err := range errs {
							for _, s := range hidden {
								if err != nil && strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err.Error()), s) {
									t.Errorf("%s, %d in %s, tokens %v, call %d: the error shows %q: %v", who, status, wrap, tokens, i, s, err)
								}
							}
							if err != nil && len(err.Error()) > 500 {
								t.Errorf("an error of %d bytes", len(err.Error()))
							}
						}
					})
				}
			}
		}
	}
}

// echoing answers with everything that it was sent, and with a new secret.
func echoing(status int, tokens bool, wrap func(string) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tokens && strings.Contains(r.URL.Path, "/oidc/") {
			writeJSON(w, http.StatusOK, `{"access_token":"`+accessToken+`","token_type":"Bearer","expires_in":3600}`)
			return
		}
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		_, password, _ := r.BasicAuth()
		plain, _ := url.QueryUnescape(password)
		parts := []string{
			"ndose1111222233334444", plain, password, r.Header.Get("Authorization"), string(body),
			form.Get("subject_token"),
		}
		// A message is cut, so each part goes first once.
		var echo []string
		for i := range parts {
			echo = append(echo, parts[(i+len(r.URL.Path))%len(parts)])
		}
		writeJSON(w, status, wrap(strings.Join(echo, "|")))
	})
}

func quote(s string) string {
	raw, _ := json.Marshal(s)
	return string(raw)
}

func constant(token string) databricks.WebIdentity {
	return func(context.Context, string) (secret.Text, error) { return secret.New(token), nil }
}
