package databrickstest

import (
	"net/http"
	"time"
)

// maxTokens is how many personal access tokens an identity may have in one
// workspace.
const maxTokens = 600

// newToken is the body of a creation.
type newToken struct {
	Comment          string   `json:"comment"`
	LifetimeSeconds  *int64   `json:"lifetime_seconds"`
	Scopes           []string `json:"scopes"`
	AutoscopeEnabled bool     `json:"autoscope_enabled"`
}

// issuePersonalToken makes a token of owner as the body asks.
func (r *request) issuePersonalToken(owner *principal, body newToken) (*token, *failure) {
	w := r.site.workspace
	if w.conf[confTokensEnabled] == "false" {
		return nil, denied("personal access tokens are disabled in workspace %d", w.ID)
	}
	if err := checkScopes(body.Scopes); err != nil {
		return nil, err
	}
	longest := w.maxTokenLifetime()
	spec := TokenSpec{
		Comment:    body.Comment,
		Lifetime:   longest,
		Scopes:     body.Scopes,
		CreateTime: r.now,
		CreatedBy:  r.caller.id,
		Autoscope:  AutoscopeDisabled,
	}
	switch {
	case len(body.Scopes) > 0:
		spec.Autoscope = AutoscopeUserSelected
	case body.AutoscopeEnabled:
		spec.Autoscope = AutoscopeRunning
	}
	if s := body.LifetimeSeconds; s != nil {
		if *s <= 0 || *s > int64(longest/time.Second) {
			return nil, invalid("lifetime_seconds %d is not from 1 to %d", *s, int64(longest/time.Second))
		}
		spec.Lifetime = time.Duration(*s) * time.Second
	}
	has := 0
	for t := range w.tokens.all(false) {
		if t.owner == owner && t.liveAt(r.now) {
			has++
		}
	}
	if has >= maxTokens {
		return nil, fail(http.StatusBadRequest, "QUOTA_EXCEEDED", "%s has %d tokens in workspace %d, the most that there may be", owner, has, w.ID)
	}
	return r.server.addToken(w, owner, r.caller, spec, r.now), nil
}

func createOBOToken(r *request) (reply, *failure) {
	if err := r.requireAdmin(); err != nil {
		return reply{}, err
	}
	var body struct {
		ApplicationID string `json:"application_id"`
		newToken
	}
	if err := r.decode(&body); err != nil {
		return reply{}, err
	}
	owner := r.server.byApplication[body.ApplicationID]
	if owner == nil || owner.now.deleted || !r.knows(owner) {
		return reply{}, missing("service principal %s does not exist", body.ApplicationID)
	}
	t, err := r.issuePersonalToken(owner, body.newToken)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, struct {
		Value string           `json:"token_value"`
		Info  managedTokenInfo `json:"token_info"`
	}{t.Value, t.managedInfo()}}, nil
}

func createOwnToken(r *request) (reply, *failure) {
	var body newToken
	if err := r.decode(&body); err != nil {
		return reply{}, err
	}
	t, err := r.issuePersonalToken(r.caller, body)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, struct {
		Value string    `json:"token_value"`
		Info  tokenInfo `json:"token_info"`
	}{t.Value, t.info()}}, nil
}

func listOwnTokens(r *request) (reply, *failure) {
	list := struct {
		Tokens []tokenInfo `json:"token_infos,omitempty"`
	}{}
	for t := range r.tokenList {
		if t.owner == r.caller {
			list.Tokens = append(list.Tokens, t.info())
		}
	}
	return reply{http.StatusOK, list}, nil
}

func deleteOwnToken(r *request) (reply, *failure) {
	var body struct {
		ID string `json:"token_id"`
	}
	if err := r.decode(&body); err != nil {
		return reply{}, err
	}
	t, err := r.existingToken(body.ID)
	if err != nil || t.owner != r.caller {
		return reply{}, missing("token %s does not exist", body.ID)
	}
	r.site.workspace.tokens.put(t.ID, nil, r.server.behaviour.lagReads)
	return reply{http.StatusOK, struct{}{}}, nil
}
