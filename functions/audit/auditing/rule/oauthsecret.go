package rule

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/fingerprint"
)

const (
	deleteSecret = "DATABRICKS_HOST=<console> DATABRICKS_ACCOUNT_ID=<account> databricks account service-principal-secrets delete <principal> <secret>"
	rotateSecret = `aws lambda invoke --function-name <function> --cli-read-timeout 0 --cli-binary-format raw-in-base64-out --payload '{"action":"rotate","secrets":[<name>],"force":true}' /dev/stdout`
	register     = `aws secretsmanager create-secret --name databricks/<client> --tags Key=databricks-rotation,Value=managed --secret-string '{"DATABRICKS_HOST":<console>,"DATABRICKS_ACCOUNT_ID":<account>,"DATABRICKS_CLIENT_ID":<client>}'`
	reconcile    = `aws lambda invoke --function-name <function> --cli-read-timeout 0 --cli-binary-format raw-in-base64-out --payload '{"action":"reconcile"}' /dev/stdout`
)

const (
	// orphanAge is the age from which an OAuth secret that no version names is
	// in no run's hands any more.
	orphanAge = 30 * time.Minute
	// lateness is how far past its time the rotation may be before that is a
	// finding: a sweep comes every hour, a reconcile every day.
	lateness = 26 * time.Hour
	// usualSecrets are as many as a principal needs while it is rotated by
	// hand: the one in use and its successor.
	usualSecrets = 2
)

// eachSecret makes a check of a function over live OAuth secrets.
func eachSecret(r Rule, judge func(e *Estate, p *inventory.Principal, s *inventory.OAuthSecret) *match) check {
	return check{r, func(e *Estate, r Rule, say func(finding.Finding)) {
		for i := range e.Principals {
			p := &e.Principals[i]
			for j := range p.Secrets {
				s := &p.Secrets[j]
				if !e.live(s.ExpiresAt) {
					continue
				}
				if m := judge(e, p, s); m != nil {
					say(m.of(r).Finding(secretSubject(p, s), m.detail, e.Owner(p.ClientID), m.merge(e.secretValues(p, s)), m.evidence...))
				}
			}
		}
	}}
}

func secretSubject(p *inventory.Principal, s *inventory.OAuthSecret) finding.Subject {
	return finding.Subject{Kind: finding.OAuthSecret, ID: s.ID, Name: p.Name, ClientID: p.ClientID}
}

func (e *Estate) secretValues(p *inventory.Principal, s *inventory.OAuthSecret) Values {
	v := e.principalValues(p)
	v["secret"] = s.ID
	if m := e.holderOf(p, s); m != nil {
		v["name"] = m.Name
	}
	return v
}

// holderOf is the managed secret that an OAuth secret is, or was, the value
// of, or that of its principal.
func (e *Estate) holderOf(p *inventory.Principal, s *inventory.OAuthSecret) *inventory.Managed {
	for _, m := range e.managed[p.ClientID] {
		if m.OAuthSecretID == s.ID || slices.Contains(m.Recorded, s.ID) || slices.Contains(m.Predecessors, s.ID) {
			return m
		}
	}
	return nil
}

// known tells whether any version of a managed secret names an OAuth secret.
func (e *Estate) known(s *inventory.OAuthSecret) bool {
	return e.current[s.ID] || e.predecessor[s.ID] || e.recorded[s.ID]
}

// beside gives a match about an OAuth secret that is beside its principal's
// managed secret, and not its value, a remedy of its own: a rotation of the
// managed secret would leave it as it is.
func (e *Estate) beside(p *inventory.Principal, s *inventory.OAuthSecret, m *match) *match {
	switch {
	case len(e.managed[p.ClientID]) == 0 || e.current[s.ID]:
	case e.unreadable(p.ClientID):
		m.sentence = "Mend the managed secret of <client> that cannot be read; until then nobody can say whether the OAuth secret <secret> is its value."
	default:
		m.command = deleteSecret
	}
	return m
}

// orphan tells whether an OAuth secret was issued for a managed secret of its
// principal that does not know it.
func (e *Estate) orphan(p *inventory.Principal, s *inventory.OAuthSecret) *inventory.Managed {
	if e.known(s) || s.CreatedAt.IsZero() || s.ExpiresAt.IsZero() {
		return nil
	}
	for _, m := range e.managed[p.ClientID] {
		if fingerprint.Matches(m.ARN, s.ExpiresAt.Sub(s.CreatedAt).Round(time.Second)) {
			return m
		}
	}
	return nil
}

func (e *Estate) liveSecrets(p *inventory.Principal) []*inventory.OAuthSecret {
	var live []*inventory.OAuthSecret
	for i := range p.Secrets {
		if e.live(p.Secrets[i].ExpiresAt) {
			live = append(live, &p.Secrets[i])
		}
	}
	// The newest first.
	slices.SortFunc(live, func(a, b *inventory.OAuthSecret) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return live
}

// unreadable tells whether a managed secret of the principal could not be read
// whole, so that nobody can say what it names. One of which nobody knows whose
// it is is a finding of its own, and hides nothing of the others.
func (e *Estate) unreadable(clientID string) bool {
	return slices.ContainsFunc(e.managed[clientID], func(m *inventory.Managed) bool { return m.Err != "" || m.RecordedUnknown })
}

func secretChecks() []check {
	return []check{
		eachSecret(Rule{
			ID: "secret-old", Title: "OAuth secret is too old", Severity: finding.Medium, Practice: Rotate,
			What:   "An OAuth secret of a service principal is older than `audit.max_secret_age`. Predecessors that the rotation has replaced do not count.",
			Why:    "The older a secret, the more copies of it there are, and the more people who have seen it and left.",
			Remedy: "Rotate it: register the service principal <client> for rotation, or rotate its managed secret now.", Command: rotateSecret,
		}, func(e *Estate, p *inventory.Principal, s *inventory.OAuthSecret) *match {
			if s.CreatedAt.IsZero() || e.now.Sub(s.CreatedAt) <= e.Policy.Audit.MaxSecretAge || e.replaced(s) {
				return nil
			}
			return e.beside(p, s, because("created", date(s.CreatedAt), "age", days(e.now.Sub(s.CreatedAt)), "allowed", days(e.Policy.Audit.MaxSecretAge)))
		}),
		eachSecret(Rule{
			ID: "secret-no-expiry", Title: "OAuth secret without expiry", Severity: finding.High, Practice: Rotate,
			What:   "An OAuth secret never expires.",
			Why:    "If everything else fails, expiry is what ends a leaked secret. This one has none.",
			Remedy: "Rotate it, if it is the current one of a managed secret: the rotation issues secrets that expire. Otherwise register <client> for rotation, move what uses the OAuth secret <secret> over, and delete it.", Command: rotateSecret,
		}, func(e *Estate, p *inventory.Principal, s *inventory.OAuthSecret) *match {
			if !s.ExpiresAt.IsZero() {
				return nil
			}
			return e.beside(p, s, because("created", date(s.CreatedAt), "expires", "never"))
		}),
		eachSecret(Rule{
			ID: "secret-expiring", Title: "OAuth secret is about to expire", Severity: finding.High, Practice: Rotate,
			What:   "An OAuth secret expires within `audit.expiring_within`, and no newer one of the same service principal outlives it. Predecessors that the rotation has replaced do not count.",
			Why:    "On that day everything that uses it stops.",
			Remedy: "Register the service principal <client> for rotation, or rotate its managed secret now.", Command: rotateSecret,
		}, func(e *Estate, p *inventory.Principal, s *inventory.OAuthSecret) *match {
			if s.ExpiresAt.IsZero() || s.ExpiresAt.Sub(e.now) > e.Policy.Audit.ExpiringWithin || e.known(s) && !e.current[s.ID] || e.orphan(p, s) != nil {
				return nil
			}
			for _, other := range e.liveSecrets(p) {
				if other.CreatedAt.After(s.CreatedAt) && (other.ExpiresAt.IsZero() || other.ExpiresAt.Sub(e.now) > e.Policy.Audit.ExpiringWithin) && !e.current[s.ID] {
					return nil
				}
			}
			return e.beside(p, s, because("expires", date(s.ExpiresAt), "in", days(s.ExpiresAt.Sub(e.now))))
		}),
		eachSecret(Rule{
			ID: "secret-foreign", Title: "OAuth secret made outside the rotation", Severity: finding.Medium, Practice: Rotate,
			What:   "A service principal whose credential is managed has an OAuth secret that no version of a managed secret names and that the rotation did not issue.",
			Why:    "Nobody rotates it, and revoking the managed secret does not end it.",
			Remedy: "Find out who made it. Then delete the OAuth secret <secret>, or set `exclusive: true` for the principal to have the rotation do so.", Command: deleteSecret,
		}, func(e *Estate, p *inventory.Principal, s *inventory.OAuthSecret) *match {
			if len(e.managed[p.ClientID]) == 0 || e.known(s) || e.unreadable(p.ClientID) || e.orphan(p, s) != nil {
				return nil
			}
			return because("created", date(s.CreatedAt), "expires", date(s.ExpiresAt), "managed by", e.managed[p.ClientID][0].Name)
		}),
		eachSecret(Rule{
			ID: "secret-orphan", Title: "OAuth secret that a rotation left behind", Severity: finding.Medium, Practice: Rotate,
			What:   "An OAuth secret carries the fingerprint of a managed secret, no version of which names it, and it is older than half an hour.",
			Why:    "A rotation died before it stored the secret. Nobody has its value, and it takes one of five places. The next sweep that looks removes it; that this one is still here says that none has.",
			Remedy: "Run a reconcile, and look in its report for <name>.", Command: reconcile,
		}, func(e *Estate, p *inventory.Principal, s *inventory.OAuthSecret) *match {
			m := e.orphan(p, s)
			if m == nil || e.unreadable(p.ClientID) || e.now.Sub(s.CreatedAt) <= orphanAge {
				return nil
			}
			return because("created", date(s.CreatedAt), "issued for", m.Name).with("name", m.Name)
		}),
		eachSecret(Rule{
			ID: "secret-surplus", Title: "OAuth secret that nothing needs", Severity: finding.Medium, Practice: RemoveUnused,
			What:   "A managed principal's OAuth secret has been replaced, its grace period is over, and it is still there; or a principal that nobody rotates has more than two OAuth secrets, of which this is not one of the two newest.",
			Why:    "Each secret is one more way in, and takes one of five places.",
			Remedy: "Make sure that nobody uses the OAuth secret <secret>, then delete it.", Command: deleteSecret,
		}, func(e *Estate, p *inventory.Principal, s *inventory.OAuthSecret) *match {
			if len(e.managed[p.ClientID]) == 0 {
				i := slices.IndexFunc(e.liveSecrets(p), func(l *inventory.OAuthSecret) bool { return l.ID == s.ID })
				if i < usualSecrets {
					return nil
				}
				return because("created", date(s.CreatedAt), "newer ones", number(int64(i)))
			}
			m := e.holderOf(p, s)
			if m == nil || m.RecordedUnknown || m.OAuthSecretID == s.ID || m.IssuedAt.IsZero() || e.now.Sub(m.IssuedAt) <= e.Policy.Grace+e.Policy.ExtendGrace+lateness {
				return nil
			}
			return because("replaced at the latest", date(m.IssuedAt), "grace period", days(e.Policy.Grace+e.Policy.ExtendGrace), "managed by", m.Name)
		}),
		eachSecret(Rule{
			ID: "secret-all-apis", Title: "Unrestricted OAuth secret where the policy grants less", Severity: finding.High, Practice: NarrowScopes,
			What:   "An OAuth secret is unrestricted, and its principal's role in the policy names scopes that are less.",
			Why:    "Whoever has the secret can do whatever the principal can, through every API.",
			Remedy: "Issue an OAuth secret with the scopes of its role (<scopes>) for <client> and put it into its place. A rotation keeps the scopes that it finds, so it stays narrow from then on.",
		}, func(e *Estate, p *inventory.Principal, s *inventory.OAuthSecret) *match {
			role, ok := e.roleOf(p.ClientID)
			if !ok || len(role.Scopes) == 0 || unrestricted(role.Scopes) || !unrestricted(s.Scopes) || e.replaced(s) {
				return nil
			}
			return because("scopes", words(s.Scopes), "its role has", strings.Join(role.Scopes, " ")).with("scopes", role.Scopes)
		}),
		eachSecret(Rule{
			ID: "secret-beyond-role", Title: "OAuth secret with scopes beyond its principal's role", Severity: finding.High, Practice: NarrowScopes,
			What:   "An OAuth secret has scopes that its principal's role in the policy does not have.",
			Why:    "The work does not need them. A thief may.",
			Remedy: "Issue an OAuth secret without <over> for <client> and put it into its place; a rotation keeps the scopes that it finds. Or add the scopes to the role.",
		}, func(e *Estate, p *inventory.Principal, s *inventory.OAuthSecret) *match {
			role, ok := e.roleOf(p.ClientID)
			if !ok || len(role.Scopes) == 0 || unrestricted(s.Scopes) || e.replaced(s) {
				return nil
			}
			over := beyond(s.Scopes, role.Scopes)
			if len(over) == 0 {
				return nil
			}
			return because("scopes", words(s.Scopes), "beyond the role", strings.Join(over, " ")).with("over", over)
		}),
		eachSecret(Rule{
			ID: "secret-broad-scope", Title: "OAuth secret with a broad scope", Severity: finding.Medium, Practice: NarrowScopes,
			What:   "An OAuth secret of a principal without a role has a scope from `audit.broad_scopes`, or is unrestricted while all-apis is among them.",
			Why:    "With such a scope a thief can make credentials or change who may do what. Nobody has said that the work needs it.",
			Remedy: "Give the principal <client> a role in the policy with the scopes that its work needs, and issue an OAuth secret with these.",
		}, func(e *Estate, p *inventory.Principal, s *inventory.OAuthSecret) *match {
			if role, ok := e.roleOf(p.ClientID); ok && len(role.Scopes) > 0 || e.replaced(s) {
				return nil
			}
			scopes := s.Scopes
			if unrestricted(scopes) {
				scopes = []string{credential.AllAPIs}
			}
			over := e.broadOf(scopes)
			if len(over) == 0 {
				return nil
			}
			return because("scopes", words(s.Scopes), "broad", strings.Join(over, " "))
		}),
		eachSecret(Rule{
			ID: "secret-scopes-unused", Title: "OAuth secret with scopes that its principal never used", Severity: finding.Low, Practice: NarrowScopes,
			What:   "The usage log, which reaches back at least `audit.unused_after`, shows that the principal's calls needed fewer scopes than its OAuth secret has. The log names the principal, not the secret; so this is about all that it did.",
			Why:    "What is not used can only be abused.",
			Remedy: "Consider <scopes> for <client>: narrow its role in the policy, and issue an OAuth secret with these scopes. A rotation keeps the scopes that it finds.",
		}, func(e *Estate, p *inventory.Principal, s *inventory.OAuthSecret) *match {
			used := e.Usage[p.ClientID]
			if !e.usageKnown() || used.Events == 0 || len(used.Unmapped) > 0 || e.replaced(s) || e.now.Sub(s.CreatedAt) < e.Policy.Audit.UnusedAfter {
				return nil
			}
			to, less := narrower(s.Scopes, used.Scopes)
			if !less {
				return nil
			}
			return because("scopes", words(s.Scopes), "seen to use", strings.Join(used.Scopes, " "), "log since", date(e.UsageSince)).with("scopes", to)
		}),
		{Rule{
			ID: "principal-full", Title: "Service principal has as many OAuth secrets as it can", Severity: finding.Medium, Practice: Rotate,
			What:    "A service principal has five OAuth secrets, the most that Databricks allows.",
			Why:     "It cannot be rotated: there is no place for a successor.",
			Remedy:  "Delete those of <client> that nobody uses; the findings on its secrets say which.",
			Command: "DATABRICKS_HOST=<console> DATABRICKS_ACCOUNT_ID=<account> databricks account service-principal-secrets list <principal>",
		}, func(e *Estate, r Rule, say func(finding.Finding)) {
			for i := range e.Principals {
				p := &e.Principals[i]
				if n := len(e.liveSecrets(p)); n >= databricks.MaxSecrets {
					say(r.Finding(principalSubject(p, 0), "", e.Owner(p.ClientID), e.principalValues(p), finding.Evidence{Name: "OAuth secrets", Value: number(int64(n))}))
				}
			}
		}},
	}
}

// replaced tells whether the rotation has put another secret in this one's
// place. Its scopes are history, and it is about to go.
func (e *Estate) replaced(s *inventory.OAuthSecret) bool { return e.known(s) && !e.current[s.ID] }
