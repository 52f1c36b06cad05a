package auditing

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/collect"
	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/functions/audit/auditing/usage"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
)

// Databricks is what a prune reads and changes in Databricks.
type Databricks interface {
	Token(ctx context.Context, workspace databricks.Host, id string) (databricks.Token, error)
	DeleteToken(ctx context.Context, workspace databricks.Host, id string) error
	SetTokenScopes(ctx context.Context, workspace databricks.Host, id string, scopes []string) error
	ListSecrets(ctx context.Context, host databricks.Host, principal string) ([]databricks.OAuthSecret, error)
	DeleteSecret(ctx context.Context, host databricks.Host, principal, id string) error
}

// Store is what a prune reads of Secrets Manager.
type Store interface {
	List(ctx context.Context) iter.Seq2[managedsecret.Secret, error]
	CurrentVersions(ctx context.Context, arns []string) (map[string]managedsecret.Version, map[string]error)
	Versions(ctx context.Context, arn string) ([]managedsecret.Version, error)
	Version(ctx context.Context, arn, versionID string) (managedsecret.Version, error)
}

// Live is the estate as it is now, not as it was collected.
type Live struct {
	Databricks Databricks
	Store      Store
	// Account is the account console, its URL empty if there is none.
	Account databricks.Host
}

// Held are the principals of managed secrets that a revocation holds.
func (l Live) Held(ctx context.Context) ([]usage.Revocation, error) {
	since := map[string]time.Time{}
	var arns []string
	for s, err := range l.Store.List(ctx) {
		if err != nil {
			return nil, err
		}
		if s.Hold != nil && !s.Hold.Since.IsZero() {
			arns = append(arns, s.ARN)
			since[s.ARN] = s.Hold.Since
		}
	}
	var held []usage.Revocation
	versions, errs := l.Store.CurrentVersions(ctx, arns)
	for arn, v := range versions {
		if c, err := credential.Parse(v.Value); err == nil {
			held = append(held, usage.Revocation{Subject: c.ClientID, At: since[arn]})
		}
	}
	var faults []error
	for arn, err := range errs {
		faults = append(faults, fmt.Errorf("%s: %w", arn, err))
	}
	slices.SortFunc(held, func(a, b usage.Revocation) int { return strings.Compare(a.Subject, b.Subject) })
	return held, errors.Join(faults...)
}

// over is the live estate with the places of an inventory.
func (l Live) over(inv *inventory.Inventory, lastUses func(context.Context) (map[string]time.Time, error)) *live {
	v := &live{Live: l, workspaces: map[int64]databricks.Host{}, principals: map[string]*inventory.Principal{}, lastUses: lastUses}
	for _, w := range inv.Workspaces {
		v.workspaces[w.ID] = databricks.Host{URL: w.Host}
	}
	for i := range inv.Principals {
		v.principals[inv.Principals[i].ClientID] = &inv.Principals[i]
	}
	return v
}

// live implements prune.Estate. What the log and Secrets Manager tell of all
// principals is read once, at the first deletion that depends on it.
type live struct {
	Live
	workspaces map[int64]databricks.Host
	principals map[string]*inventory.Principal
	lastUses   func(context.Context) (map[string]time.Time, error)

	used    map[string]time.Time
	managed map[string][]string // ARNs by application id
	named   map[string][]string // OAuth secrets of current versions by application id
}

func (l *live) workspace(id int64) (databricks.Host, error) {
	host, ok := l.workspaces[id]
	if !ok || host.URL == "" {
		return databricks.Host{}, fmt.Errorf("the host of workspace %d is not known", id)
	}
	return host, nil
}

func (l *live) Token(ctx context.Context, workspace int64, id string) (inventory.Token, error) {
	host, err := l.workspace(workspace)
	if err != nil {
		return inventory.Token{}, err
	}
	t, err := l.Databricks.Token(ctx, host, id)
	if err != nil {
		return inventory.Token{}, err
	}
	return inventory.Token{
		ID: t.ID, Workspace: workspace, Comment: t.Comment, OwnerID: t.OwnerID, CreatedBy: t.CreatedBy, CreatedAt: t.CreateTime,
		ExpiresAt: t.ExpireTime, LastUsedAt: t.LastUsed, Scopes: t.Scopes, Autoscope: t.Autoscope, Inferred: collect.Inferred(t),
	}, nil
}

func (l *live) DeleteToken(ctx context.Context, workspace int64, id string) error {
	host, err := l.workspace(workspace)
	if err != nil {
		return err
	}
	return l.Databricks.DeleteToken(ctx, host, id)
}

func (l *live) SetTokenScopes(ctx context.Context, workspace int64, id string, scopes []string) error {
	host, err := l.workspace(workspace)
	if err != nil {
		return err
	}
	return l.Databricks.SetTokenScopes(ctx, host, id, scopes)
}

// place is where a principal's OAuth secrets are managed, and its id there:
// the account console, or without one any of its workspaces.
func (l *live) place(clientID string) (databricks.Host, string, error) {
	p, ok := l.principals[clientID]
	switch {
	case !ok:
		return databricks.Host{}, "", fmt.Errorf("the service principal %s is not in the inventory", clientID)
	case l.Account.URL != "":
		return l.Account, p.ID, nil
	}
	for id, a := range p.Assignments {
		if host, err := l.workspace(id); err == nil && a.ID != "" {
			return host, a.ID, nil
		}
	}
	return databricks.Host{}, "", fmt.Errorf("no workspace that was read has the service principal %s", clientID)
}

func (l *live) Secrets(ctx context.Context, clientID string) ([]inventory.OAuthSecret, error) {
	host, principal, err := l.place(clientID)
	if err != nil {
		return nil, err
	}
	listed, err := l.Databricks.ListSecrets(ctx, host, principal)
	if err != nil {
		return nil, err
	}
	secrets := make([]inventory.OAuthSecret, 0, len(listed))
	for _, s := range listed {
		secrets = append(secrets, inventory.OAuthSecret{ID: s.ID, CreatedAt: s.CreateTime, ExpiresAt: s.ExpireTime, Scopes: s.Scopes})
	}
	return secrets, nil
}

func (l *live) DeleteSecret(ctx context.Context, clientID, id string) error {
	host, principal, err := l.place(clientID)
	if err != nil {
		return err
	}
	return l.Databricks.DeleteSecret(ctx, host, principal, id)
}

// Recorded reads every managed secret's current version once, and all versions
// of those that are the principal's. One that cannot be read could name
// anything, so nothing is removed then.
func (l *live) Recorded(ctx context.Context, clientID string) ([]string, error) {
	if l.named == nil {
		if err := l.readManaged(ctx); err != nil {
			return nil, err
		}
	}
	ids := slices.Clone(l.named[clientID])
	for _, arn := range l.managed[clientID] {
		versions, err := l.Store.Versions(ctx, arn)
		if err != nil {
			return nil, err
		}
		for _, v := range versions {
			full, err := l.Store.Version(ctx, arn, v.ID)
			if errors.Is(err, managedsecret.ErrNotFound) {
				continue // made without a value by a rotation
			}
			if err != nil {
				return nil, err
			}
			if c, err := credential.Parse(full.Value); err == nil {
				ids = append(ids, names(c)...)
			}
		}
	}
	return ids, nil
}

func (l *live) readManaged(ctx context.Context) error {
	var arns []string
	for s, err := range l.Store.List(ctx) {
		if err != nil {
			return err
		}
		if !s.Deleted {
			arns = append(arns, s.ARN)
		}
	}
	versions, errs := l.Store.CurrentVersions(ctx, arns)
	for _, arn := range arns {
		if err := errs[arn]; err != nil {
			return fmt.Errorf("%s: %w", arn, err)
		}
	}
	managed, named := map[string][]string{}, map[string][]string{}
	for arn, v := range versions {
		c, err := credential.Parse(v.Value)
		if err != nil {
			return fmt.Errorf("%s: %w", arn, err)
		}
		managed[c.ClientID] = append(managed[c.ClientID], arn)
		named[c.ClientID] = append(named[c.ClientID], names(c)...)
	}
	l.managed, l.named = managed, named
	return nil
}

func names(c credential.Credential) []string {
	ids := []string{c.OAuthSecretID}
	for _, p := range c.Predecessors {
		ids = append(ids, p.OAuthSecretID)
	}
	return ids
}

func (l *live) LastUsed(ctx context.Context, clientID string, _ time.Time) (time.Time, error) {
	if l.used == nil {
		used, err := l.lastUses(ctx)
		if err != nil {
			return time.Time{}, err
		}
		l.used = used
	}
	return l.used[strings.ToLower(clientID)], nil
}

func (l *live) Host(s finding.Subject) string {
	if s.Kind == finding.Token {
		return l.workspaces[s.Workspace].URL
	}
	host, _, err := l.place(s.ClientID)
	if err != nil {
		return ""
	}
	return host.URL
}
