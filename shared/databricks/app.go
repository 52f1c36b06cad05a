package databricks

import (
	"context"
	"errors"
	"net/url"
	"time"
)

// App is an OAuth application that is registered with the account.
type App struct {
	// ID is the integration's id.
	ID       string
	ClientID string
	Name     string
	// Published is an application of Databricks' own.
	Published    bool
	RedirectURLs []string
	// Scopes are those that it may ask for, UserScopes those that its users
	// consent to.
	Scopes, UserScopes []string
	// CreatorID is a SCIM id of the account, empty if not told; Creator is the
	// user name, empty if not told or if nobody has that id any more.
	CreatorID, Creator string
	CreateTime         time.Time
	// AccessTTL, RefreshTTL and SessionTTL are lives of its tokens, zero for
	// Databricks' default.
	AccessTTL, RefreshTTL, SessionTTL time.Duration
	// SingleUse tells that a refresh token works once.
	SingleUse bool
}

type appReply struct {
	IntegrationID string   `json:"integration_id"`
	ClientID      string   `json:"client_id"`
	AppID         string   `json:"app_id"` // of a published one
	Name          string   `json:"name"`
	RedirectURLs  []string `json:"redirect_urls"`
	Scopes        []string `json:"scopes"`
	UserScopes    []string `json:"user_authorized_scopes"`
	CreatedBy     int64    `json:"created_by"`
	Creator       string   `json:"creator_username"`
	CreateTime    string   `json:"create_time"`
	Policy        struct {
		AccessMinutes  int  `json:"access_token_ttl_in_minutes"`
		RefreshMinutes int  `json:"refresh_token_ttl_in_minutes"`
		SessionMinutes int  `json:"absolute_session_lifetime_in_minutes"`
		SingleUse      bool `json:"enable_single_use_refresh_tokens"`
	} `json:"token_access_policy"`
}

func (r appReply) decode(published bool) (App, error) {
	if r.IntegrationID == "" {
		return App{}, errors.New("an OAuth app has no integration id")
	}
	created, err := parseTime(r.CreateTime)
	if err != nil {
		return App{}, errors.New("an OAuth app's create_time is not a time")
	}
	client := r.ClientID
	if client == "" {
		client = r.AppID
	}
	return App{
		ID: r.IntegrationID, ClientID: client, Name: redact(r.Name), Published: published,
		RedirectURLs: r.RedirectURLs, Scopes: r.Scopes, UserScopes: r.UserScopes,
		CreatorID: formatID(r.CreatedBy), Creator: r.Creator, CreateTime: created,
		AccessTTL: minutes(r.Policy.AccessMinutes), RefreshTTL: minutes(r.Policy.RefreshMinutes), SessionTTL: minutes(r.Policy.SessionMinutes),
		SingleUse: r.Policy.SingleUse,
	}, nil
}

func minutes(n int) time.Duration { return time.Duration(n) * time.Minute }

// CustomApps lists the applications that somebody registered with the account.
func (c *Client) CustomApps(ctx context.Context, account Host) ([]App, error) {
	return c.apps(ctx, account, "list the custom OAuth apps", "custom-app-integrations", url.Values{"include_creator_username": {"true"}})
}

// PublishedApps lists the applications of Databricks' own that the account has
// switched on.
func (c *Client) PublishedApps(ctx context.Context, account Host) ([]App, error) {
	return c.apps(ctx, account, "list the published OAuth apps", "published-app-integrations", nil)
}

func (c *Client) apps(ctx context.Context, account Host, op, kind string, query url.Values) ([]App, error) {
	type page struct {
		Apps []appReply `json:"apps"`
		Next string     `json:"next_page_token"`
	}
	var all []App
	err := pages(ctx, c, account, op, account.accountURL()+"/oauth2/"+kind, query, maxListPages, func(reply page) (string, error) {
		for _, r := range reply.Apps {
			app, err := r.decode(kind == "published-app-integrations")
			if err != nil {
				return "", err
			}
			all = append(all, app)
		}
		return reply.Next, nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}
