package databrickstest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// tokenInfo is a personal access token on the wire, as its owner sees it.
type tokenInfo struct {
	ID         string    `json:"token_id,omitempty"`
	Comment    string    `json:"comment,omitempty"`
	CreateTime int64     `json:"creation_time,omitempty"`
	ExpireTime int64     `json:"expiry_time,omitempty"` // -1 for never
	Scopes     []string  `json:"scopes,omitempty"`
	Autoscope  Autoscope `json:"autoscope_state,omitempty"`
	Inferred   []string  `json:"inferred_scopes,omitempty"`
	Backfill   []string  `json:"backfill_scopes,omitempty"`
}

// managedTokenInfo is what an admin sees of it besides.
type managedTokenInfo struct {
	tokenInfo
	CreatedByID   int64  `json:"created_by_id,omitempty"`
	CreatedByName string `json:"created_by_username,omitempty"`
	OwnerID       int64  `json:"owner_id,omitempty"`
	WorkspaceID   int64  `json:"workspace_id,omitempty"`
	LastUsedDay   int64  `json:"last_used_day,omitempty"`
}

func (t *token) info() tokenInfo {
	info := tokenInfo{
		ID:         t.ID,
		Comment:    t.Comment,
		CreateTime: t.CreateTime.UnixMilli(),
		ExpireTime: -1,
		Scopes:     t.Scopes,
		Autoscope:  t.Autoscope,
		Inferred:   t.Inferred,
		Backfill:   t.Backfill,
	}
	if !t.ExpireTime.IsZero() {
		info.ExpireTime = t.ExpireTime.UnixMilli()
	}
	return info
}

func (t *token) managedInfo() managedTokenInfo {
	info := managedTokenInfo{
		tokenInfo:     t.info(),
		CreatedByID:   t.creator.id,
		CreatedByName: t.creator.name(),
		OwnerID:       t.owner.id,
		WorkspaceID:   t.Workspace.ID,
	}
	if !t.LastUsed.IsZero() {
		info.LastUsedDay = t.LastUsed.UnixMilli()
	}
	return info
}

type tokenReply struct {
	Token managedTokenInfo `json:"token_info"`
}

func (r *request) listable(t *token) bool {
	return t.liveAt(r.now) || r.server.behaviour.listExpired
}

// tokenList yields the tokens of the workspace that a listing shows.
func (r *request) tokenList(yield func(*token) bool) {
	tokens := &r.site.workspace.tokens
	stale := tokens.beginListing() || r.stale
	for t := range tokens.all(stale) {
		if r.listable(t) && !yield(t) {
			return
		}
	}
}

// pathToken returns the token in the path.
func (r *request) pathToken() (*token, *failure) {
	if err := r.requireAdmin(); err != nil {
		return nil, err
	}
	return r.existingToken(r.param("token"))
}

func (r *request) existingToken(id string) (*token, *failure) {
	t := r.site.workspace.tokens.get(id, r.stale)
	if t == nil || !r.listable(t) {
		return nil, missing("token %s does not exist", id)
	}
	return t, nil
}

func listTokens(r *request) (reply, *failure) {
	if err := r.requireAdmin(); err != nil {
		return reply{}, err
	}
	var creator int64
	if text := r.query.Get("created_by_id"); text != "" {
		var err error
		if creator, err = strconv.ParseInt(text, 10, 64); err != nil {
			return reply{}, invalid("created_by_id %q is not a number", text)
		}
	}
	name := r.query.Get("created_by_username")
	list := struct {
		Tokens []managedTokenInfo `json:"token_infos,omitempty"`
	}{}
	for t := range r.tokenList {
		if (creator == 0 || t.creator.id == creator) && (name == "" || strings.EqualFold(t.creator.name(), name)) {
			list.Tokens = append(list.Tokens, t.managedInfo())
		}
	}
	return reply{http.StatusOK, list}, nil
}

func getToken(r *request) (reply, *failure) {
	t, err := r.pathToken()
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, tokenReply{t.managedInfo()}}, nil
}

func deleteToken(r *request) (reply, *failure) {
	t, err := r.pathToken()
	if err != nil {
		return reply{}, err
	}
	r.site.workspace.tokens.put(t.ID, nil, r.server.behaviour.lagReads)
	return reply{http.StatusOK, struct{}{}}, nil
}

// patchToken changes what update_mask names, the scopes or the comment.
func patchToken(r *request) (reply, *failure) {
	t, err := r.pathToken()
	if err != nil {
		return reply{}, err
	}
	var body struct {
		Token managedTokenInfo `json:"token"`
		Mask  string           `json:"update_mask"`
	}
	if err := r.decode(&body); err != nil {
		return reply{}, err
	}
	changed := *t
	for _, field := range strings.Split(body.Mask, ",") {
		switch field {
		case "scopes":
			if err := checkScopes(body.Token.Scopes); err != nil {
				return reply{}, err
			}
			changed.Scopes = body.Token.Scopes
			changed.Autoscope = AutoscopeUserSelected
		case "comment":
			changed.Comment = body.Token.Comment
		default:
			return reply{}, invalid("update_mask names %q, which cannot be changed", field)
		}
	}
	r.site.workspace.tokens.put(t.ID, &changed, r.server.behaviour.lagReads)
	return reply{http.StatusOK, changed.managedInfo()}, nil
}

func checkScopes(scopes []string) *failure {
	for i, scope := range scopes {
		if !scopeName.MatchString(scope) {
			return invalid("scope %q is not a scope's name", scope)
		}
		if slices.Contains(scopes[:i], scope) {
			return invalid("scope %q is given twice", scope)
		}
	}
	return nil
}
