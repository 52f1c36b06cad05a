package rotation

import (
	"context"
	"errors"
	"slices"
	"strings"

	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
)

// Which OAuth secret the current value is of, and whether it is this managed
// secret's own. Databricks tells no values: what versions record is all that is
// known (docs/adr/0022-never-guessed.md).

// mayBeMisnamed tells that somebody else than a run may have written the current
// version over another one, and left that one's id beside its value.
func (o Observation) mayBeMisnamed() bool {
	return o.Current.Credential.Issued() && !strings.HasPrefix(o.Current.ID, versionPrefix) && o.Secret.Holder(managedsecret.Previous) != ""
}

// adopts tells that the plan replaces a credential that works and that somebody
// has put there, or that was not issued for this managed secret. Another one may
// hold it too.
func (o Observation) adopts(plan Plan) bool {
	if plan.Issue == nil || !o.Current.Credential.Issued() || !o.alive() {
		return false
	}
	return o.Misnamed || !slices.ContainsFunc(o.Listed, func(s databricks.OAuthSecret) bool {
		return s.ID == o.Current.Credential.OAuthSecretID && isOurs(o.Secret.ARN, s)
	})
}

// readVersions reads every version there is. It also looks at which one is
// current again: a first read may have been stale, and what it did not know
// must not be taken for an orphan. The labels are read last, so that a version
// that another run stores meanwhile shows as a disagreement.
func (r *run) readVersions(ctx context.Context, o *Observation) error {
	versions, err := r.Store.Versions(ctx, o.Secret.ARN)
	if err != nil {
		return err
	}
	values := map[string]credential.Credential{}
	missing := map[string]error{}
	partial := false
	for _, v := range versions {
		if v.ID != o.Current.ID && slices.Contains(v.Labels, managedsecret.Current) {
			return errDisagree
		}
		full, err := r.Store.Version(ctx, o.Secret.ARN, v.ID)
		switch {
		case errors.Is(err, managedsecret.ErrNotFound):
			missing[v.ID] = err // made without a value by a rotation, or just dropped
		case errors.Is(err, managedsecret.ErrDenied) && len(v.Labels) == 0:
			// What has no label stays under the key that the secret had then.
			r.Log.WarnContext(ctx, "an older version cannot be read, so no OAuth secret is taken for one that no version has", "secret", o.Secret.Name, "version_id", v.ID, "error", err.Error())
			partial = true
		case err != nil:
			return err
		default:
			if c, err := credential.Parse(full.Value); err == nil {
				values[v.ID] = c // a value of some other kind records nothing
			}
		}
	}
	s, err := r.Store.Describe(ctx, o.Secret.ARN)
	if err != nil {
		return err
	}
	for _, label := range []string{managedsecret.Current, managedsecret.Previous} {
		if err := missing[s.Holder(label)]; err != nil {
			return err
		}
	}
	if s.Holder(managedsecret.Current) != o.Current.ID {
		// Whom the value names was looked at, and this would be another value.
		return errDisagree
	}
	o.Secret, o.Versions, o.Partial = s, versions, partial
	o.identify(values)
	return nil
}

// identify takes down which version records each OAuth secret, and which of
// them the current value is of. Only versions tell that: the current one may
// lack the id, or have one that somebody has left beside another value. Then
// what else it says of its OAuth secret counts for nothing either.
func (o *Observation) identify(values map[string]credential.Credential) {
	o.Recorded, o.Hashes, o.Unnamed = map[string]string{}, map[string]string{}, nil
	c := &o.Current.Credential
	var ledger credential.Ledger
	for _, byRun := range []bool{true, false} { // what a run has written, nobody has edited
		for _, v := range slices.Backward(o.Versions) { // the oldest first
			if value := values[v.ID]; value.ClientID == c.ClientID && strings.HasPrefix(v.ID, versionPrefix) == byRun {
				ledger.Note(value)
			}
		}
	}
	ledger.Note(*c) // the list of versions may lag
	for _, v := range slices.Backward(o.Versions) {
		if id := values[v.ID].OAuthSecretID; id != "" {
			o.Recorded[id] = v.ID
		}
	}
	for _, value := range values {
		switch noted := ledger.Of(value.ClientSecret); {
		case !value.Issued():
		case noted.OAuthSecretID != "":
			o.Hashes[noted.OAuthSecretID] = value.ClientSecret.SHA256()
		default:
			o.Unnamed = append(o.Unnamed, value.ClientSecret.SHA256())
		}
	}
	noted := ledger.Of(c.ClientSecret)
	if !c.Issued() || noted.OAuthSecretID == c.OAuthSecretID {
		return
	}
	o.Misnamed = true
	if c.OAuthSecretID != "" {
		if !ledger.Claimed(c.OAuthSecretID) {
			noted = credential.Credential{} // two ids were stored with this value, and either may be a mistake
		}
		o.Beside, c.Scopes = c.Scopes, nil
	}
	c.OAuthSecretID, c.IssuedAt, c.ExpiresAt = noted.OAuthSecretID, noted.IssuedAt, noted.ExpiresAt
	if len(noted.Scopes) > 0 {
		c.Scopes = noted.Scopes
	}
}
