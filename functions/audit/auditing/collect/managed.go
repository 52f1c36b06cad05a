package collect

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
)

// aws is where the gaps of Secrets Manager are.
const aws = "AWS Secrets Manager"

// holding is a managed secret with its current credential.
type holding struct {
	inventory.Managed
	version    string
	credential credential.Credential
}

// readBatch is how many current values are read at a time: a hundred at the
// most are in memory that nobody has looked at.
const readBatch = 100

// readManaged reads the managed secrets and their current values.
func (r *run) readManaged(ctx context.Context) {
	var batch []managedsecret.Secret
	for s, err := range r.Store.List(ctx) {
		if err != nil {
			r.gap(ctx, aws, "the list of managed secrets", "", err)
			break
		}
		// One that is to be deleted, or is a copy, is not rotated here.
		if s.Deleted || s.PrimaryRegion != "" {
			continue
		}
		if batch = append(batch, s); len(batch) == readBatch {
			r.readCurrent(ctx, batch)
			batch = nil
		}
	}
	r.readCurrent(ctx, batch)
}

func (r *run) readCurrent(ctx context.Context, batch []managedsecret.Secret) {
	var arns []string
	for _, s := range batch {
		arns = append(arns, s.ARN)
	}
	versions, errs := r.Store.CurrentVersions(ctx, arns)
	for _, s := range batch {
		h := &holding{Managed: inventory.Managed{ARN: s.ARN, Name: s.Name, Held: s.Hold != nil}}
		if err := errs[s.ARN]; err != nil {
			h.Err = err.Error()
		} else {
			h.take(versions[s.ARN])
		}
		r.held = append(r.held, h)
	}
}

// take keeps what a version's value says.
func (h *holding) take(v managedsecret.Version) {
	c, err := credential.Parse(v.Value)
	if err != nil {
		// Parse never quotes the value.
		h.Err = strings.ReplaceAll(err.Error(), "\n", "; ")
		return
	}
	h.version, h.credential, h.Err = v.ID, c, ""
	h.Host, h.ClientID, h.OAuthSecretID = c.Host, c.ClientID, c.OAuthSecretID
	h.IssuedAt, h.ExpiresAt = c.IssuedAt, c.ExpiresAt
	h.Predecessors = nil
	for _, p := range c.Predecessors {
		h.Predecessors = append(h.Predecessors, p.OAuthSecretID)
	}
	h.Recorded = nil
	h.record(c)
}

// record notes the OAuth secrets that a version names.
func (h *holding) record(c credential.Credential) {
	ids := []string{c.OAuthSecretID}
	for _, p := range c.Predecessors {
		ids = append(ids, p.OAuthSecretID)
	}
	for _, id := range ids {
		if id != "" && !slices.Contains(h.Recorded, id) {
			h.Recorded = append(h.Recorded, id)
		}
	}
}

// managedHosts are the workspaces that managed secrets name, sorted.
func (r *run) managedHosts() []string {
	var all []string
	for _, h := range r.held {
		if h.Err == "" && !h.credential.AccountLevel() {
			all = append(all, h.Host)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// finishManaged completes what is known of each managed secret with what its
// principal has.
func (r *run) finishManaged(ctx context.Context) {
	forEach(r.slots, r.held, func(h *holding) {
		if h.Err != "" {
			return
		}
		var listed []inventory.OAuthSecret
		if one, ok := r.people.named(h.ClientID); ok && one.principal != nil {
			listed = one.principal.Secrets
		}
		// What a revocation holds is dead on purpose, and trying it would look
		// like a use after revocation.
		if r.Try && h.credential.Issued() && !h.Held {
			r.try(ctx, h, listed)
		}
		// Versions are read one by one, so only where there is a secret that
		// the current one does not explain.
		if slices.ContainsFunc(listed, func(s inventory.OAuthSecret) bool { return !slices.Contains(h.Recorded, s.ID) }) {
			r.readVersions(ctx, h)
		}
	})
}

const (
	// young is the age up to which a credential may not have reached every
	// server of Databricks, and settling how long it is given then.
	young    = time.Hour
	settling = 5 * time.Second
)

// try authenticates with the current credential. One that is refused is looked
// up again: it may have been rotated since it was read. A young one is given a
// moment.
func (r *run) try(ctx context.Context, h *holding, listed []inventory.OAuthSecret) {
	err := r.verify(ctx, h, listed)
	if errors.Is(err, databricks.ErrRefused) {
		if v, again := r.Store.CurrentVersion(ctx, h.ARN); again == nil && v.ID != h.version {
			if h.take(v); h.Err != "" || !h.credential.Issued() {
				return
			}
			err = r.verify(ctx, h, listed)
		}
	}
	if errors.Is(err, databricks.ErrRefused) && r.clock()().Sub(h.IssuedAt) < young {
		select {
		case <-ctx.Done():
		case <-time.After(settling):
		}
		err = r.verify(ctx, h, listed)
	}
	switch {
	case err == nil || errors.Is(err, databricks.ErrRefused):
		h.Tried, h.Authenticates = true, err == nil
	default:
		r.gap(ctx, h.Host, "whether the current credential authenticates", h.Name, err)
	}
}

func (r *run) verify(ctx context.Context, h *holding, listed []inventory.OAuthSecret) error {
	if ctx.Err() != nil {
		return errTime
	}
	c := h.credential
	scopes := c.Scopes
	for _, s := range listed {
		if s.ID == c.OAuthSecretID && len(s.Scopes) > 0 {
			scopes = s.Scopes
		}
	}
	return r.Databricks.Verify(ctx, databricks.Host{URL: c.Host, AccountID: c.AccountID}, c.ClientID, c.ClientSecret, scopes)
}

// readVersions adds what the versions other than the current one record.
func (r *run) readVersions(ctx context.Context, h *holding) {
	fail := func(err error) {
		h.RecordedUnknown = true
		r.gap(ctx, aws, "the versions", h.Name, err)
	}
	if ctx.Err() != nil {
		fail(errTime)
		return
	}
	versions, err := r.Store.Versions(ctx, h.ARN)
	if err != nil {
		fail(err)
		return
	}
	for _, v := range versions {
		if v.ID == h.version {
			continue
		}
		full, err := r.Store.Version(ctx, h.ARN, v.ID)
		if errors.Is(err, managedsecret.ErrNotFound) {
			continue // made without a value by a rotation, or just dropped
		}
		if err != nil {
			fail(err)
			return
		}
		// A value of some other kind records nothing.
		if c, err := credential.Parse(full.Value); err == nil {
			h.record(c)
		}
	}
}
