package rule

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/shared/credential"
)

// revokedUnusedAfter is when Databricks itself revokes a token that nobody
// uses.
const revokedUnusedAfter = 90 * day

const (
	deleteToken = "DATABRICKS_HOST=<host> databricks token-management delete <token>"
	// createToken is for the holder to run: nobody makes a token for somebody
	// else, but an admin for a service principal.
	createToken      = "DATABRICKS_HOST=<host> databricks tokens create --lifetime-seconds <lifetime> --comment 'replaces <token> of <holder>'"
	createTokenForIt = "DATABRICKS_HOST=<host> databricks token-management create-obo-token <client> --lifetime-seconds <lifetime> --comment 'replaces <token>'"
	narrowToken      = `DATABRICKS_HOST=<host> databricks api patch /api/2.0/token-management/tokens/<token> --json '{"token":{"scopes":<scopes>},"update_mask":"scopes"}'`
)

// eachToken makes a check of a function over live tokens.
func eachToken(r Rule, judge func(e *Estate, t *inventory.Token) *match) check {
	return check{r, func(e *Estate, r Rule, say func(finding.Finding)) {
		for i := range e.Tokens {
			t := &e.Tokens[i]
			if !e.live(t.ExpiresAt) {
				continue
			}
			if m := judge(e, t); m != nil {
				r := r
				if r.Command == createToken && t.Automation {
					r.Command = createTokenForIt
				}
				say(r.Finding(tokenSubject(t), m.detail, e.tokenOwner(t), m.merge(e.tokenValues(t)), m.evidence...))
			}
		}
	}}
}

func tokenSubject(t *inventory.Token) finding.Subject {
	s := finding.Subject{Kind: finding.Token, ID: t.ID, Name: t.Comment, Workspace: t.Workspace}
	if t.Automation {
		s.ClientID = t.Owner
	}
	return s
}

func (e *Estate) tokenOwner(t *inventory.Token) string {
	if t.Automation {
		return e.Owner(t.Owner)
	}
	return t.Owner
}

func (e *Estate) tokenValues(t *inventory.Token) Values {
	holder := t.Owner
	if holder == "" {
		holder = "its owner"
	}
	return Values{
		"host": e.host(t.Workspace), "token": t.ID, "holder": holder, "client": t.Owner,
		"lifetime": strconv.FormatInt(int64(e.Policy.Audit.MaxTokenLifetime/time.Second), 10),
		"account":  e.AccountID, "console": e.Place.Console,
	}
}

// idle is since when nobody has used a token.
func idle(t *inventory.Token) time.Time {
	if t.LastUsedAt.IsZero() {
		return t.CreatedAt
	}
	return t.LastUsedAt
}

// tokenRole is what the policy lets a token do: its holder's role, if it has
// one.
func (e *Estate) tokenRole(t *inventory.Token) (scopes []string, known bool) {
	if !t.Automation {
		return nil, false
	}
	role, ok := e.roleOf(t.Owner)
	return role.Scopes, ok && len(role.Scopes) > 0
}

func tokenChecks() []check {
	return []check{
		eachToken(Rule{
			ID: "pat-unused", Title: "Personal access token not used for long", Severity: finding.Medium, Practice: RemoveUnused,
			What:   "A personal access token was last used longer ago than `audit.unused_after`. Databricks tells the last use to a day.",
			Why:    "Nobody would miss it but a thief, and nobody would notice its theft.",
			Remedy: "Delete the token <token>. `prune.mode: enforce` deletes such tokens after their notice.", Command: deleteToken,
		}, func(e *Estate, t *inventory.Token) *match {
			if t.LastUsedAt.IsZero() || e.now.Sub(t.LastUsedAt) <= e.Policy.Audit.UnusedAfter {
				return nil
			}
			return because("last used", date(t.LastUsedAt), "unused for", days(e.now.Sub(t.LastUsedAt)))
		}),
		eachToken(Rule{
			ID: "pat-never-used", Title: "Personal access token never used", Severity: finding.Medium, Practice: RemoveUnused,
			What:   "A personal access token is older than `audit.unused_after`, and Databricks knows of no use of it.",
			Why:    "It was made for something that did not happen, and still opens everything that its owner can reach.",
			Remedy: "Delete the token <token>. `prune.mode: enforce` deletes such tokens after their notice.", Command: deleteToken,
		}, func(e *Estate, t *inventory.Token) *match {
			if !t.LastUsedAt.IsZero() || e.now.Sub(t.CreatedAt) <= e.Policy.Audit.UnusedAfter {
				return nil
			}
			return because("created", date(t.CreatedAt), "last used", "never, or not known")
		}),
		eachToken(Rule{
			ID: "pat-near-revocation", Title: "Databricks is about to revoke an unused token", Severity: finding.Low, Practice: RemoveUnused,
			What:   "A personal access token has not been used for almost 90 days. Databricks revokes it when the 90 days are over; this is reported `audit.expiring_within` before.",
			Why:    "If something rare depends on it, a quarterly job perhaps, that will fail without warning.",
			Remedy: "Ask <holder> whether anything depends on the token <token>. If not, delete it; if so, use it before that day and move the work to a service principal.", Command: deleteToken,
		}, func(e *Estate, t *inventory.Token) *match {
			end := idle(t).Add(revokedUnusedAfter)
			if !end.After(e.now) || end.Sub(e.now) > e.Policy.Audit.ExpiringWithin {
				return nil
			}
			return because("unused since", date(idle(t)), "revoked on", date(end))
		}),
		eachToken(Rule{
			ID: "pat-no-expiry", Title: "Personal access token without expiry", Severity: finding.High, Practice: Rotate,
			What:   "A personal access token never expires.",
			Why:    "Whoever copied it once keeps access until somebody thinks of deleting it.",
			Remedy: "Have <holder> make a token that expires, put it in the place of <token>, and delete that. A workspace's token policy can forbid such tokens.", Command: createToken,
		}, func(_ *Estate, t *inventory.Token) *match {
			if !t.ExpiresAt.IsZero() {
				return nil
			}
			return because("created", date(t.CreatedAt), "expires", "never")
		}),
		eachToken(Rule{
			ID: "pat-lifetime", Title: "Personal access token lives too long", Severity: finding.Medium, Practice: Rotate,
			What:   "From its creation to its expiry a personal access token lives longer than `audit.max_token_lifetime`.",
			Why:    "A stolen token is good until it expires. The longer it lives, the more places hold a copy.",
			Remedy: "Have <holder> make a token that expires sooner, put it in the place of <token>, and delete that.", Command: createToken,
		}, func(e *Estate, t *inventory.Token) *match {
			life := t.ExpiresAt.Sub(t.CreatedAt)
			// The API takes the lifetime in seconds and rounds as it likes.
			if t.ExpiresAt.IsZero() || t.CreatedAt.IsZero() || life <= e.Policy.Audit.MaxTokenLifetime+time.Minute {
				return nil
			}
			return because("lifetime", days(life), "allowed", days(e.Policy.Audit.MaxTokenLifetime), "expires", date(t.ExpiresAt))
		}),
		eachToken(Rule{
			ID: "pat-expiring", Title: "Personal access token in use is about to expire", Severity: finding.Low, Practice: Rotate,
			What:   "A personal access token that was used within `audit.unused_after` expires within `audit.expiring_within`, or within a third of its lifetime if that is less.",
			Why:    "What uses it will fail on that day.",
			Remedy: "Have <holder> make a token and put it in the place of <token> before it expires.", Command: createToken,
		}, func(e *Estate, t *inventory.Token) *match {
			// One that lives shorter than the warning would be reported all
			// its life.
			if t.ExpiresAt.IsZero() || t.ExpiresAt.Sub(e.now) > min(e.Policy.Audit.ExpiringWithin, t.ExpiresAt.Sub(t.CreatedAt)/3) ||
				t.LastUsedAt.IsZero() || e.now.Sub(t.LastUsedAt) > e.Policy.Audit.UnusedAfter {
				return nil
			}
			return because("expires", date(t.ExpiresAt), "last used", date(t.LastUsedAt))
		}),
		eachToken(Rule{
			ID: "pat-automation", Title: "Personal access token of a person used by a program", Severity: finding.High, Practice: ServicePrincipal,
			What:   "The owner of a personal access token is a user behind whom the policy says is a program (`audit.automation_users`).",
			Why:    "Such a user has rights, a password and a mailbox that the program does not need, and cannot be given scopes or rotated like a service principal.",
			Remedy: "Make a service principal for what <holder> does, register it for rotation, and delete the token <token>.", Command: "DATABRICKS_HOST=<console> DATABRICKS_ACCOUNT_ID=<account> databricks account service-principals create --display-name <holder>",
		}, func(e *Estate, t *inventory.Token) *match {
			if t.Automation || t.Owner == "" {
				return nil
			}
			for _, pattern := range e.Policy.Audit.AutomationUsers {
				if glob(pattern, t.Owner) {
					return because("owner", t.Owner, "matches", pattern)
				}
			}
			return nil
		}),
		eachToken(Rule{
			ID: "pat-of-principal", Title: "Service principal with a personal access token", Severity: finding.Low, Practice: ServicePrincipal,
			What:   "A service principal holds a personal access token.",
			Why:    "Nothing rotates it. An OAuth secret in Secrets Manager is rotated, and gives tokens that live an hour.",
			Remedy: "Register the service principal <client> for rotation, have its work read the managed secret, and delete the token <token>.", Command: deleteToken,
		}, func(_ *Estate, t *inventory.Token) *match {
			if !t.Automation {
				return nil
			}
			return because("service principal", t.Owner, "expires", date(t.ExpiresAt))
		}),
		eachToken(Rule{
			ID: "pat-all-apis", Title: "Unrestricted token where the policy grants less", Severity: finding.High, Practice: NarrowScopes,
			What:   "A personal access token has no scopes, or all-apis. Its holder's role names scopes that are less; or the holder has no role, and `audit.broad_scopes` has all-apis.",
			Why:    "Whoever has the token can do whatever its owner can, through every API.",
			Remedy: "Narrow the token <token> to the scopes that its work needs.", Command: narrowToken,
		}, func(e *Estate, t *inventory.Token) *match {
			if !unrestricted(t.Scopes) {
				return nil
			}
			allowed, known := e.tokenRole(t)
			switch {
			case known && unrestricted(allowed), !known && !e.broad(credential.AllAPIs):
				return nil
			case known:
				return because("scopes", words(t.Scopes), "its role has", strings.Join(allowed, " ")).with("scopes", allowed)
			}
			m := because("scopes", words(t.Scopes), "autoscope", strings.ToLower(t.Autoscope))
			if t.Autoscope == autoscopeDone && len(t.Inferred) > 0 {
				m.with("scopes", t.Inferred)
			}
			return m
		}),
		eachToken(Rule{
			ID: "pat-beyond-role", Title: "Token with scopes beyond its principal's role", Severity: finding.High, Practice: NarrowScopes,
			What:   "A service principal's personal access token has scopes that its role in the policy does not have.",
			Why:    "The work does not need them. A thief may.",
			Remedy: "Narrow the token <token> to the scopes of the role, or add the scopes to the role in the policy.", Command: narrowToken,
		}, func(e *Estate, t *inventory.Token) *match {
			allowed, known := e.tokenRole(t)
			if !known || unrestricted(t.Scopes) {
				return nil
			}
			over := beyond(t.Scopes, allowed)
			if len(over) == 0 {
				return nil
			}
			return because("scopes", words(t.Scopes), "beyond the role", strings.Join(over, " ")).with("scopes", without(t.Scopes, over))
		}),
		eachToken(Rule{
			ID: "pat-broad-scope", Title: "Token with a broad scope", Severity: finding.Medium, Practice: NarrowScopes,
			What:   "A personal access token whose holder has no role in the policy has a scope from `audit.broad_scopes`.",
			Why:    "With such a scope a thief can make credentials or change who may do what.",
			Remedy: "Narrow the token <token>, or give its holder a role that has the scope.", Command: narrowToken,
		}, func(e *Estate, t *inventory.Token) *match {
			if _, known := e.tokenRole(t); known || unrestricted(t.Scopes) {
				return nil
			}
			over := e.broadOf(t.Scopes)
			if len(over) == 0 {
				return nil
			}
			return because("scopes", words(t.Scopes), "broad", strings.Join(over, " ")).with("scopes", without(t.Scopes, over))
		}),
		eachToken(Rule{
			ID: "pat-scopes-unused", Title: "Token with scopes that it was never seen to use", Severity: finding.Medium, Practice: NarrowScopes,
			What:   "Databricks has watched a personal access token to the end (autoscope COMPLETED) and inferred fewer scopes than it has.",
			Why:    "What is not used can only be abused.",
			Remedy: "Narrow the token <token> to the scopes that it uses. `prune.right_size: enforce` does so after the notice.", Command: narrowToken,
		}, func(_ *Estate, t *inventory.Token) *match {
			to, less := Narrower(t)
			if !less {
				return nil
			}
			return because("scopes", words(t.Scopes), "seen to use", strings.Join(t.Inferred, " ")).with("scopes", to)
		}),
		eachToken(Rule{
			ID: "pat-owner-gone", Title: "Token whose owner is gone", Severity: finding.High, Practice: RemoveUnused,
			What:   "The owner of a personal access token no longer exists, or is a person whose user is deactivated.",
			Why:    "Nobody answers for it. If the user is activated again, the token works again.",
			Remedy: "Delete the token <token>.", Command: deleteToken,
		}, func(e *Estate, t *inventory.Token) *match {
			if t.Owner == "" && !t.OwnerUnknown {
				return because("owner", "no user or service principal with the id "+t.OwnerID)
			}
			if p, ok := e.people[strings.ToLower(t.Owner)]; ok && !t.Automation && !p.Active {
				return because("owner", t.Owner, "state", "deactivated")
			}
			return nil
		}),
	}
}

const autoscopeDone = "COMPLETED"

// Narrower returns the scopes that a token could be narrowed to without losing
// any that it was seen to use, and whether they are fewer than it has. A token
// that Databricks is still watching stays as it is.
func Narrower(t *inventory.Token) ([]string, bool) {
	if t.Autoscope != autoscopeDone {
		return nil, false
	}
	return narrower(t.Scopes, t.Inferred)
}

func (e *Estate) broad(scope string) bool { return len(e.broadOf([]string{scope})) > 0 }

// broadOf returns those of the scopes that the policy calls broad.
func (e *Estate) broadOf(scopes []string) []string {
	var over []string
	for _, s := range scopes {
		if slices.Contains(e.Policy.Audit.BroadScopes, s) {
			over = append(over, s)
		}
	}
	return over
}

// without is what would be left of scopes, nil for nothing: no scopes at all
// would mean all of them.
func without(scopes, over []string) any {
	var left []string
	for _, s := range scopes {
		if !slices.Contains(over, s) {
			left = append(left, s)
		}
	}
	if len(left) == 0 {
		return nil
	}
	return left
}

// glob matches a name against a pattern in which * stands for anything.
func glob(pattern, name string) bool {
	parts := strings.Split(strings.ToLower(pattern), "*")
	rest, anchored := strings.CutPrefix(strings.ToLower(name), parts[0])
	if !anchored {
		return false
	}
	for i, part := range parts[1:] {
		if i == len(parts)-2 {
			return strings.HasSuffix(rest, part)
		}
		at := strings.Index(rest, part)
		if at < 0 {
			return false
		}
		rest = rest[at+len(part):]
	}
	return rest == ""
}
