package revocation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/trail"
)

// deleters is how many tokens are deleted at once.
const deleters = 8

// revokeTokens deletes personal access tokens of one workspace.
func (i *invocation) revokeTokens(ctx context.Context) error {
	host := databricks.Host{URL: i.req.Host}
	if err := i.Allowed.Check(host.URL); err != nil {
		return refusal("host: %w", err)
	}
	tokens, byOthers, err := i.findTokens(ctx, host)
	if err != nil {
		return err
	}
	if err := i.protectTokens(ctx, host, tokens); err != nil {
		return err
	}
	i.reply.Principal = &Principal{Name: i.req.TokensOf, Host: host.URL}
	if i.req.TokenID != "" {
		i.reply.Principal.Name = tokens[0].CreatedBy
	}
	slices.SortFunc(tokens, func(a, b databricks.Token) int { return b.CreateTime.Compare(a.CreateTime) })
	for _, t := range tokens {
		i.reply.Before = append(i.reply.Before, describeToken(t))
		i.reply.Steps = append(i.reply.Steps, Step{Action: DeleteToken, What: t.ID, Outcome: Planned})
	}
	for _, t := range byOthers {
		a := Alive{What: "personal access token " + t.ID, Why: fmt.Sprintf("%s made it for %s, who uses it; name it by token_id to delete it", i.req.TokensOf, t.OwnerID)}
		if !t.ExpireTime.IsZero() {
			a.Until = &t.ExpireTime
		}
		i.reply.Alive = append(i.reply.Alive, a)
	}
	if i.req.DryRun {
		i.reply.Next = []string{"send the request again without dry_run"}
		return nil
	}
	if err := i.begin(ctx, i.tokenEntry(host, "revocation", "")); err != nil {
		return err
	}
	i.deleteTokens(ctx, host)
	i.checkTokens(tokens)
	i.checkNewTokens(ctx, host)
	i.reply.Next = append(i.reply.Next, "the holder makes a new token if one is needed, or better uses OAuth")
	if i.req.TokensOf != "" {
		i.reply.Next = append(i.reply.Next, "tokens belong to one workspace: do the same in each other workspace")
	}
	if len(i.reply.Failures) > 0 {
		i.reply.Next = slices.Insert(i.reply.Next, 0, "send the same request again: it continues")
	}
	return nil
}

func (i *invocation) tokenEntry(host databricks.Host, action, id string) trail.Entry {
	e := i.entry(nil, action)
	e.Host, e.TokenID = host.URL, id
	if uuidPattern.MatchString(i.reply.Principal.Name) {
		e.ClientID = i.reply.Principal.Name
	} else {
		e.User = i.reply.Principal.Name
	}
	return e
}

// findTokens returns the tokens that the request names, and those that the
// same one made for others.
func (i *invocation) findTokens(ctx context.Context, host databricks.Host) (own, forOthers []databricks.Token, err error) {
	if id := i.req.TokenID; id != "" {
		t, err := i.Databricks.Token(ctx, host, id)
		if errors.Is(err, databricks.ErrNotFound) {
			return nil, nil, refusal("token_id: there is no personal access token %s at %s: it is gone, or belongs to another workspace", id, host)
		}
		if err != nil {
			return nil, nil, refusal("token_id: %w", err)
		}
		return []databricks.Token{t}, nil, nil
	}
	all, err := i.Databricks.Tokens(ctx, host)
	if err != nil {
		return nil, nil, refusal("tokens_of: %w", err)
	}
	own, forOthers, err = i.tokensOf(ctx, host, all)
	if err == nil && len(own) == 0 {
		err = refusal("tokens_of: %s has no personal access token at %s: looked at %d tokens", i.req.TokensOf, host, len(all))
	}
	return own, forOthers, err
}

// tokensOf are the tokens of the one that the request names, and those that the
// same one made for others.
func (i *invocation) tokensOf(ctx context.Context, host databricks.Host, all []databricks.Token) (own, forOthers []databricks.Token, err error) {
	who := i.req.TokensOf
	ids, err := i.idsOf(ctx, host, who, all)
	if err != nil {
		return nil, nil, err
	}
	for _, t := range all {
		owner := t.OwnerID
		if owner == "" {
			owner = t.CreatorID
		}
		made := strings.EqualFold(t.CreatedBy, who) || ids[t.CreatorID]
		switch {
		case ids[owner] || owner == "" && made:
			own = append(own, t)
		case made:
			forOthers = append(forOthers, t)
		}
	}
	return own, forOthers, nil
}

// idsOf are the numeric ids by which tokens name their owner.
func (i *invocation) idsOf(ctx context.Context, host databricks.Host, who string, all []databricks.Token) (map[string]bool, error) {
	ids := map[string]bool{}
	if !strings.ContainsFunc(who, func(c rune) bool { return c < '0' || c > '9' }) {
		ids[who] = true
	}
	for _, t := range all {
		if strings.EqualFold(t.CreatedBy, who) && t.CreatorID != "" {
			ids[t.CreatorID] = true
		}
	}
	if clientID := strings.ToLower(who); uuidPattern.MatchString(clientID) {
		p, err := i.Databricks.FindPrincipal(ctx, host, clientID)
		switch {
		case err == nil:
			ids[p.ID] = true
		case !errors.Is(err, databricks.ErrNotFound):
			// Tokens that others made for it would be overlooked.
			return nil, refusal("tokens_of: %w", err)
		}
	}
	return ids, nil
}

// protectTokens wants an acknowledgement for the rotator's own tokens.
func (i *invocation) protectTokens(ctx context.Context, host databricks.Host, tokens []databricks.Token) error {
	if i.req.Acknowledges(OwnIdentity) {
		return nil
	}
	own, err := i.Rotator(ctx)
	if err != nil {
		return refusal(`whether they are of the identity by which this product works could not be told: %w; if they may be, add "acknowledge": [%q]`, err, OwnIdentity)
	}
	mine := strings.EqualFold(i.req.TokensOf, own)
	id := ""
	if p, err := i.Databricks.FindPrincipal(ctx, host, own); err == nil {
		id = p.ID
	}
	for _, t := range tokens {
		mine = mine || strings.EqualFold(t.CreatedBy, own) && (t.OwnerID == "" || t.OwnerID == t.CreatorID) || id != "" && t.OwnerID == id
	}
	if mine {
		return refusal(`they are of service principal %s, the identity by which this product works; add "acknowledge": [%q]`, own, OwnIdentity)
	}
	return nil
}

func describeToken(t databricks.Token) Credential {
	c := Credential{Kind: "personal access token", ID: t.ID}
	if !t.CreateTime.IsZero() {
		c.CreatedAt = &t.CreateTime
	}
	if !t.ExpireTime.IsZero() {
		c.ExpiresAt = &t.ExpireTime
	}
	return c
}

// deleteTokens carries out the planned steps, several at once.
func (i *invocation) deleteTokens(ctx context.Context, host databricks.Host) {
	slots := make(chan struct{}, deleters)
	var group sync.WaitGroup
	for n := range i.reply.Steps {
		st := &i.reply.Steps[n]
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			at := i.now()
			err := i.record(ctx, i.tokenEntry(host, string(DeleteToken), st.What), func(ctx context.Context) error {
				return i.Databricks.DeleteToken(ctx, host, st.What)
			})
			st.At, st.Outcome = &at, Done
			if err != nil {
				st.Outcome, st.Error = Failed, err.Error()
			}
		})
	}
	group.Wait()
}

// checkTokens says which tokens are still alive. What was deleted for certain
// is believed to be gone, whatever a list that lags may say.
func (i *invocation) checkTokens(tokens []databricks.Token) {
	for n, st := range i.reply.Steps {
		if st.Outcome == Done {
			continue
		}
		i.fail("delete token %s: %s", st.What, st.Error)
		a := Alive{What: "personal access token " + st.What, Why: "it could not be deleted"}
		if e := tokens[n].ExpireTime; !e.IsZero() {
			a.Until = &e
		}
		i.reply.Alive = append(i.reply.Alive, a)
	}
}

// checkNewTokens looks again: whoever holds one token can make others.
func (i *invocation) checkNewTokens(ctx context.Context, host databricks.Host) {
	if i.req.TokensOf == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	all, err := i.Databricks.Tokens(ctx, host)
	if err != nil {
		i.fail("whether others were made meanwhile could not be looked at: %v", err)
		return
	}
	now, _, err := i.tokensOf(ctx, host, all)
	if err != nil {
		i.fail("whether others were made meanwhile could not be told: %v", err)
	}
	for _, t := range now {
		if slices.ContainsFunc(i.reply.Steps, func(st Step) bool { return st.What == t.ID }) {
			continue
		}
		i.fail("personal access token %s was made meanwhile", t.ID)
		a := Alive{What: "personal access token " + t.ID, Why: "it was made while the others were deleted"}
		if !t.ExpireTime.IsZero() {
			a.Until = &t.ExpireTime
		}
		i.reply.Alive = append(i.reply.Alive, a)
	}
}
