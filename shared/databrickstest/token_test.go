package databrickstest_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/databricks/databricks-sdk-go/apierr"
	"github.com/databricks/databricks-sdk-go/client"
	"github.com/databricks/databricks-sdk-go/common/types/fieldmask"
	"github.com/databricks/databricks-sdk-go/config"
	"github.com/databricks/databricks-sdk-go/service/iam"
	"github.com/databricks/databricks-sdk-go/service/settings"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/faulttest"
)

// personalToken adds a token of an identity in the world's workspace.
func (w *world) personalToken(ownerID int64, spec databrickstest.TokenSpec) databrickstest.Token {
	w.t.Helper()
	token, err := w.AddToken(w.workspace, ownerID, spec)
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// someone is a person who is a plain member of the workspace.
func (w *world) someone(name string) databrickstest.Person {
	p := w.AddPerson(databrickstest.PersonSpec{UserName: name, DisplayName: "Some One"})
	w.Assign(p.ID, w.workspace, false)
	return p
}

// patSDK is the real SDK with a personal access token.
func patSDK(t *testing.T, w *world, token string, transport http.RoundTripper) *client.DatabricksClient {
	t.Helper()
	c, err := client.New(&config.Config{
		Host:                w.workspace.Host(),
		Token:               token,
		AuthType:            "pat",
		Credentials:         config.PatCredentials{},
		Loaders:             []config.Loader{bareLoader{}},
		HTTPTransport:       transport,
		RetryTimeoutSeconds: 1,
		HTTPTimeoutSeconds:  5,
		RateLimitPerSecond:  1000,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *world) workspaceSDK(t *testing.T, transport http.RoundTripper) *client.DatabricksClient {
	return sdk(t, w.workspace.Host(), "", w.manager.ApplicationID, w.mgrSecret.Value, transport)
}

func (w *world) accountSDK(t *testing.T, transport http.RoundTripper) *client.DatabricksClient {
	return sdk(t, w.AccountHost(), w.AccountID(), w.admin.ApplicationID, w.adminSecret.Value, transport)
}

var ignoreForced = cmp.FilterPath(func(p cmp.Path) bool {
	return p.Last().String() == ".ForceSendFields"
}, cmp.Ignore())

func TestSDKManagesTokens(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, transport http.RoundTripper) {
		ann := w.someone("ann@example.com")
		made := w.clock.now.Add(-100 * 24 * time.Hour)
		old := w.personalToken(ann.ID, databrickstest.TokenSpec{
			Comment: "laptop", CreateTime: made, NoExpiry: true, LastUsed: w.clock.now.Add(-50 * time.Hour),
			Autoscope: databrickstest.AutoscopeCompleted, Inferred: []string{"sql"}, Backfill: []string{"jobs"},
		})
		job := w.personalToken(w.app.ID, databrickstest.TokenSpec{
			CreateTime: made, Lifetime: 200 * 24 * time.Hour, Scopes: []string{"jobs"}, CreatedBy: ann.ID,
		})
		w.personalToken(w.app.ID, databrickstest.TokenSpec{CreateTime: made, Lifetime: 99 * 24 * time.Hour, Comment: "expired"})

		api := settings.NewTokenManagement(w.workspaceSDK(t, transport))
		want := []settings.TokenInfo{{
			TokenId: old.ID, Comment: "laptop", CreatedById: ann.ID, CreatedByUsername: ann.UserName, OwnerId: ann.ID,
			WorkspaceId: w.workspace.ID, CreationTime: made.UnixMilli(), ExpiryTime: -1,
			LastUsedDay:    time.Date(2027, 2, 27, 0, 0, 0, 0, time.UTC).UnixMilli(),
			AutoscopeState: iam.AutoscopeStateAutoscopeStateCompleted,
			InferredScopes: []string{"sql"}, BackfillScopes: []string{"jobs"},
		}, {
			TokenId: job.ID, CreatedById: ann.ID, CreatedByUsername: ann.UserName, OwnerId: w.app.ID,
			WorkspaceId: w.workspace.ID, CreationTime: made.UnixMilli(),
			ExpiryTime: made.Add(200 * 24 * time.Hour).UnixMilli(), Scopes: []string{"jobs"},
		}}
		got, err := api.ListAll(t.Context(), settings.ListTokenManagementRequest{})
		if diff := cmp.Diff(want, got, ignoreForced); diff != "" || err != nil {
			t.Errorf("list: %v (-want +got):\n%s", err, diff)
		}
		for name, request := range map[string]settings.ListTokenManagementRequest{
			"by id":   {CreatedById: ann.ID},
			"by name": {CreatedByUsername: "Ann@example.com"},
		} {
			if got, err := api.ListAll(t.Context(), request); len(got) != 2 || err != nil {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		if got, err := api.ListAll(t.Context(), settings.ListTokenManagementRequest{CreatedById: w.app.ID}); len(got) != 0 || err != nil {
			t.Errorf("created by nobody: %+v, %v", got, err)
		}
		one, err := api.Get(t.Context(), settings.GetTokenManagementRequest{TokenId: job.ID})
		if diff := cmp.Diff(&want[1], one.TokenInfo, ignoreForced); diff != "" || err != nil {
			t.Errorf("get: %v (-want +got):\n%s", err, diff)
		}

		narrowed, err := api.UpdateTokenManagement(t.Context(), settings.UpdateTokenManagementRequest{
			TokenId: old.ID, Token: settings.TokenInfo{Scopes: []string{"sql"}},
			UpdateMask: fieldmask.FieldMask{Paths: []string{"scopes"}},
		})
		if err != nil || !slices.Equal(narrowed.Scopes, []string{"sql"}) || narrowed.AutoscopeState != iam.AutoscopeStateAutoscopeStateUserSelected {
			t.Errorf("patch: %+v, %v", narrowed, err)
		}
		if now, ok := w.Token(old.ID); !ok || !slices.Equal(now.Scopes, []string{"sql"}) || now.Comment != "laptop" {
			t.Errorf("after the patch: %+v", now)
		}
		if err := api.Delete(t.Context(), settings.DeleteTokenManagementRequest{TokenId: old.ID}); err != nil {
			t.Errorf("delete: %v", err)
		}
		if err := api.Delete(t.Context(), settings.DeleteTokenManagementRequest{TokenId: old.ID}); !errors.Is(err, apierr.ErrNotFound) {
			t.Errorf("delete again: %v", err)
		}
		if _, ok := w.Token(old.ID); ok || len(w.Tokens(w.workspace)) != 1 {
			t.Error("the token is still there")
		}
	})
}

func TestSDKMakesTokens(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, transport http.RoundTripper) {
		admin := settings.NewTokenManagement(w.workspaceSDK(t, transport))
		made, err := admin.CreateOboToken(t.Context(), settings.CreateOboTokenRequest{
			ApplicationId: w.app.ApplicationID, Comment: "ci", LifetimeSeconds: 3600, Scopes: []string{"authentication"},
		})
		if err != nil {
			t.Fatal(err)
		}
		info := made.TokenInfo
		if info.OwnerId != w.app.ID || info.CreatedById != w.manager.ID || info.ExpiryTime-info.CreationTime != 3600_000 {
			t.Errorf("made %+v", info)
		}
		own := settings.NewTokens(patSDK(t, w, made.TokenValue, transport))
		mine, err := own.Create(t.Context(), settings.CreateTokenRequest{AutoscopeEnabled: true})
		if err != nil {
			t.Fatal(err)
		}
		listed, err := own.ListAll(t.Context())
		if err != nil || len(listed) != 2 || listed[1].TokenId != mine.TokenInfo.TokenId || listed[1].AutoscopeState != iam.AutoscopeStateAutoscopeStateRunning {
			t.Errorf("own tokens: %+v, %v", listed, err)
		}
		if used, _ := w.Token(info.TokenId); !used.LastUsed.Equal(time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("last used %v", used.LastUsed)
		}
		if err := own.Delete(t.Context(), settings.RevokeTokenRequest{TokenId: info.TokenId}); err != nil {
			t.Errorf("delete: %v", err)
		}
		if _, err := own.ListAll(t.Context()); !errors.Is(err, apierr.ErrUnauthenticated) {
			t.Errorf("a deleted token: %v", err)
		}
		issued := w.Issued()
		for _, value := range []string{made.TokenValue, mine.TokenValue} {
			if !slices.Contains(issued, value) {
				t.Errorf("%s was not noted as issued", value)
			}
		}
		watched := iam.NewCurrentUser(patSDK(t, w, mine.TokenValue, transport))
		if me, err := watched.Me(t.Context(), iam.MeRequest{}); err != nil || me.UserName != w.app.ApplicationID {
			t.Errorf("me: %+v, %v", me, err)
		}
		if _, err := settings.NewTokens(patSDK(t, w, mine.TokenValue, transport)).ListAll(t.Context()); err != nil {
			t.Error(err)
		}
		if seen, _ := w.Token(mine.TokenInfo.TokenId); !slices.Equal(seen.Inferred, []string{"authentication"}) {
			t.Errorf("inferred %q", seen.Inferred)
		}
	})
}

func TestTokenAuthenticates(t *testing.T) {
	me := func(w *world) string { return w.workspace.Host() + "/api/2.0/preview/scim/v2/Me" }
	tokens := func(w *world) string { return w.workspace.Host() + "/api/2.0/token-management/tokens" }
	tests := []struct {
		name   string
		spec   databrickstest.TokenSpec
		target func(*world) string
		change func(*world, databrickstest.Person, databrickstest.Token)
		status int
		says   string
	}{
		{name: "as it is", target: me, status: 200},
		{name: "with any scope", spec: databrickstest.TokenSpec{Scopes: []string{"sql"}}, target: me, status: 200},
		{name: "without expiry", spec: databrickstest.TokenSpec{NoExpiry: true}, target: me, status: 200},
		{
			name: "expired", spec: databrickstest.TokenSpec{Lifetime: time.Second}, target: me, status: 401, says: "expired",
			change: func(w *world, _ databrickstest.Person, _ databrickstest.Token) { w.clock.advance(time.Second) },
		},
		{
			name: "deleted", target: me, status: 401, says: "not known",
			change: func(w *world, _ databrickstest.Person, t databrickstest.Token) { w.DeleteToken(t.ID) },
		},
		{
			name: "inactive owner", target: me, status: 401, says: "user ann@example.com is not active",
			change: func(w *world, p databrickstest.Person, _ databrickstest.Token) { w.SetActive(p.ID, false) },
		},
		{
			name: "deleted owner", target: me, status: 401, says: "not active",
			change: func(w *world, p databrickstest.Person, _ databrickstest.Token) { w.DeletePerson(p.ID) },
		},
		{
			name: "on the account", status: 401, says: "not known",
			target: func(w *world) string { return w.accountScimURL() },
		},
		{
			name: "in another workspace", status: 401, says: "not known",
			target: func(w *world) string {
				return w.AddWorkspace("other").Host() + "/api/2.0/preview/scim/v2/Me"
			},
		},
		{name: "of no admin", target: tokens, status: 403, says: "user ann@example.com is not ADMIN"},
		{
			name: "of an admin", target: tokens, status: 200,
			change: func(w *world, p databrickstest.Person, _ databrickstest.Token) { w.Assign(p.ID, w.workspace, true) },
		},
		{name: "with another scope", spec: databrickstest.TokenSpec{Scopes: []string{"sql"}}, target: tokens, status: 403, says: "required scopes: authentication"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, databrickstest.Config{})
			ann := w.someone("ann@example.com")
			token := w.personalToken(ann.ID, test.spec)
			if test.change != nil {
				test.change(w, ann, token)
			}
			got := w.api(http.MethodGet, test.target(w), token.Value, "")
			if got.status != test.status || !strings.Contains(got.message(), test.says) {
				t.Errorf("answered %+v, want %d saying %q", got, test.status, test.says)
			}
		})
	}
}

func TestTokenRefusals(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	ann := w.someone("ann@example.com")
	mine := w.personalToken(ann.ID, databrickstest.TokenSpec{})
	theirs := w.personalToken(w.app.ID, databrickstest.TokenSpec{})
	host := w.workspace.Host()
	w.workspace.LimitTokens(30)
	const manage, own = "/api/2.0/token-management/", "/api/2.0/token/"
	tests := []struct {
		name, method, path, body string
		bearer                   string
		status                   int
		says                     string
	}{
		{"list as a member", http.MethodGet, manage + "tokens", "", mine.Value, 403, "ADMIN"},
		{"get as a member", http.MethodGet, manage + "tokens/" + mine.ID, "", mine.Value, 403, "ADMIN"},
		{"delete as a member", http.MethodDelete, manage + "tokens/" + mine.ID, "", mine.Value, 403, "ADMIN"},
		{"patch as a member", http.MethodPatch, manage + "tokens/" + mine.ID, `{}`, mine.Value, 403, "ADMIN"},
		{"on behalf as a member", http.MethodPost, manage + "on-behalf-of/tokens", `{}`, mine.Value, 403, "ADMIN"},
		{"no such creator", http.MethodGet, manage + "tokens?created_by_id=x", "", "", 400, "created_by_id"},
		{"no such token", http.MethodGet, manage + "tokens/abc", "", "", 404, "abc"},
		{"no mask", http.MethodPatch, manage + "tokens/" + mine.ID, `{"token":{"scopes":["sql"]}}`, "", 400, "update_mask"},
		{"mask of what is fixed", http.MethodPatch, manage + "tokens/" + mine.ID, `{"token":{},"update_mask":"scopes,owner_id"}`, "", 400, "owner_id"},
		{"odd scope", http.MethodPatch, manage + "tokens/" + mine.ID, `{"token":{"scopes":["S Q L"]},"update_mask":"scopes"}`, "", 400, "S Q L"},
		{"scope twice", http.MethodPatch, manage + "tokens/" + mine.ID, `{"token":{"scopes":["sql","sql"]},"update_mask":"scopes"}`, "", 400, "twice"},
		{"unknown field", http.MethodPatch, manage + "tokens/" + mine.ID, `{"token":{"scope":["sql"]},"update_mask":"scopes"}`, "", 400, "scope"},
		{"on behalf of a stranger", http.MethodPost, manage + "on-behalf-of/tokens", `{"application_id":"` + w.admin.ApplicationID + `"}`, "", 404, w.admin.ApplicationID},
		{"too long", http.MethodPost, own + "create", `{"lifetime_seconds":2592001}`, mine.Value, 400, "2592000"},
		{"no lifetime", http.MethodPost, own + "create", `{"lifetime_seconds":0}`, mine.Value, 400, "lifetime_seconds"},
		{"someone else's", http.MethodPost, own + "delete", `{"token_id":"` + theirs.ID + `"}`, mine.Value, 404, theirs.ID},
		{"unknown setting", http.MethodGet, "/api/2.0/workspace-conf?keys=x", "", "", 400, "x"},
		{"settings as a member", http.MethodGet, "/api/2.0/workspace-conf?keys=maxTokenLifetimeDays", "", mine.Value, 403, "ADMIN"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bearer := test.bearer
			if bearer == "" {
				bearer = w.asManager()
			}
			got := w.api(test.method, host+test.path, bearer, test.body)
			if got.status != test.status || !strings.Contains(got.message(), test.says) {
				t.Errorf("answered %+v, want %d saying %q", got, test.status, test.says)
			}
		})
	}
	if n := len(w.Tokens(w.workspace)); n != 2 {
		t.Errorf("%d tokens after refusals, want 2", n)
	}
	conf := w.api(http.MethodGet, host+"/api/2.0/workspace-conf?keys=maxTokenLifetimeDays,enableTokensConfig", w.asManager(), "")
	if diff := cmp.Diff(map[string]any{"maxTokenLifetimeDays": "30", "enableTokensConfig": nil}, conf.body); diff != "" {
		t.Errorf("workspace-conf (-want +got):\n%s", diff)
	}
	if got := w.api(http.MethodPost, host+own+"create", mine.Value, `{}`); got.status != 200 {
		t.Errorf("create without a lifetime: %+v", got)
	} else if made := w.Tokens(w.workspace)[2]; made.ExpireTime.Sub(made.CreateTime) != 30*24*time.Hour {
		t.Errorf("a token without a lifetime lives %v", made.ExpireTime.Sub(made.CreateTime))
	}
	w.workspace.EnableTokens(false)
	if got := w.api(http.MethodPost, host+own+"create", mine.Value, `{}`); got.status != 403 {
		t.Errorf("create while tokens are disabled: %+v", got)
	}
}

func TestTokenQuota(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	ann := w.someone("ann@example.com")
	var last databrickstest.Token
	for range 600 {
		last = w.personalToken(ann.ID, databrickstest.TokenSpec{})
	}
	target := w.workspace.Host() + "/api/2.0/token/create"
	if got := w.api(http.MethodPost, target, last.Value, `{}`); got.code() != "QUOTA_EXCEEDED" {
		t.Errorf("the 601st: %+v", got)
	}
	w.DeleteToken(w.Tokens(w.workspace)[0].ID)
	if got := w.api(http.MethodPost, target, last.Value, `{}`); got.status != 200 {
		t.Errorf("with room again: %+v", got)
	}
}

// A stale read shows the tokens before the last write, whichever it was.
func TestTokenStaleReads(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	first := w.personalToken(w.app.ID, databrickstest.TokenSpec{})
	second := w.personalToken(w.app.ID, databrickstest.TokenSpec{})
	target := w.workspace.Host() + "/api/2.0/token-management/tokens"
	listed := func() []string {
		var ids []string
		rows, _ := w.api(http.MethodGet, target, w.asManager(), "").body["token_infos"].([]any)
		for _, row := range rows {
			fields, _ := row.(map[string]any)
			id, _ := fields["token_id"].(string)
			if scopes, ok := fields["scopes"].([]any); ok {
				id += " " + scopes[0].(string)
			}
			ids = append(ids, id)
		}
		return ids
	}
	stale := func() []string {
		w.Faults().Add(faulttest.Fault{Op: databrickstest.OpListTokens, Kind: faulttest.StaleRead})
		return listed()
	}
	check := func(what string, got []string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("stale after creation", stale(), first.ID)
	w.api(http.MethodPatch, target+"/"+first.ID, w.asManager(), `{"token":{"scopes":["sql"]},"update_mask":"scopes"}`)
	check("stale after a patch", stale(), first.ID, second.ID)
	check("after a patch", listed(), first.ID+" sql", second.ID)
	w.api(http.MethodDelete, target+"/"+first.ID, w.asManager(), "")
	check("stale after a delete", stale(), first.ID+" sql", second.ID)
	check("after a delete", listed(), second.ID)

	w.LagReads(true)
	w.DeleteToken(second.ID)
	check("first listing while reads lag", listed(), second.ID)
	check("second listing while reads lag", listed())
	if got := w.Faults().Calls(); got[len(got)-1].Caller != w.manager.ApplicationID {
		t.Errorf("the caller is %q", got[len(got)-1].Caller)
	}
}

// A lost reply to a delete leaves the token gone and the caller in doubt, and
// a throttle leaves it there.
func TestTokenFaults(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	first := w.personalToken(w.app.ID, databrickstest.TokenSpec{})
	second := w.personalToken(w.app.ID, databrickstest.TokenSpec{})
	target := w.workspace.Host() + "/api/2.0/token-management/tokens/"
	w.asManager()
	w.Faults().Add(faulttest.Fault{Op: databrickstest.OpDeleteToken, Target: first.ID, Kind: faulttest.ReplyLost})
	if got := w.api(http.MethodDelete, target+second.ID, w.asManager(), ""); got.status != 200 {
		t.Errorf("delete of another: %+v", got)
	}
	if got := w.api(http.MethodDelete, target+first.ID, w.asManager(), ""); got.err == nil {
		t.Errorf("delete: %+v, want a lost reply", got)
	}
	if got := w.api(http.MethodDelete, target+first.ID, w.asManager(), ""); got.status != 404 {
		t.Errorf("delete again: %+v", got)
	}
	w.RateLimitCreates(1)
	create := func() int {
		return w.api(http.MethodPost, w.workspace.Host()+"/api/2.0/token/create", w.asManager(), `{}`).status
	}
	if first, second := create(), create(); first != 200 || second != 429 {
		t.Errorf("creates: %d, %d, want 200, 429", first, second)
	}
	w.RateLimitCreates(0)
	w.RateLimit(1)
	list := func() answer { return w.api(http.MethodGet, strings.TrimSuffix(target, "/"), w.asManager(), "") }
	if first, second := list(), list(); first.status != 200 || second.status != 429 || second.header.Get("Retry-After") != "1" {
		t.Errorf("lists: %+v, %+v, want 200, 429", first, second)
	}
}

// What a test may do to a token, as time and Databricks would.
func TestTokenLife(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	token := w.personalToken(w.app.ID, databrickstest.TokenSpec{Autoscope: databrickstest.AutoscopeRunning})
	at := time.Date(2027, 2, 3, 23, 59, 0, 0, time.UTC)
	now := func() databrickstest.Token {
		t.Helper()
		got, ok := w.Token(token.ID)
		if !ok {
			t.Fatal("the token is gone")
		}
		return got
	}
	w.UseToken(token.ID, at, "sql")
	w.UseToken(token.ID, at, "jobs")
	w.UseToken(token.ID, at, "sql")
	if got := now(); !got.LastUsed.Equal(at.Truncate(24*time.Hour)) || !slices.Equal(got.Inferred, []string{"sql", "jobs"}) {
		t.Errorf("used: %v, %q", got.LastUsed, got.Inferred)
	}
	w.SetAutoscope(token.ID, databrickstest.AutoscopeCompleted)
	w.UseToken(token.ID, at, "files")
	if got := now(); got.Autoscope != databrickstest.AutoscopeCompleted || !slices.Equal(got.Inferred, []string{"sql", "jobs"}) {
		t.Errorf("no longer watched: %s, %q", got.Autoscope, got.Inferred)
	}
	w.UseToken("x", at, "sql")
	w.SetAutoscope("x", databrickstest.AutoscopeRunning)
	w.DeleteToken("x")
	if n := len(w.Tokens(w.workspace)); n != 1 {
		t.Errorf("%d tokens", n)
	}
	if _, err := w.AddToken(w.workspace, 1, databrickstest.TokenSpec{}); err == nil {
		t.Error("nobody has a token")
	}
	w.clock.advance(databrickstest.MaxLifetime)
	if _, ok := w.Token(token.ID); ok || len(w.Tokens(w.workspace)) != 0 {
		t.Error("an expired token is there")
	}
	w.mgrSecret = w.secret(w.manager, databrickstest.SecretSpec{})
	target := w.workspace.Host() + "/api/2.0/token-management/tokens/" + token.ID
	if got := w.api(http.MethodGet, target, w.asManager(), ""); got.status != 404 {
		t.Errorf("get of an expired token: %+v", got)
	}
	w.ListExpired(true)
	if got := w.api(http.MethodGet, target, w.asManager(), ""); got.status != 200 {
		t.Errorf("get of an expired token while they are listed: %+v", got)
	}
}
