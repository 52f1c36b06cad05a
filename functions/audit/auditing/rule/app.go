package rule

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/shared/credential"
)

func eachApp(r Rule, judge func(e *Estate, a *inventory.App) *match) check {
	return check{r, func(e *Estate, r Rule, say func(finding.Finding)) {
		for i := range e.Apps {
			a := &e.Apps[i]
			if m := judge(e, a); m != nil {
				kind := "custom"
				if a.Published {
					kind = "published"
				}
				say(m.of(r).Finding(finding.Subject{Kind: finding.App, ID: a.ID, Name: a.Name}, m.detail, a.Creator, m.merge(Values{
					"app": a.ID, "kind": kind, "account": e.AccountID, "console": e.Place.Console,
				}), m.evidence...))
			}
		}
	}}
}

const (
	inAccount = "DATABRICKS_HOST=<console> DATABRICKS_ACCOUNT_ID=<account> "
	updateApp = inAccount + "databricks account <kind>-app-integration update <app> --json "
	shorten   = updateApp + `'{"token_access_policy":<lifetimes>}'`
)

// lifetimes is the token policy that an app should have: what it has, but no
// longer than the policy allows. The API takes it as a whole.
func (e *Estate) lifetimes(a *inventory.App) map[string]any {
	least := func(is, most time.Duration) int64 {
		if is <= 0 || is > most {
			is = most
		}
		return int64(is.Minutes())
	}
	v := map[string]any{
		"access_token_ttl_in_minutes":  least(a.AccessTTL, e.Policy.Audit.MaxAccessTokenTTL),
		"refresh_token_ttl_in_minutes": least(a.RefreshTTL, e.Policy.Audit.MaxRefreshTokenTTL),
	}
	if a.SingleUse {
		v["enable_single_use_refresh_tokens"] = true
	}
	return v
}

func appChecks() []check {
	return []check{
		eachApp(Rule{
			ID: "app-broad-scopes", Title: "OAuth app with broad scopes", Severity: finding.High, Practice: NarrowScopes,
			What:   "A custom OAuth app has a scope from `audit.broad_scopes`, or users may authorize it for one. An app without any scopes has all-apis.",
			Why:    "Whoever gets hold of the app's tokens can do whatever its users can.",
			Remedy: "Give the app <app> the scopes that it needs.", Command: updateApp + `'{"scopes":<scopes>}'`,
		}, func(e *Estate, a *inventory.App) *match {
			if a.Published {
				return nil
			}
			scopes := slices.Concat(a.Scopes, a.UserScopes)
			if len(a.Scopes) == 0 {
				scopes = append(scopes, credential.AllAPIs)
			}
			slices.Sort(scopes)
			over := e.broadOf(slices.Compact(scopes))
			if len(over) == 0 {
				return nil
			}
			m := because("scopes", words(a.Scopes), "users may authorize", strings.Join(a.UserScopes, " "), "broad", strings.Join(over, " ")).with("scopes", without(a.Scopes, over))
			if len(e.broadOf(a.UserScopes)) > 0 {
				// They are a list of their own, of which nothing may be left.
				stays := []string{}
				for _, s := range a.UserScopes {
					if !slices.Contains(over, s) {
						stays = append(stays, s)
					}
				}
				m.with("user_scopes", stays).command = updateApp + `'{"scopes":<scopes>,"user_authorized_scopes":<user_scopes>}'`
			}
			return m
		}),
		eachApp(Rule{
			ID: "app-refresh-ttl", Title: "OAuth app with long-lived refresh tokens", Severity: finding.Medium, Practice: SmallBlastRadius,
			What:   "An OAuth app's refresh tokens live longer than `audit.max_refresh_token_ttl`.",
			Why:    "A stolen refresh token gives access tokens until it expires. Nothing tells its use from the user's.",
			Remedy: "Shorten the refresh tokens of the app <app>.", Command: shorten,
		}, func(e *Estate, a *inventory.App) *match {
			if a.RefreshTTL <= e.Policy.Audit.MaxRefreshTokenTTL {
				return nil
			}
			return because("refresh tokens live", days(a.RefreshTTL), "allowed", days(e.Policy.Audit.MaxRefreshTokenTTL)).with("lifetimes", e.lifetimes(a))
		}),
		eachApp(Rule{
			ID: "app-access-ttl", Title: "OAuth app with long-lived access tokens", Severity: finding.Low, Practice: SmallBlastRadius,
			What:   "An OAuth app's access tokens live longer than `audit.max_access_token_ttl`.",
			Why:    "An access token cannot be taken back. It ends when it expires.",
			Remedy: "Shorten the access tokens of the app <app>.", Command: shorten,
		}, func(e *Estate, a *inventory.App) *match {
			if a.AccessTTL <= e.Policy.Audit.MaxAccessTokenTTL {
				return nil
			}
			return because("access tokens live", a.AccessTTL.String(), "allowed", e.Policy.Audit.MaxAccessTokenTTL.String()).with("lifetimes", e.lifetimes(a))
		}),
		eachApp(Rule{
			ID: "app-owner-gone", Title: "OAuth app whose creator is gone", Severity: finding.Medium, Practice: RemoveUnused,
			What:   "The user who made a custom OAuth app no longer exists or is deactivated.",
			Why:    "Nobody answers for it, and its client secret may be with whoever left.",
			Remedy: "Find out whether anybody uses the app <app>. If not, delete it; if so, make it anew under somebody's name.", Command: inAccount + "databricks account <kind>-app-integration delete <app>",
		}, func(e *Estate, a *inventory.App) *match {
			if a.Published || a.CreatorID == "" || a.CreatorUnknown {
				return nil
			}
			if a.Creator == "" {
				return because("creator", "no user with the id "+a.CreatorID)
			}
			if p, ok := e.people[strings.ToLower(a.Creator)]; ok && !p.Active {
				return because("creator", a.Creator, "state", "deactivated")
			}
			return nil
		}),
		eachApp(Rule{
			ID: "app-redirect", Title: "OAuth app that sends codes over plain HTTP or to any host", Severity: finding.High, Practice: SmallBlastRadius,
			What:   "A redirect URL of an OAuth app is plain http to another machine, or has a wildcard.",
			Why:    "Whoever is on the way, or owns a name that fits, gets the authorization code.",
			Remedy: "Replace the redirect URL of the app <app> by an exact one with https.", Command: updateApp + `'{"redirect_urls":<redirects>}'`,
		}, func(_ *Estate, a *inventory.App) *match {
			var bad, good []string
			for _, u := range a.RedirectURLs {
				if insecureRedirect(u) {
					bad = append(bad, u)
				} else {
					good = append(good, u)
				}
			}
			if len(bad) == 0 {
				return nil
			}
			m := because("redirect URLs", strings.Join(bad, " "))
			if len(good) > 0 {
				m.with("redirects", good)
			}
			return m
		}),
	}
}

func insecureRedirect(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || strings.Contains(raw, "*") {
		return true
	}
	host := u.Hostname()
	return u.Scheme == "http" && host != "localhost" && host != "127.0.0.1" && host != "::1"
}
