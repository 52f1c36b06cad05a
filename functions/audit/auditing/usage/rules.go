package usage

import (
	"slices"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/rule"
)

// Rules are what use of a credential is found fault with.
func Rules() []rule.Rule { return slices.Clone(rules) }

var rules = []rule.Rule{
	useAfterRevocation, addressOutside, dormantAwake, failureBurst, adminGranted, secretMade, tokenMade, aclBurst, newAddress, newAgent, notWatched,
}

const explain = "Ask the owner. If nobody can explain it, run the revoke function for it in mode lockout, and look in the audit log for what it did."

var (
	useAfterRevocation = rule.Rule{
		ID: "use-after-revocation", Severity: finding.Critical, Practice: rule.WatchUse,
		Title: "A credential was used after it was revoked",
		What: "The audit log has calls that succeeded, by a principal or with a personal access token, after it was revoked. " +
			"Calls within an hour of the revocation may come from access tokens that were issued before it, and count as high; later ones as critical.",
		Why:     "Somebody still holds a credential that works: one that the revocation did not know, or an access token that lives on.",
		Remedy:  "Run the revoke function again in mode lockout, which also switches the principal off, and look for credentials of it that the revocation did not cover.",
		Command: `aws lambda invoke --function-name <revoke> --cli-read-timeout 0 --cli-binary-format raw-in-base64-out --payload '{"mode":"lockout","service_principal":<client>,"reason":"used after it was revoked"}' /dev/stdout`,
	}
	addressOutside = rule.Rule{
		ID: "address-outside-networks", Severity: finding.High, Practice: rule.WatchUse,
		Title: "A credential was used from outside the policy's networks",
		What: "Within the last week a service principal's calls, or a login with a personal access token, came from an address that is in none of audit.networks. " +
			"Loopback and link-local addresses are Databricks' own and not looked at; private ones are, and belong into the policy if they are yours.",
		Why:    "Machines have fixed places. A credential that is used from elsewhere was copied there.",
		Remedy: explain + " If the address is yours, add it to audit.networks.",
	}
	newAddress = rule.Rule{
		ID: "address-first-seen", Severity: finding.Low, Practice: rule.WatchUse,
		Title: "A credential was used from an address for the first time",
		What: "Within the last week a principal that was seen before used an address that the log has not seen it at before. " +
			"This is looked at only while the policy lists no networks.",
		Why:    "Machines have fixed places. A new one is a new deployment, or somebody else.",
		Remedy: "Ask the owner whether the work has moved. List your networks in audit.networks, and this is told apart for you.",
	}
	newAgent = rule.Rule{
		ID: "agent-first-seen", Severity: finding.Low, Practice: rule.WatchUse,
		Title: "A credential was used by a program for the first time",
		What: "Within the last week a principal that was seen before was used by a program, by its user agent, that the log has not seen it used by. " +
			"A new version of a known program does not count, nor do those that begin as one of audit.known_agents.",
		Why:    "Automation rarely changes its tools, and a thief brings their own.",
		Remedy: "Ask the owner whether the program is theirs. If it is in use everywhere, add it to audit.known_agents.",
	}
	dormantAwake = rule.Rule{
		ID: "dormant-principal-awake", Severity: finding.High, Practice: rule.WatchUse,
		Title: "A dormant service principal is in use again",
		What: "A service principal was used within the last week after at least audit.dormant_after without any use. " +
			"One that the log has not seen at all before is reported if it has an OAuth secret of that age.",
		Why:    "Nobody misses the credential of a principal that nobody uses, which is why thieves like them.",
		Remedy: explain,
	}
	failureBurst = rule.Rule{
		ID: "auth-failure-burst", Severity: finding.High, Practice: rule.WatchUse,
		Title: "Many authentications failed at once",
		What:  "At least audit.bursts.failed_authentications attempts by one identity, or from one address, were refused within audit.bursts.window in the last week.",
		Why:   "Somebody is guessing, or tries what was stolen. Or a rotated credential has not reached its reader, which then is about to stop working.",
		Remedy: "See from where. If it is a reader of yours, have it read its secret again; its grace period may be too short. " +
			"If not, keep the address out with an IP access list.",
	}
	aclBurst = rule.Rule{
		ID: "acl-change-burst", Severity: finding.Medium, Practice: rule.TwoLayers,
		Title:  "Many access-control lists were changed at once",
		What:   "One identity changed permissions or grants at least audit.bursts.acl_changes times within audit.bursts.window in the last week.",
		Why:    "Access-control lists are the second layer. Whoever widens many of them prepares something, or had a migration.",
		Remedy: "Ask who made the changes for what. Have migrations announced, and compare the permissions with the role's.",
	}
	adminGranted = rule.Rule{
		ID: "admin-granted", Severity: finding.High, Practice: rule.SmallBlastRadius,
		Title:  "Admin rights were granted",
		What:   "Somebody was made an admin of a workspace or of the account within the last week, directly or through an admins group.",
		Why:    "An admin's credential opens everything, and admins make more admins.",
		Remedy: "Make sure that it was asked for. If not, take the right away again, and treat whoever granted it as compromised.",
	}
	secretMade = rule.Rule{
		ID: "secret-made-outside", Severity: finding.High, Practice: rule.Rotate,
		Title:  "An OAuth secret was made outside this system",
		What:   "Somebody other than the rotator made an OAuth secret for a service principal within the last week.",
		Why:    "It is in no managed secret: nobody rotates it, and where it is kept is not known.",
		Remedy: "Have it deleted, and its reader read the managed secret instead. In an emergency run the revoke function with include_foreign.",
	}
	tokenMade = rule.Rule{
		ID: "token-made-outside", Severity: finding.Low, Practice: rule.ServicePrincipal,
		Title:  "A personal access token was made",
		What:   "A personal access token was made within the last week. Made by a service principal it counts as medium.",
		Why:    "A personal access token is rotated by nobody, and its owner's rights are seldom narrow. A principal that makes tokens can outlive its own credential.",
		Remedy: "Have automation use a managed OAuth secret or federation. Delete the token if nobody needs it.",
	}
	notWatched = rule.Rule{
		ID: "usage-not-watched", Severity: finding.Medium, Practice: rule.SeeEverything,
		Title:  "Checks of the audit log could not be made",
		What:   "No SQL warehouse is configured, or a statement over the audit log failed. The evidence names each check that is missing, and why.",
		Why:    "What is not looked at looks the same as what is in order.",
		Remedy: "Configure a SQL warehouse for the audit, enable the system schema access, and grant the audit's principal USE on it, SELECT on its table audit and CAN USE on the warehouse.",
	}
)
