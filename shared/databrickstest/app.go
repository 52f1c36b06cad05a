package databrickstest

import (
	"net/http"
	"slices"
	"time"
)

// TokenAccess is how long the tokens of an OAuth app live. Zero is not told.
type TokenAccess struct {
	AccessTTL, RefreshTTL, SessionTTL time.Duration
	SingleUseRefresh                  bool
}

// CustomApp is an OAuth app that somebody registered with the account.
type CustomApp struct {
	// ID, ClientID and CreateTime are set when the app is added, the last only
	// if it is zero.
	ID, ClientID string
	CreateTime   time.Time
	Name         string
	Confidential bool
	RedirectURLs []string
	Scopes       []string
	UserScopes   []string
	// CreatedBy is the id of who registered it; there need not be anybody of
	// that id any more.
	CreatedBy int64
	// Access is nil when the app has no policy of its own.
	Access *TokenAccess
}

// PublishedApp is an OAuth app of Databricks or a partner that was enabled in
// the account.
type PublishedApp struct {
	// ID and CreateTime are as with [CustomApp].
	ID         string
	CreateTime time.Time
	AppID      string
	Name       string
	CreatedBy  int64
	Access     *TokenAccess
}

// AddCustomApp registers an OAuth app with the account.
func (s *Server) AddCustomApp(app CustomApp) CustomApp {
	now := s.config.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	app.ID, app.ClientID = s.source.uuid(), s.source.uuid()
	if app.CreateTime.IsZero() {
		app.CreateTime = now
	}
	app.RedirectURLs = slices.Clone(app.RedirectURLs)
	app.Scopes, app.UserScopes = slices.Clone(app.Scopes), slices.Clone(app.UserScopes)
	s.apps.put(app.ID, &app, s.behaviour.lagReads)
	return app
}

// AddPublishedApp enables a published OAuth app in the account.
func (s *Server) AddPublishedApp(app PublishedApp) PublishedApp {
	now := s.config.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	app.ID = s.source.uuid()
	if app.CreateTime.IsZero() {
		app.CreateTime = now
	}
	s.publishedApps.put(app.ID, &app, s.behaviour.lagReads)
	return app
}

// RemoveApp takes an OAuth app out of the account, custom or published.
func (s *Server) RemoveApp(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apps.put(id, nil, s.behaviour.lagReads)
	s.publishedApps.put(id, nil, s.behaviour.lagReads)
}

type tokenAccessInfo struct {
	AccessTTL  int64 `json:"access_token_ttl_in_minutes,omitempty"`
	RefreshTTL int64 `json:"refresh_token_ttl_in_minutes,omitempty"`
	SessionTTL int64 `json:"absolute_session_lifetime_in_minutes,omitempty"`
	SingleUse  bool  `json:"enable_single_use_refresh_tokens,omitempty"`
}

func (a *TokenAccess) info() *tokenAccessInfo {
	if a == nil {
		return nil
	}
	return &tokenAccessInfo{
		AccessTTL:  int64(a.AccessTTL / time.Minute),
		RefreshTTL: int64(a.RefreshTTL / time.Minute),
		SessionTTL: int64(a.SessionTTL / time.Minute),
		SingleUse:  a.SingleUseRefresh,
	}
}

type customAppInfo struct {
	ID           string           `json:"integration_id"`
	ClientID     string           `json:"client_id"`
	Name         string           `json:"name"`
	Confidential bool             `json:"confidential"`
	RedirectURLs []string         `json:"redirect_urls,omitempty"`
	Scopes       []string         `json:"scopes,omitempty"`
	UserScopes   []string         `json:"user_authorized_scopes,omitempty"`
	CreateTime   string           `json:"create_time"`
	CreatedBy    int64            `json:"created_by,omitempty"`
	CreatorName  string           `json:"creator_username,omitempty"`
	Access       *tokenAccessInfo `json:"token_access_policy,omitempty"`
}

func (r *request) customApp(a *CustomApp, creator bool) customAppInfo {
	info := customAppInfo{
		ID:           a.ID,
		ClientID:     a.ClientID,
		Name:         a.Name,
		Confidential: a.Confidential,
		RedirectURLs: a.RedirectURLs,
		Scopes:       a.Scopes,
		UserScopes:   a.UserScopes,
		CreateTime:   stamp(a.CreateTime),
		CreatedBy:    a.CreatedBy,
		Access:       a.Access.info(),
	}
	if p := r.server.principals[a.CreatedBy]; creator && p != nil && !p.now.deleted {
		info.CreatorName = p.name()
	}
	return info
}

func listCustomApps(r *request) (reply, *failure) {
	if err := r.requireAdmin(); err != nil {
		return reply{}, err
	}
	creator := r.query.Get("include_creator_username")
	if creator != "" && creator != "true" && creator != "false" {
		return reply{}, invalid("include_creator_username %q is neither true nor false", creator)
	}
	return appPage(r, "custom-apps", &r.server.apps, func(a *CustomApp) customAppInfo {
		return r.customApp(a, creator == "true")
	})
}

func getCustomApp(r *request) (reply, *failure) {
	if err := r.requireAdmin(); err != nil {
		return reply{}, err
	}
	a := r.server.apps.get(r.param("app"), r.stale)
	if a == nil {
		return reply{}, missing("integration %s does not exist", r.param("app"))
	}
	return reply{http.StatusOK, r.customApp(a, true)}, nil
}

type publishedAppInfo struct {
	ID         string           `json:"integration_id"`
	AppID      string           `json:"app_id"`
	Name       string           `json:"name"`
	CreateTime string           `json:"create_time"`
	CreatedBy  int64            `json:"created_by,omitempty"`
	Access     *tokenAccessInfo `json:"token_access_policy,omitempty"`
}

func listPublishedApps(r *request) (reply, *failure) {
	if err := r.requireAdmin(); err != nil {
		return reply{}, err
	}
	return appPage(r, "published-apps", &r.server.publishedApps, func(a *PublishedApp) publishedAppInfo {
		return publishedAppInfo{a.ID, a.AppID, a.Name, stamp(a.CreateTime), a.CreatedBy, a.Access.info()}
	})
}

func appPage[T, W any](r *request, listing string, g *register[T], wire func(*T) W) (reply, *failure) {
	size, err := r.pageSize()
	if err != nil {
		return reply{}, err
	}
	apps, next, err := page(r, listing, size, g, wire)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, struct {
		Apps []W    `json:"apps,omitempty"`
		Next string `json:"next_page_token,omitempty"`
	}{apps, next}}, nil
}
