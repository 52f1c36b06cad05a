package databrickstest

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// secretInfo is an OAuth secret on the wire.
type secretInfo struct {
	ID         string   `json:"id"`
	Value      string   `json:"secret,omitempty"` // in the reply to its creation only
	Hash       string   `json:"secret_hash"`
	Status     string   `json:"status"`
	CreateTime string   `json:"create_time"`
	UpdateTime string   `json:"update_time"`
	ExpireTime string   `json:"expire_time,omitempty"`
	Scopes     []string `json:"scopes,omitempty"`
}

func (o *oauthSecret) info() secretInfo {
	info := secretInfo{
		ID:         o.ID,
		Hash:       o.Hash,
		Status:     "ACTIVE",
		CreateTime: stamp(o.CreateTime),
		UpdateTime: stamp(o.CreateTime),
		Scopes:     o.Scopes,
	}
	if !o.ExpireTime.IsZero() {
		info.ExpireTime = stamp(o.ExpireTime)
	}
	return info
}

// stamp writes a time as the API does: RFC 3339 in UTC, with milliseconds.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

func createSecret(r *request) (reply, *failure) {
	p, err := r.managed()
	if err != nil {
		return reply{}, err
	}
	var body struct {
		Lifetime *string  `json:"lifetime"`
		Scopes   []string `json:"scopes"`
	}
	if err := r.decode(&body); err != nil {
		return reply{}, err
	}
	spec := SecretSpec{Lifetime: MaxLifetime, Scopes: body.Scopes, CreateTime: r.now}
	if body.Lifetime != nil {
		if spec.Lifetime, err = parseLifetime(*body.Lifetime); err != nil {
			return reply{}, err
		}
	}
	for _, scope := range body.Scopes {
		if !scopeName.MatchString(scope) {
			return reply{}, invalid("scope %q is not a scope's name", scope)
		}
	}
	if r.server.behaviour.ignoreScopes {
		spec.Scopes = nil
	}
	o, full := r.server.addSecret(p, spec, r.caller.applicationID, r.now)
	if full != nil {
		return reply{}, fail(http.StatusBadRequest, "RESOURCE_EXHAUSTED", "%v", full)
	}
	info := o.info()
	info.Value = o.Value
	return reply{http.StatusOK, info}, nil
}

var scopeName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.:-]*$`)

// parseLifetime reads a lifetime as the API writes it: whole seconds and "s".
func parseLifetime(text string) (time.Duration, *failure) {
	digits, ok := strings.CutSuffix(text, "s")
	seconds, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil {
		return 0, invalid("lifetime %q is not a number of whole seconds followed by s", text)
	}
	lifetime := time.Duration(seconds) * time.Second
	if lifetime <= 0 || lifetime > MaxLifetime {
		return 0, invalid("lifetime %q is not from 1s to %ds", text, int64(MaxLifetime/time.Second))
	}
	return lifetime, nil
}

func deleteSecret(r *request) (reply, *failure) {
	p, err := r.managed()
	if err != nil {
		return reply{}, err
	}
	id := r.param("secret")
	for _, o := range p.now.secrets {
		if o.ID == id && (o.liveAt(r.now) || r.server.behaviour.listExpired) {
			r.server.deleteSecret(p, o)
			return reply{http.StatusOK, struct{}{}}, nil
		}
	}
	return reply{}, missing("OAuth secret %s of service principal %d does not exist", id, p.id)
}

type secretList struct {
	Secrets []secretInfo `json:"secrets,omitempty"`
	Next    string       `json:"next_page_token,omitempty"`
}

// listSecrets answers one page. Secrets come in the order of their ids, that
// is in no order. A full page always has a token for a next one, if only an
// empty one; and the second page is always empty, with a token when more
// follow: a page's length proves nothing.
func listSecrets(r *request) (reply, *failure) {
	p, err := r.managed()
	if err != nil {
		return reply{}, err
	}
	page, err := r.secretPage(p)
	if err != nil {
		return reply{}, err
	}
	if page.first() && p.lagging {
		p.lagging, page.stale = false, true
	}
	rows := r.listableSecrets(p.view(page.stale || r.stale), page.after)
	if page.gap {
		page.gap = false
		if len(rows) == 0 {
			return reply{http.StatusOK, secretList{}}, nil
		}
		return reply{http.StatusOK, secretList{Next: page.token()}}, nil
	}
	var list secretList
	for _, o := range rows[:min(page.size, len(rows))] {
		list.Secrets = append(list.Secrets, o.info())
	}
	if len(list.Secrets) == page.size {
		page.gap = page.first()
		page.after = list.Secrets[page.size-1].ID
		list.Next = page.token()
	}
	return reply{http.StatusOK, list}, nil
}

// listableSecrets returns a view's secrets with ids after the given one, by id.
func (r *request) listableSecrets(v view, after string) []*oauthSecret {
	var rows []*oauthSecret
	for _, o := range v.secrets {
		if o.ID > after && (o.liveAt(r.now) || r.server.behaviour.listExpired) {
			rows = append(rows, o)
		}
	}
	slices.SortFunc(rows, func(a, b *oauthSecret) int { return cmp.Compare(a.ID, b.ID) })
	return rows
}

// secretPage is where a listing stands; a page token is one in writing.
type secretPage struct {
	principal int64
	size      int
	after     string // the last id shown
	stale     bool   // the listing began with the state before a write
	gap       bool   // this is the page that is empty on purpose
}

func (g secretPage) first() bool { return g.after == "" }

func (g secretPage) token() string {
	text := fmt.Sprintf("%d/%d/%s/%t/%t", g.principal, g.size, g.after, g.stale, g.gap)
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

func (r *request) secretPage(p *principal) (secretPage, *failure) {
	page := secretPage{principal: p.id, size: r.server.config.PageSize}
	if text := r.query.Get("page_size"); text != "" {
		size, err := strconv.Atoi(text)
		if err != nil || size <= 0 {
			return page, invalid("page_size %q is not a positive number", text)
		}
		page.size = min(page.size, size)
	}
	text := r.query.Get("page_token")
	if text == "" {
		return page, nil
	}
	from, err := parsePageToken(text)
	if err != nil || from.principal != page.principal {
		return page, invalid("page_token %q is not one of this listing", text)
	}
	if from.size != page.size {
		return page, invalid("page_size differs from the previous page's")
	}
	return from, nil
}

func parsePageToken(token string) (secretPage, error) {
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return secretPage{}, err
	}
	part := strings.Split(string(text), "/")
	if len(part) != 5 || part[2] == "" {
		return secretPage{}, errors.New("not a page token")
	}
	var page secretPage
	var errs [4]error
	page.principal, errs[0] = strconv.ParseInt(part[0], 10, 64)
	page.size, errs[1] = strconv.Atoi(part[1])
	page.after = part[2]
	page.stale, errs[2] = strconv.ParseBool(part[3])
	page.gap, errs[3] = strconv.ParseBool(part[4])
	return page, errors.Join(errs[:]...)
}
