// Package trial proves that the rotator can do its work, as the rotator: a web
// identity token of AWS, exchanged for a Databricks token, by which it reads
// what it will have to read.
package trial

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"databricks-credential-rotation/infra/bootstrap/setup"
	"databricks-credential-rotation/shared/config"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/rotator"
)

// Trial is how a rotator is tried.
type Trial struct {
	// STS calls with the credentials of a function's role.
	STS rotator.STS
	// Transport carries the requests to Databricks, nil for Go's own.
	Transport http.RoundTripper
}

// Run changes nothing. It returns what it has proven, each in a line, also
// where something else failed.
func (t Trial) Run(ctx context.Context, r setup.Rotator) ([]string, error) {
	var (
		proven []string
		faults []error
	)
	if r.Account != "" {
		host := databricks.Host{URL: r.Account, AccountID: r.AccountID}
		if err := t.at(ctx, host, r, nil); err != nil {
			faults = append(faults, err)
		} else {
			proven = append(proven, "AWS vouches for the rotator, and it lists OAuth secrets at "+r.Account)
		}
	}
	for _, workspace := range r.Workspaces {
		if err := t.at(ctx, databricks.Host{URL: workspace}, r, r.Managed); err != nil {
			faults = append(faults, err)
		} else {
			proven = append(proven, fmt.Sprintf("AWS vouches for the rotator, and it lists the OAuth secrets of what it manages at %s", workspace))
		}
	}
	return proven, errors.Join(faults...)
}

// at tries the rotator at one host: as an admin it finds itself in the
// directory. At a workspace it lists the secrets of those of its principals
// that are there, at the account its own.
func (t Trial) at(ctx context.Context, host databricks.Host, r setup.Rotator, manages []databricks.ServicePrincipal) error {
	allowed, err := databricks.ParseAllowedHosts(host.URL)
	if err != nil {
		return err
	}
	cfg := config.Rotate{ClientID: r.ClientID, Audience: r.AccountID}
	client := &databricks.Client{
		Allowed: allowed, Transport: t.Transport,
		// Federation needs no store.
		Identity: rotator.Identity(cfg, managedsecret.Store{}, t.STS),
	}
	self, err := client.FindPrincipal(ctx, host, r.ClientID)
	if err != nil {
		return fmt.Errorf("as the rotator: %w", err)
	}
	if host.AccountID != "" {
		manages = []databricks.ServicePrincipal{self}
	}
	var faults []error
	for _, m := range manages {
		here, err := client.FindPrincipal(ctx, host, m.ApplicationID)
		if errors.Is(err, databricks.ErrNotFound) {
			continue
		}
		if err == nil {
			_, err = client.ListSecrets(ctx, host, here.ID)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("as the rotator, for service principal %s: %w", m.ApplicationID, err))
		}
	}
	return errors.Join(faults...)
}
