package databricks_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databricks"
)

const tokenJSON = `{
	"token_id":"9f","comment":"nightly","created_by_id":11,"created_by_username":"ann@example.com","creation_time":1700000000000,
	"expiry_time":-1,"owner_id":12,"workspace_id":7,"last_used_day":1700006400000,"scopes":["sql"],
	"autoscope_state":"AUTOSCOPE_STATE_COMPLETED","inferred_scopes":["sql","jobs"],"backfill_scopes":["files"],"field_to_come":{"a":[1]}}`

func TestTokens(t *testing.T) {
	full := databricks.Token{
		ID: "9f", Comment: "nightly", OwnerID: "12", CreatorID: "11", CreatedBy: "ann@example.com", WorkspaceID: 7,
		CreateTime: time.UnixMilli(1700000000000).UTC(), LastUsed: time.UnixMilli(1700006400000).UTC(),
		Scopes: []string{"sql"}, Autoscope: "COMPLETED", Inferred: []string{"sql", "jobs"}, Backfilled: []string{"files"},
	}
	bare := databricks.Token{ID: "9e", ExpireTime: time.UnixMilli(1800000000000).UTC()}
	tests := map[string]struct {
		body string
		want []databricks.Token
		err  error
	}{
		"full and bare":          {`{"x":[{"token_infos":1}],"token_infos":[` + tokenJSON + `,{"token_id":"9e","expiry_time":1800000000000}],"y":2}`, []databricks.Token{full, bare}, nil},
		"none":                   {`{}`, nil, nil},
		"null":                   {`{"token_infos":null}`, nil, nil},
		"empty reply":            {``, nil, databricks.ErrUncertain},
		"array":                  {`[]`, nil, databricks.ErrUncertain},
		"not an array within":    {`{"token_infos":{}}`, nil, databricks.ErrUncertain},
		"a token without an id":  {`{"token_infos":[{"comment":"x"}]}`, nil, databricks.ErrUncertain},
		"cut short":              {`{"token_infos":[` + tokenJSON + `,`, nil, databricks.ErrUncertain},
		"cut short at the end":   {`{"token_infos":[` + tokenJSON + `]`, nil, databricks.ErrUncertain},
		"a token that is a text": {`{"token_infos":["dapi0123456789abcdef"]}`, nil, databricks.ErrUncertain},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, host, _ := stub(t, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/api/2.0/token-management/tokens" || r.URL.RawQuery != "" || r.Header.Get("Authorization") != "Bearer "+accessToken {
						t.Errorf("%s, authorized by %q", r.URL, r.Header.Get("Authorization"))
					}
					writeJSON(w, http.StatusOK, test.body)
				})
				got, err := c.Tokens(t.Context(), host)
				if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
					t.Fatalf("error %v, want %v", err, test.err)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Error(diff)
				}
				if err != nil && strings.Contains(err.Error(), "dapi") {
					t.Errorf("the error quotes the reply: %v", err)
				}
			})
		})
	}
}

// A list that broke off is read again from its beginning, and nothing of the
// first attempt is kept.
func TestTokensAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempt := 0
		c, host, calls := stub(t, func(w http.ResponseWriter, _ *http.Request) {
			attempt++
			switch attempt {
			case 1:
				writeJSON(w, http.StatusOK, `{"token_infos":[{"token_id":"9a"},{"token_id":"9b"}`)
			case 2:
				w.Header().Set("Retry-After", "3")
				writeJSON(w, http.StatusTooManyRequests, `{"error_code":"REQUEST_LIMIT_EXCEEDED","message":"slow down"}`)
			case 3:
				writeJSON(w, http.StatusUnauthorized, `{"error_code":"UNAUTHENTICATED","message":"expired"}`)
			default:
				writeJSON(w, http.StatusOK, `{"token_infos":[{"token_id":"9a"}]}`)
			}
		})
		pace := &paceLog{}
		c.Pace = pace
		got, err := c.Tokens(t.Context(), host)
		if err != nil || len(got) != 1 || got[0].ID != "9a" || *calls != 4 {
			t.Errorf("%v, %v after %d calls", got, err, *calls)
		}
		if want := "wait wait throttled 3s wait answered wait answered"; pace.String() != want {
			t.Errorf("the pace saw %q, want %q", pace, want)
		}
	})
}

func TestTokensRefused(t *testing.T) {
	c, host, calls := stub(t, func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusForbidden, `{"error_code":"PERMISSION_DENIED","message":"only admins, not `+accessToken+`"}`)
	})
	_, err := c.Tokens(t.Context(), host)
	want := "list the personal access tokens at https://stub.example.com: the rotator was denied (403 PERMISSION_DENIED): only admins, not [secret]"
	if err == nil || err.Error() != want || *calls != 1 {
		t.Errorf("%v after %d calls, want %s", err, *calls, want)
	}
	if _, err := c.Tokens(t.Context(), databricks.Host{URL: "https://elsewhere.example.com"}); !errors.Is(err, databricks.ErrHost) {
		t.Errorf("%v, want ErrHost", err)
	}
}

func TestTokenCalls(t *testing.T) {
	var got []string
	c, host, _ := stub(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Method, r.URL.RequestURI(), body)))
		switch {
		case strings.HasSuffix(r.URL.Path, "/gone"):
			writeJSON(w, http.StatusNotFound, `{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"no such token"}`)
		case r.Method == http.MethodGet && r.URL.RawQuery == "":
			writeJSON(w, http.StatusOK, `{"token_info":`+tokenJSON+`}`)
		default:
			writeJSON(w, http.StatusOK, `{}`)
		}
	})
	token, err := c.Token(t.Context(), host, "9f")
	if err != nil || token.Comment != "nightly" {
		t.Errorf("Token: %+v, %v", token, err)
	}
	if _, err := c.Token(t.Context(), host, "9e"); !errors.Is(err, databricks.ErrUncertain) {
		t.Errorf("Token: %v for a reply about another one", err)
	}
	if _, err := c.Token(t.Context(), host, "gone"); !errors.Is(err, databricks.ErrNotFound) {
		t.Errorf("Token: %v, want ErrNotFound", err)
	}
	if err := c.DeleteToken(t.Context(), host, "9f"); err != nil {
		t.Errorf("DeleteToken: %v", err)
	}
	// Invariant 8: a delete that was done before is no error.
	if err := c.DeleteToken(t.Context(), host, "gone"); err != nil {
		t.Errorf("DeleteToken: %v", err)
	}
	if err := c.SetTokenScopes(t.Context(), host, "9f", []string{"jobs", "sql"}); err != nil {
		t.Errorf("SetTokenScopes: %v", err)
	}
	// Invariant 5: no scopes are all scopes.
	if err := c.SetTokenScopes(t.Context(), host, "9f", nil); !errors.Is(err, databricks.ErrRejected) || !databricks.Unsent(err) {
		t.Errorf("SetTokenScopes without scopes: %v", err)
	}
	const path = "/api/2.0/token-management/tokens"
	want := []string{
		"GET " + path + "/9f", "GET " + path + "/9e", "GET " + path + "/gone",
		"DELETE " + path + "/9f", "DELETE " + path + "/gone",
		"PATCH " + path + `/9f {"token":{"scopes":["jobs","sql"]},"update_mask":"scopes"}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A list of any length costs the memory of what is kept of it.
func TestTokensAreStreamed(t *testing.T) {
	const tokens, padding = 2000, 10_000
	c, host, _ := stub(t, nil)
	c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		reply := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: r}
		if strings.Contains(r.URL.Path, "/oidc/") {
			reply.Body = io.NopCloser(strings.NewReader(`{"access_token":"` + accessToken + `","token_type":"Bearer","expires_in":3600}`))
			return reply, nil
		}
		parts := []io.Reader{strings.NewReader(`{"token_infos":[{"token_id":"first"}`)}
		element := `,{"token_id":"9f","field_to_come":"` + strings.Repeat("x", padding) + `"}`
		for range tokens - 1 {
			parts = append(parts, strings.NewReader(element))
		}
		reply.Body = io.NopCloser(io.MultiReader(append(parts, strings.NewReader(`]}`))...))
		return reply, nil
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := c.Tokens(t.Context(), host)
	runtime.ReadMemStats(&after)
	if err != nil || len(got) != tokens {
		t.Errorf("%d tokens, %v", len(got), err)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > tokens*padding/4 {
		t.Errorf("allocated %d bytes for a list of %d", allocated, tokens*padding)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A long list may take its time; one that comes to a halt is begun again.
func TestTokensSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempt := 0
		c, host, _ := stub(t, nil)
		c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			reply := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: r}
			if strings.Contains(r.URL.Path, "/oidc/") {
				reply.Body = io.NopCloser(strings.NewReader(`{"access_token":"` + accessToken + `","token_type":"Bearer","expires_in":3600}`))
				return reply, nil
			}
			attempt++
			body := &slowBody{ctx: r.Context(), elements: 10}
			if attempt == 1 {
				body.halt = 1 // never goes on after this one
			}
			reply.Body = body
			return reply, nil
		})
		begin := time.Now()
		got, err := c.Tokens(t.Context(), host)
		// 20 s, 30 s of silence, a short wait, and ten times 20 s.
		if took := time.Since(begin); err != nil || len(got) != 10 || attempt != 2 || took < 250*time.Second || took > 253*time.Second {
			t.Errorf("%d tokens, %v, after %v and %d attempts", len(got), err, took, attempt)
		}
	})
}

// slowBody gives one element each twenty seconds.
type slowBody struct {
	ctx            context.Context
	elements, halt int
	given          int
}

func (b *slowBody) Read(p []byte) (int, error) {
	wait := 20 * time.Second
	if b.halt > 0 && b.given == b.halt {
		wait = time.Hour
	}
	select {
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	case <-time.After(wait):
	}
	b.given++
	switch {
	case b.given == 1:
		return copy(p, `{"token_infos":[{"token_id":"1"}`), nil
	case b.given < b.elements:
		return copy(p, fmt.Sprintf(`,{"token_id":"%d"}`, b.given)), nil
	case b.given == b.elements:
		return copy(p, fmt.Sprintf(`,{"token_id":"%d"}]}`, b.given)), nil
	default:
		return 0, io.EOF
	}
}

func (b *slowBody) Close() error { return nil }
