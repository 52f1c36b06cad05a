package databricks

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Token is a personal access token as a workspace's admin sees it, without its
// value.
type Token struct {
	ID      string
	Comment string
	// OwnerID and CreatorID are SCIM ids, empty if not told. The owner is whom
	// the token acts as.
	OwnerID, CreatorID string
	// CreatedBy is the creator's user name.
	CreatedBy   string
	WorkspaceID int64
	CreateTime  time.Time
	// ExpireTime is zero for a token that does not expire.
	ExpireTime time.Time
	// LastUsed is accurate to a day; zero is never, or not known.
	LastUsed time.Time
	// Scopes restrict the token; none is unrestricted.
	Scopes []string
	// Autoscope is how far Databricks is with watching the token, without the
	// prefix AUTOSCOPE_STATE_. Inferred are the scopes that it was seen to
	// need since, Backfilled those from the time before.
	Autoscope            string
	Inferred, Backfilled []string
}

type tokenReply struct {
	ID          string   `json:"token_id"`
	Comment     string   `json:"comment"`
	CreatorID   int64    `json:"created_by_id"`
	CreatedBy   string   `json:"created_by_username"`
	CreateTime  int64    `json:"creation_time"`
	ExpireTime  int64    `json:"expiry_time"`
	OwnerID     int64    `json:"owner_id"`
	WorkspaceID int64    `json:"workspace_id"`
	LastUsed    int64    `json:"last_used_day"`
	Scopes      []string `json:"scopes"`
	Autoscope   string   `json:"autoscope_state"`
	Inferred    []string `json:"inferred_scopes"`
	Backfilled  []string `json:"backfill_scopes"`
}

func (r tokenReply) decode() (Token, error) {
	if !idPattern.MatchString(r.ID) {
		return Token{}, errors.New("a token has no proper id")
	}
	return Token{
		ID: r.ID, Comment: redact(r.Comment), OwnerID: formatID(r.OwnerID), CreatorID: formatID(r.CreatorID), CreatedBy: r.CreatedBy,
		WorkspaceID: r.WorkspaceID, CreateTime: fromMillis(r.CreateTime), ExpireTime: fromMillis(r.ExpireTime),
		LastUsed: fromMillis(r.LastUsed), Scopes: r.Scopes, Autoscope: strings.TrimPrefix(r.Autoscope, "AUTOSCOPE_STATE_"),
		Inferred: r.Inferred, Backfilled: r.Backfilled,
	}, nil
}

// fromMillis reads a time; one that is absent or -1 is never.
func fromMillis(ms int64) time.Time {
	if ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func formatID(id int64) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatInt(id, 10)
}

func (h Host) tokensURL() string { return h.URL + "/api/2.0/token-management/tokens" }

// Tokens lists all personal access tokens of a workspace. The list has no
// pages and is decoded as it arrives.
func (c *Client) Tokens(ctx context.Context, workspace Host) ([]Token, error) {
	r := request{op: "list the personal access tokens", url: workspace.tokensURL()}
	var all []Token
	err := stream(ctx, c, workspace, r, "token_infos", func() { all = nil }, func(reply tokenReply) error {
		token, err := reply.decode()
		all = append(all, token)
		return err
	})
	if err != nil {
		return nil, err
	}
	return slices.Clip(all), nil
}

// Token reads one personal access token.
func (c *Client) Token(ctx context.Context, workspace Host, id string) (Token, error) {
	const op = "read the personal access token"
	var reply struct {
		Token tokenReply `json:"token_info"`
	}
	err := c.call(ctx, workspace, request{op: op, method: http.MethodGet, url: workspace.tokensURL() + "/" + url.PathEscape(id)}, &reply)
	if err != nil {
		return Token{}, err
	}
	token, err := reply.Token.decode()
	if err == nil && token.ID != id {
		err = errors.New("the reply is about another token")
	}
	if err != nil {
		return Token{}, &Error{Op: op, Host: workspace.URL, kind: ErrUncertain, Message: err.Error()}
	}
	return token, nil
}

// DeleteToken revokes a personal access token; one that is gone already is no
// error.
func (c *Client) DeleteToken(ctx context.Context, workspace Host, id string) error {
	err := c.call(ctx, workspace, request{
		op: "delete the personal access token", method: http.MethodDelete, url: workspace.tokensURL() + "/" + url.PathEscape(id),
	}, nil)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// SetTokenScopes replaces a personal access token's scopes in place. No scopes
// would make it unrestricted and are refused.
func (c *Client) SetTokenScopes(ctx context.Context, workspace Host, id string, scopes []string) error {
	const op = "narrow the personal access token"
	if len(scopes) == 0 {
		return &Error{Op: op, Host: workspace.URL, kind: ErrRejected, unsent: true, Message: "without scopes it would be unrestricted"}
	}
	body := struct {
		Token struct {
			Scopes []string `json:"scopes"`
		} `json:"token"`
		Mask string `json:"update_mask"`
	}{Mask: "scopes"}
	body.Token.Scopes = scopes
	return c.call(ctx, workspace, request{
		op: op, method: http.MethodPatch, url: workspace.tokensURL() + "/" + url.PathEscape(id), body: body,
	}, nil)
}
