package revocation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
)

// rounds bounds how often a revocation looks again and finds more to do: what
// another run had in hand while it looked first.
const rounds = 4

// revokeSecrets revokes OAuth secrets of one service principal.
func (i *invocation) revokeSecrets(ctx context.Context) error {
	t, err := i.resolve(ctx)
	if err != nil {
		return err
	}
	s := &situation{req: i.req, target: t}
	if err := i.look(ctx, s); err != nil {
		// A principal can be locked out without knowing what it has.
		if i.req.Mode != Lockout || t.id == "" {
			return refusal("%w", err)
		}
		i.fail("what the principal has could not be listed: %v", err)
	} else {
		s.learn()
		i.try(ctx, s)
		for _, m := range s.takeIn() {
			i.reply.Warnings = append(i.reply.Warnings, m.secret.Name+" holds, or may hold, what is to end here, so the request is about it too")
		}
	}
	steps, err := s.plan()
	if err != nil {
		return err
	}
	if err := i.protect(ctx, t, steps); err != nil {
		return err
	}
	i.reply.Principal = &Principal{ClientID: t.clientID, ID: t.id, Name: t.name, Host: t.host.URL}
	for _, m := range t.secrets {
		i.reply.Secrets = append(i.reply.Secrets, m.secret.Name)
	}
	before := s.sort()
	for _, l := range before {
		i.reply.Before = append(i.reply.Before, s.describe(l))
	}
	if i.req.DryRun {
		for _, p := range steps {
			i.reply.Steps = append(i.reply.Steps, Step{Action: p.action, What: p.what(t), Why: p.why, Outcome: Planned})
		}
		i.reply.Next = []string{"send the request again without dry_run"}
		return nil
	}
	if err := i.begin(ctx, i.entry(t, "revocation")); err != nil {
		return err
	}
	s.issued, s.gone, s.suspects, s.strangers = map[string]string{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, l := range before {
		s.strangers[l.ID] = l.kind == kindForeign || l.kind == kindPerhaps
		// What another run has just issued cannot be what leaked.
		s.suspects[l.ID] = l.kind.ours() && (l.kind == kindCurrent || !s.mayBeInHand(l))
	}
	trials := i.toProve(s)
	for _, m := range t.secrets {
		if v := s.valueOf(m.current.credential); i.req.Mode == Release && m.secret.Hold == nil && v.unclear() && v.untried != nil {
			i.fail("whether the current credential of %s works could not be tried: %v", m.secret.Name, v.untried)
		}
	}
	for round := 1; ; round++ {
		ok := i.apply(ctx, s, steps)
		if err := i.look(ctx, s); err != nil {
			i.fail("what is there now could not be looked at again: %v", err)
			break
		}
		if !ok {
			break
		}
		if steps, err = s.plan(); err != nil {
			i.fail("%v", err)
		}
		if len(steps) == 0 {
			break
		}
		if round == rounds {
			i.fail("other runs are at work on the same principal, and there is still something to do")
			break
		}
	}
	if l := t.leak; l != nil && i.req.Mode != Lockout && l.value.IsZero() && !s.gone[l.id] &&
		!slices.ContainsFunc(s.listed, func(o databricks.OAuthSecret) bool { return o.ID == l.id }) {
		i.fail("OAuth secret %s is not listed any more and was not deleted here, and a list may lag: send the request again; if it is not found then, it is gone", l.id)
	}
	i.prove(ctx, s, append(trials, i.showedLate(s, trials)...))
	i.sumUp(s)
	return nil
}

func (i *invocation) fail(format string, args ...any) {
	i.reply.Failures = append(i.reply.Failures, fmt.Sprintf(format, args...))
}

// look reads what the two clouds hold now: first what lives, and then which of
// it is current. What becomes current in between is then in the list, or too
// young to be in it.
func (i *invocation) look(ctx context.Context, s *situation) error {
	ctx, cancel := context.WithTimeout(ctx, 2*stepTimeout)
	defer cancel()
	s.now = i.now()
	t := s.target
	var err error
	if s.listed, err = i.Databricks.ListSecrets(ctx, t.host, t.id); err != nil {
		return err
	}
	return i.refresh(ctx, slices.Concat(t.secrets, t.others))
}

// refresh reads which version of each managed secret is current, and all
// versions that are new.
func (i *invocation) refresh(ctx context.Context, secrets []*managed) error {
	for _, m := range secrets {
		fresh, err := i.read(ctx, m.secret.ARN)
		if err != nil {
			return err
		}
		if fresh.current.credential.ClientID != m.current.credential.ClientID {
			return fmt.Errorf("secret %s changes while it is looked at", m.secret.Name)
		}
		m.secret, m.current = fresh.secret, fresh.current
		if hold, ok := i.holds[m.secret.ARN]; ok {
			m.secret.Hold = hold // a read may lag behind what was just set
		}
	}
	return i.remember(ctx, secrets...)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// apply carries a plan out. It returns false if a step failed. When another
// run has issued a credential at the same moment, it ends early: what else was
// planned may rest on what is not so any more.
func (i *invocation) apply(ctx context.Context, s *situation, steps []step) bool {
	ok := true
	stopped := ""
	unissued := map[*managed]bool{}
	for _, p := range steps {
		result := Step{Action: p.action, What: p.what(s.target), Why: p.why}
		switch {
		case stopped != "":
			result.Outcome, result.Error = Skipped, stopped
		case slices.ContainsFunc(p.after, func(m *managed) bool { return unissued[m] }):
			result.Outcome = Skipped
			result.Error = "there is no new credential, and this one is, or may become, the one that works; revoke or lockout deletes it all the same"
		default:
			at := i.now()
			got, err := i.do(ctx, s, p)
			result.At, result.Outcome, result.Result = &at, Done, got
			if err != nil {
				result.Outcome, result.Error = Failed, err.Error()
			}
		}
		i.reply.Steps = append(i.reply.Steps, result)
		if result.Outcome == Done && p.action == Issue && s.issued[p.m.secret.ARN] == "" {
			return ok
		}
		if result.Outcome == Done {
			continue
		}
		ok = false
		i.fail("%s %s: %s", p.action, p.what(s.target), result.Error)
		if p.action == Issue {
			unissued[p.m] = true
		}
		if p.action == Hold {
			i.reply.Warnings = append(i.reply.Warnings, fmt.Sprintf(
				"%s is not held: a sweep may issue a new credential for it; send the request again, by the secret's name if a sweep was faster, or set the tag %s on it", p.m.secret.Name, managedsecret.HoldKey))
		}
		if p.essential && stopped == "" {
			stopped = "an earlier step failed that it depends on"
		}
	}
	return ok
}

// what a step is done to.
func (p step) what(t *target) string {
	switch p.action {
	case SwitchOff, SwitchOn:
		return t.String()
	case Hold, Unhold:
		return p.m.secret.Name
	case Issue:
		return "the credential of " + p.m.secret.Name
	case DeleteToken:
		return p.id
	default:
		return fmt.Sprintf("%s %s", p.kind, p.id)
	}
}

// do makes one change.
func (i *invocation) do(ctx context.Context, s *situation, p step) (string, error) {
	t := s.target
	entry := i.entry(t, string(p.action))
	if p.m != nil {
		entry.Secret = p.m.secret.Name
	}
	switch p.action {
	case SwitchOff, SwitchOn:
		active := p.action == SwitchOn
		err := i.record(ctx, entry, func(ctx context.Context) error { return i.Databricks.SetActive(ctx, t.host, t.id, active) })
		if err == nil {
			t.known, t.active = true, active
		}
		return "", err
	case Hold, Unhold:
		var hold *managedsecret.Hold
		if p.action == Hold {
			hold = &managedsecret.Hold{Kind: managedsecret.Revoked, Since: i.reply.StartedAt.Truncate(time.Second)}
			if h := p.m.secret.Hold; i.req.Mode == Lockout || h != nil && h.Kind == managedsecret.LockedOut {
				hold.Kind = managedsecret.LockedOut
			}
		}
		err := i.record(ctx, entry, func(ctx context.Context) error {
			if hold == nil {
				return i.Store.ClearHold(ctx, p.m.secret.ARN)
			}
			return i.Store.SetHold(ctx, p.m.secret.ARN, *hold)
		})
		if err == nil {
			i.holds[p.m.secret.ARN] = hold
		}
		return "", err
	case Issue:
		return i.issue(ctx, s, p)
	default:
		entry.OAuthSecretID = p.id
		err := i.record(ctx, entry, func(ctx context.Context) error { return i.Databricks.DeleteSecret(ctx, t.host, t.id, p.id) })
		if err == nil {
			s.gone[p.id] = true
			i.lastDeletion = i.now()
		}
		return "", err
	}
}

// issue has the rotation's engine replace a credential. It writes its own
// entries in the trail.
func (i *invocation) issue(ctx context.Context, s *situation, p step) (string, error) {
	if deadline, ok := ctx.Deadline(); ctx.Err() != nil || ok && time.Until(deadline) < reserve {
		return "", errors.New("no time was left for it")
	}
	ctx, cancel := context.WithTimeout(ctx, 2*stepTimeout)
	defer cancel()
	out, err := i.Engine.Replace(ctx, door, p.m.secret.ARN, p.sacrifice)
	for _, id := range out.Retired {
		s.gone[id] = true
		i.lastDeletion = i.now()
	}
	if err != nil {
		if b := out.Block; b != nil && (b.Kind == rotation.Full || b.Kind == rotation.InProgress) {
			for _, l := range p.inHand {
				from := "from now on, if the request is sent again"
				if at := l.CreateTime.Add(rotation.OrphanAge); at.After(i.now()) {
					from = "from " + at.UTC().Format(time.RFC3339) + " on"
				}
				i.reply.Warnings = append(i.reply.Warnings, fmt.Sprintf(
					"OAuth secret %s might have been about to become current, so it made no room for another; it does %s; revoke ends it at once", l.ID, from))
			}
		}
		return "", err
	}
	if out.Issued == "" {
		return "another run has just issued one", nil
	}
	s.issued[p.m.secret.ARN] = out.Issued
	return fmt.Sprintf("OAuth secret %s is current, as version %s", out.Issued, out.Version), nil
}

// trial is a value to be tried when it should be dead.
type trial struct {
	what, id string
	value    credential.Credential
	owner    *managed
}

// toProve are the values that this revocation is to kill: the one that is
// named, or else those that were current and each whose OAuth secret nobody
// recorded, so that nothing but a trial tells whether it has gone.
func (i *invocation) toProve(s *situation) []trial {
	t := s.target
	if l := t.leak; l != nil {
		if l.value.IsZero() {
			return nil
		}
		return []trial{{what: "the credential that was named", id: l.id, value: credential.Credential{
			Host: t.host.URL, AccountID: t.host.AccountID, ClientID: t.clientID, ClientSecret: l.value, Scopes: l.scopes,
		}}}
	}
	var all []trial
	seen := map[string]bool{}
	for _, m := range t.secrets {
		for n, v := range m.known() {
			c := v.credential
			known := s.valueOf(c)
			if !c.Issued() || seen[c.ClientSecret.SHA256()] {
				continue
			}
			tr := trial{what: "what was current of " + m.secret.Name, id: s.idOf(c), value: c, owner: m}
			switch {
			case i.req.Mode == Release:
				// What was revoked stays dead.
				if known == nil || known.id != "" || !s.revoked(known) {
					continue
				}
			case n == 0:
			case c.ClientID != t.clientID:
				// The managed secret was another principal's once.
			case c.OAuthSecretID != "" && known.id == c.OAuthSecretID:
				continue
			}
			if n > 0 {
				tr.what = fmt.Sprintf("what version %s of %s holds", v.id, m.secret.Name)
			}
			seen[c.ClientSecret.SHA256()] = true
			all = append(all, tr)
		}
	}
	return all
}

// showedLate are the values that were stored before this revocation began and that
// reads which lag show only now. None of its steps was about them, and nobody
// recorded their OAuth secrets.
func (i *invocation) showedLate(s *situation, trials []trial) (late []trial) {
	if s.target.leak != nil || i.req.Mode == Release {
		return nil
	}
	s.learn() // the last look may have broken off
	for _, tr := range i.toProve(s) {
		v := s.valueOf(tr.value)
		if v.unclear() && !v.since.After(i.reply.StartedAt) &&
			!slices.ContainsFunc(trials, func(known trial) bool { return known.value.ClientSecret.Equal(tr.value.ClientSecret) }) {
			late = append(late, tr)
		}
	}
	return late
}

// prove tries what was revoked, as a thief would. Databricks may take a moment
// to know everywhere what was deleted.
func (i *invocation) prove(ctx context.Context, s *situation, trials []trial) {
	unanswered := map[string]string{}
	for _, tr := range trials {
		if i.spared(s, tr) {
			continue
		}
		host := databricks.Host{URL: tr.value.Host, AccountID: tr.value.AccountID}
		proof := Proof{What: tr.what, At: i.now(), Error: unanswered[host.URL]}
		if proof.Error == "" {
			i.attempt(ctx, host, tr, &proof)
			unanswered[host.URL] = proof.Error
		}
		i.reply.Proofs = append(i.reply.Proofs, proof)
		i.judge(s, tr, proof)
	}
}

func (i *invocation) attempt(ctx context.Context, host databricks.Host, tr trial, proof *Proof) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	for n := range 4 {
		err := i.Databricks.Verify(ctx, host, tr.value.ClientID, tr.value.ClientSecret, tr.value.Scopes)
		proof.At, proof.Error = i.now(), ""
		if proof.Refused = errors.Is(err, databricks.ErrRefused); proof.Refused {
			return
		}
		if err != nil {
			proof.Error = err.Error()
			return
		}
		if sleep(ctx, time.Duration(n+1)*300*time.Millisecond) != nil {
			return
		}
	}
}

// judge says what a proof means. A credential is dead if it was deleted, or if
// it is refused though its principal is on. Of all else nobody knows, and a
// reply that said complete would be believed.
func (i *invocation) judge(s *situation, tr trial, proof Proof) {
	t := s.target
	off := t.known && !t.active
	var candidates []string
	rest := ""
	if v := s.valueOf(tr.value); tr.id == "" && v != nil {
		candidates = s.candidates(v)
		rest = i.unrecorded(s, candidates)
	} else if tr.id == "" {
		rest = i.unrecorded(s, nil)
	}
	failed := len(i.reply.Failures)
	defer func() { i.unsettled = i.unsettled || tr.id == "" && len(i.reply.Failures) > failed }()
	switch {
	case tr.value.ClientID != t.clientID:
		if !proof.Refused {
			i.fail(`%s is a credential of another service principal, and is accepted or could not be tried: send a request with "service_principal":%q`, tr.what, tr.value.ClientID)
		}
	case proof.Refused && t.known && !off, proof.Refused && len(candidates) == 0:
	case proof.Refused && i.req.Mode == Lockout && off:
		i.reply.Warnings = append(i.reply.Warnings, fmt.Sprintf(
			"%s is refused as long as the service principal is off: which OAuth secret it is was not recorded, and it may be %s; a release needs it deleted in Databricks, or include_foreign", tr.what, strings.Join(candidates, " or ")))
	case proof.Refused:
		i.fail("%s is refused, which proves nothing while the service principal is, or may be, switched off: %s", tr.what, rest)
	case proof.Error != "" && tr.id != "" && s.gone[tr.id]:
		i.reply.Warnings = append(i.reply.Warnings, tr.what+" could not be tried; its OAuth secret was deleted")
	case proof.Error != "" && off:
		i.reply.Warnings = append(i.reply.Warnings, tr.what+" could not be tried; its service principal is switched off")
	case proof.Error != "" && tr.id == "":
		i.fail("%s could not be tried, so whether it is dead is not known: %s", tr.what, rest)
	case proof.Error != "":
		i.fail("%s could not be tried, and its OAuth secret was not deleted here, so whether it is dead is not known: send the request again", tr.what)
	case tr.id == "":
		i.fail("%s is still accepted: %s", tr.what, rest)
	default:
		i.fail("%s is still accepted", tr.what)
	}
}

// unrecorded says what to do about a value whose OAuth secret is not known.
func (i *invocation) unrecorded(s *situation, candidates []string) string {
	which, again := "it is not among those that Databricks lists", "send the request again"
	if len(candidates) > 0 {
		which = "it may be " + strings.Join(candidates, " or ")
		again = "send the request again with include_foreign, which deletes each of them"
		if i.req.IncludeForeign {
			again = "send the request again"
		}
	}
	for _, l := range s.sort() {
		for _, m := range l.current {
			if slices.Contains(candidates, l.ID) && slices.Contains(s.target.others, m) {
				again = fmt.Sprintf(`as %s may hold one of them too, send a request with "service_principal":%q and include_foreign`, m.secret.Name, s.target.clientID)
			}
		}
	}
	return "its OAuth secret's id was never recorded; " + which + "; " + again + ", or lock the principal out, or delete it in the Databricks console"
}

// spared tells that a step that should have killed it is known to have failed,
// so that there is nothing to prove.
func (i *invocation) spared(s *situation, tr trial) bool {
	if s.target.known && !s.target.active {
		return false
	}
	for _, st := range i.reply.Steps {
		if st.Action == Delete && st.Outcome != Done && tr.id != "" && strings.HasSuffix(st.What, tr.id) {
			return true
		}
	}
	return false
}

// describe is an OAuth secret for the reply.
func (s *situation) describe(l live) Credential {
	c := Credential{Kind: string(l.kind), ID: l.ID, Leaked: s.names(l.ID)}
	if l.owner != nil {
		c.Secret = l.owner.secret.Name
		c.Leaked = c.Leaked || l.kind == kindCurrent && s.currentLeaked(l.owner, nil)
	}
	if !l.CreateTime.IsZero() {
		c.CreatedAt = &l.CreateTime
	}
	if !l.ExpireTime.IsZero() {
		c.ExpiresAt = &l.ExpireTime
	}
	return c
}
