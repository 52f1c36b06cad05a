package rule

import (
	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
)

func eachManaged(r Rule, judge func(e *Estate, m *inventory.Managed) *match) check {
	return check{r, func(e *Estate, r Rule, say func(finding.Finding)) {
		for i := range e.Managed {
			m := &e.Managed[i]
			if found := judge(e, m); found != nil {
				say(r.Finding(finding.Subject{Kind: finding.ManagedSecret, ID: m.ARN, Name: m.Name, ClientID: m.ClientID}, found.detail,
					e.Owner(m.ClientID), found.merge(Values{"name": m.Name, "client": m.ClientID, "function": e.Place.RotateFunction, "revoke": e.Place.RevokeFunction}), found.evidence...))
			}
		}
	}}
}

const release = `aws lambda invoke --function-name <revoke> --cli-read-timeout 0 --cli-binary-format raw-in-base64-out --payload '{"mode":"release","secret":<name>,"reason":"the incident is over"}' /dev/stdout`

func managedChecks() []check {
	return []check{
		eachManaged(Rule{
			ID: "managed-dead", Title: "Managed secret does not authenticate", Severity: finding.Critical, Practice: Rotate,
			What:   "The credential that readers of a managed secret get was tried, and Databricks refused it.",
			Why:    "Everything that reads it is failing, or will at its next token.",
			Remedy: "Run a reconcile. It issues a new credential if it can, and says in its report why it cannot.", Command: reconcile,
		}, func(_ *Estate, m *inventory.Managed) *match {
			if m.Held || !m.Tried || m.Authenticates || m.Err != "" {
				return nil
			}
			return because("service principal", m.ClientID, "OAuth secret", m.OAuthSecretID, "expires", date(m.ExpiresAt))
		}),
		eachManaged(Rule{
			ID: "managed-overdue", Title: "Managed secret is overdue", Severity: finding.High, Practice: Rotate,
			What:   "A managed secret's credential is older than `rotation.interval` by more than a day, or was never issued.",
			Why:    "The rotation does not run, or does not get through. The credential expires when its lifetime is over.",
			Remedy: "Rotate <name> now, and read in the answer what stands in the way.", Command: rotateSecret,
		}, func(e *Estate, m *inventory.Managed) *match {
			switch {
			case m.Held || m.Err != "":
				return nil
			case m.IssuedAt.IsZero() && m.OAuthSecretID == "":
				return because("issued", "never")
			case !m.IssuedAt.IsZero() && e.now.Sub(m.IssuedAt) > e.Policy.Interval+lateness:
				return because("issued", date(m.IssuedAt), "age", days(e.now.Sub(m.IssuedAt)), "interval", days(e.Policy.Interval), "expires", date(m.ExpiresAt))
			default:
				return nil
			}
		}),
		eachManaged(Rule{
			ID: "managed-unreadable", Title: "Managed secret cannot be read", Severity: finding.High, Practice: SeeEverything,
			What:   "A secret has the tag of a managed secret, and its value could not be read or is not a credential.",
			Why:    "It is not rotated, and nobody can say which OAuth secrets belong to it.",
			Remedy: "Mend the value of <name>, or take the tag off it.", Command: "aws secretsmanager describe-secret --secret-id <name>",
		}, func(_ *Estate, m *inventory.Managed) *match {
			if m.Err == "" {
				return nil
			}
			return because("why", m.Err)
		}),
		eachManaged(Rule{
			ID: "managed-locked", Title: "Managed secret is held since a revocation", Severity: finding.Medium, Practice: SmallBlastRadius,
			What:   "A managed secret is held since a revocation, and nobody has released it.",
			Why:    "Its readers get nothing that works, and it is not rotated. That is right during an incident, and wrong after one.",
			Remedy: "When the incident is over, release <name> with the revoke function.", Command: release,
		}, func(_ *Estate, m *inventory.Managed) *match {
			if !m.Held {
				return nil
			}
			return because("service principal", m.ClientID)
		}),
	}
}

func sourceChecks() []check {
	return []check{{Rule{
		ID: "source-unreadable", Title: "A part of the estate could not be read", Severity: finding.Medium, Practice: SeeEverything,
		What:   "The audit could not read a workspace, a list or a service.",
		Why:    "There may be anything in it. That nothing was found there says nothing.",
		Remedy: "See why, and run the audit again: <why>",
	}, func(e *Estate, r Rule, say func(finding.Finding)) {
		seen := map[string]bool{}
		for _, g := range e.Gaps {
			s := finding.Subject{Kind: finding.Source, ID: g.Where + ": " + g.What, Name: g.Where}
			if seen[s.ID] {
				continue
			}
			seen[s.ID] = true
			say(r.Finding(s, "", "", Values{"why": g.Why}, finding.Evidence{Name: "missing", Value: g.What}, finding.Evidence{Name: "why", Value: g.Why}))
		}
	}}}
}
