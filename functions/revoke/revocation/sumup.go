package revocation

import (
	"fmt"
	"slices"
	"time"
)

// tokenLife is how long an access token lives that Databricks has issued from
// an OAuth secret. Whether deleting the secret ends it is not documented.
const tokenLife = time.Hour

// sumUp says what is still alive, and what the operator does next.
func (i *invocation) sumUp(s *situation) {
	t := s.target
	off := t.known && !t.active
	foreign := 0
	for _, l := range s.sort() {
		a := Alive{What: string(l.kind) + " " + l.ID}
		if l.owner != nil {
			a.What += " of " + l.owner.secret.Name
		}
		if !l.ExpireTime.IsZero() {
			a.Until = &l.ExpireTime
		}
		switch {
		case off:
			a.Why = "it is refused while the service principal is switched off"
		case l.kind == kindOther:
			a.Why = "the request is not about that managed secret"
		case l.kind == kindPerhaps:
			foreign++
			a.Why = fmt.Sprintf("no version records it, and it may be what somebody stored by hand in %s; include_foreign deletes it too", l.owner.secret.Name)
		case l.kind == kindForeign:
			foreign++
			a.Why = "somebody else made it; include_foreign deletes it too"
		case l.ID == s.issued[l.owner.secret.ARN]:
			a.Why = "it was just issued, and readers get it"
		case l.kind == kindCurrent:
			a.Why = "it is current, and readers get it"
		case s.mayBeInHand(l):
			a.Why = "another run has just issued it; sweeps remove it if no version comes to hold it"
		default:
			a.Why = "it was not asked for, or could not be deleted"
		}
		i.reply.Alive = append(i.reply.Alive, a)
	}
	if !i.lastDeletion.IsZero() && !off {
		until := i.lastDeletion.Add(tokenLife)
		i.reply.Alive = append(i.reply.Alive, Alive{
			What: "access tokens that were issued from what was deleted", Until: &until,
			Why: "Databricks does not say that deleting an OAuth secret ends them; lockout does",
		})
	}
	i.reply.Next = i.next(s, off, foreign)
}

func (i *invocation) next(s *situation, off bool, foreign int) []string {
	t := s.target
	var next []string
	add := func(format string, args ...any) { next = append(next, fmt.Sprintf(format, args...)) }
	switch {
	case len(i.reply.Failures) == 0:
	case i.unsettled && !i.req.IncludeForeign:
		add("send the same request again with \"include_foreign\":true, if all may go that it may be; otherwise find out in Databricks which it is, and delete it there")
	default:
		if id := i.remaining(s); i.req.Mode == Replace && id != "" {
			add(`send {"mode":"replace","oauth_secret_id":%q,"reason":"…"}: the new credential is current, and what is left is deleted without issuing another`, id)
		} else {
			add("send the same request again: it continues")
		}
	}
	switch i.req.Mode {
	case Replace:
		add("nothing for the application, if it reads its secret again when it is refused; otherwise restart it")
	case Revoke, Lockout:
		if i.held(s) {
			add("the application has no credential now; when it may have one, send %s", i.releaseRequest(t))
		}
	case Release:
		if len(i.reply.Steps) == 0 {
			add("nothing is held here")
		}
		add("restart what does not read its secret again when it is refused")
	}
	if i.req.Mode != Release {
		add("look in the audit log for what %s did, and for credentials that it made", t.clientID)
		add(`its personal access tokens are apart: {"mode":"revoke","tokens_of":%q,"host":"https://<workspace>","reason":"…"}`, t.clientID)
	}
	if foreign > 0 && !off {
		add("find out who made the OAuth secrets that are somebody else's: %d of them", foreign)
	}
	if i.req.Mode == Lockout && t.host.AccountID == "" {
		add("the principal is switched off in this workspace; if it is in others, do the same there or in the account console")
	}
	return next
}

// remaining is an OAuth secret that a replacement has left behind though the
// new one is there, empty if there is none.
func (i *invocation) remaining(s *situation) string {
	for _, l := range s.sort() {
		if l.kind.ours() && l.kind != kindCurrent && s.issued[l.owner.secret.ARN] != "" && l.ID != s.issued[l.owner.secret.ARN] {
			return l.ID
		}
	}
	return ""
}

func (i *invocation) held(s *situation) bool {
	return len(s.target.secrets) == 0 && i.req.Mode == Lockout ||
		slices.ContainsFunc(s.target.secrets, func(m *managed) bool { return m.secret.Hold != nil })
}

func (i *invocation) releaseRequest(t *target) string {
	if len(t.secrets) == 1 {
		return fmt.Sprintf(`{"mode":"release","secret":%q,"reason":"…"}`, t.secrets[0].secret.Name)
	}
	where := ""
	if len(t.secrets) == 0 {
		where = fmt.Sprintf(`,"host":%q`, t.host.URL)
		if t.host.AccountID != "" {
			where += fmt.Sprintf(`,"account_id":%q`, t.host.AccountID)
		}
	}
	return fmt.Sprintf(`{"mode":"release","service_principal":%q%s,"reason":"…"}`, t.clientID, where)
}
