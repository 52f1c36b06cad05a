// Package setup brings the rotator's set-up in Databricks about, or tells what
// is missing: its service principal, the federation policies by which the
// functions' roles become it, and what it may do.
package setup

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"databricks-credential-rotation/shared/databricks"
)

// DefaultName is the display name of the rotator's service principal.
const DefaultName = "databricks-credential-rotation"

// Wanted is the set-up that is asked for.
type Wanted struct {
	// Name is the service principal's display name, by which it is found.
	Name string
	// ClientID is the application id of one that is there. It is empty for one
	// that is found by its name, or made.
	ClientID string
	// AccountAdmin has the rotator manage principals at the account's console.
	AccountAdmin bool
	// Workspaces have it manage principals at workspaces' hosts: by id, name,
	// deployment name or URL. In a workspace's own console it is that one.
	Workspaces []string
	// Managed are the application ids of the principals that it manages there.
	Managed []string
	// Issuer is the AWS account's issuer of web identity tokens, Subjects are
	// the functions' roles. Without subjects there is no federation policy yet.
	Issuer   string
	Subjects []string
}

var (
	uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	rolePattern = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[!-~]+$`)
)

// Check reports every fault in what is asked for at once.
func (w Wanted) Check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if w.Name == "" {
		fault("-name is empty")
	}
	if w.ClientID != "" && !uuidPattern.MatchString(w.ClientID) {
		fault("-client-id %q is not an application id, a UUID in lower case", w.ClientID)
	}
	for _, id := range w.Managed {
		if !uuidPattern.MatchString(id) {
			fault("-manage %q is not an application id, a UUID in lower case", id)
		}
	}
	for _, subject := range w.Subjects {
		switch {
		case strings.Contains(subject, ":assumed-role/"):
			fault("-subject %q is a session of a role: the subject is the role itself, arn:aws:iam::<account>:role/<name>", subject)
		case !rolePattern.MatchString(subject):
			fault("-subject %q is not the ARN of a role, arn:aws:iam::<account>:role/<name>", subject)
		}
	}
	switch {
	case w.Issuer == "" && len(w.Subjects) > 0:
		fault("-subject needs -issuer, the AWS account's issuer of web identity tokens")
	case w.Issuer != "" && len(w.Subjects) == 0:
		fault("-issuer needs -subject, the role of a function")
	case w.Issuer != "" && (!strings.HasPrefix(w.Issuer, "https://") || strings.HasSuffix(w.Issuer, "/")):
		fault("-issuer %q is not a URL of the form https://…, without a slash at its end", w.Issuer)
	}
	return errors.Join(faults...)
}

// checkAt reports what cannot be had at the console.
func (w Wanted) checkAt(account bool) error {
	switch {
	case !account && w.AccountAdmin:
		return wrong("-account-admin needs the account's console: -host https://accounts.cloud.databricks.com")
	case !account && len(w.Workspaces) > 1:
		return wrong("a workspace's console knows one workspace: for more, log in to the account's")
	case account && !w.AccountAdmin && len(w.Workspaces) == 0:
		return wrong("say where the rotator is to work: -account-admin at the account's host, or -workspace at a workspace's")
	case account && len(w.Workspaces) == 0 && len(w.Managed) > 0:
		return wrong("-manage goes with -workspace: an account admin manages all service principals")
	}
	return nil
}

// policy is the federation policy by which the role becomes the rotator. Its
// id follows from the role, so that one that is made twice is the same one. The
// audience is the account id: the functions' roles may ask for no other.
func (w Wanted) policy(subject, accountID string) databricks.FederationPolicy {
	sum := sha256.Sum256([]byte(subject))
	return databricks.FederationPolicy{
		ID:          "credential-rotation-" + hex.EncodeToString(sum[:6]),
		Description: "The role of a function of the credential rotation in AWS.",
		Issuer:      w.Issuer, Audiences: []string{accountID}, Subject: subject,
	}
}

// lets tells whether a policy lets in whom the wanted one would.
func lets(is, wanted databricks.FederationPolicy, accountID string) bool {
	audiences := is.Audiences
	if len(audiences) == 0 {
		audiences = []string{accountID}
	}
	return is.Issuer == wanted.Issuer && is.Subject == wanted.Subject &&
		(is.SubjectClaim == "" || is.SubjectClaim == "sub") && slices.Contains(audiences, wanted.Audiences[0])
}
