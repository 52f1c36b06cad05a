// Package databricks is the part of Databricks that this product talks to:
// service principals, their OAuth secrets, and the token endpoint.
//
// Calls go through the Databricks SDK's HTTP client, but raw: the SDK's typed
// structs have no field for an OAuth secret's scopes and would drop them. The
// SDK's own retries are switched off, because it retries every method, and a
// repeated create is a second secret that nobody knows. Here a read or a
// delete is retried with jittered back-off that honours Retry-After; a create
// is one request.
package databricks

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"databricks-credential-rotation/shared/pattern"
)

// Host is where a service principal is managed.
type Host struct {
	// URL is the base, such as https://accounts.cloud.databricks.com, without a
	// slash at its end.
	URL string
	// AccountID is set for the account console and empty for a workspace.
	AccountID string
}

func (h Host) String() string { return h.URL }

func (h Host) tokenURL() string {
	if h.AccountID != "" {
		return fmt.Sprintf("%s/oidc/accounts/%s/v1/token", h.URL, h.AccountID)
	}
	return h.URL + "/oidc/v1/token"
}

func (h Host) secretsURL(principal string) string {
	if h.AccountID != "" {
		return fmt.Sprintf("%s/api/2.0/accounts/%s/servicePrincipals/%s/credentials/secrets", h.URL, h.AccountID, url.PathEscape(principal))
	}
	return fmt.Sprintf("%s/api/2.0/accounts/servicePrincipals/%s/credentials/secrets", h.URL, url.PathEscape(principal))
}

func (h Host) principalsURL() string {
	if h.AccountID != "" {
		return fmt.Sprintf("%s/api/2.0/accounts/%s/scim/v2/ServicePrincipals", h.URL, h.AccountID)
	}
	return h.URL + "/api/2.0/preview/scim/v2/ServicePrincipals"
}

// AllowedHosts are the hosts to which credentials may be sent. A managed
// secret names its own host, and whoever can write that secret could
// otherwise have the rotator present its identity to a host of their choice.
type AllowedHosts []allowedHost

type allowedHost struct {
	scheme, name, port string
	suffix             bool
}

// ParseAllowedHosts reads patterns with commas between them. A pattern is a
// URL: https://dbc-1a2b.cloud.databricks.com for one host,
// https://*.cloud.databricks.com for every name below one. Plain http is
// accepted for loopback addresses only, with a port or :* for any.
func ParseAllowedHosts(patterns string) (AllowedHosts, error) {
	var hosts AllowedHosts
	for _, pattern := range strings.Split(patterns, ",") {
		pattern = strings.TrimSpace(pattern)
		if pattern == "" {
			continue
		}
		scheme, rest, ok := strings.Cut(pattern, "://")
		if !ok || strings.ContainsAny(rest, "/?#@") {
			return nil, fmt.Errorf("host pattern %q must be a URL such as https://*.cloud.databricks.com", pattern)
		}
		name, port, _ := strings.Cut(strings.ToLower(rest), ":")
		if !portPattern.MatchString(port) {
			return nil, fmt.Errorf("host pattern %q must end in a port number, or :*, or the name", pattern)
		}
		h := allowedHost{scheme: scheme, name: name, port: port}
		if after, ok := strings.CutPrefix(name, "*."); ok {
			h.name, h.suffix = "."+after, true
		}
		switch {
		case strings.Contains(h.name, "*"):
			return nil, fmt.Errorf("host pattern %q may have one *, as its first label", pattern)
		case !namePattern.MatchString(strings.TrimPrefix(h.name, ".")):
			return nil, fmt.Errorf("host pattern %q must name a host", pattern)
		case h.suffix && strings.Count(h.name, ".") < 2:
			return nil, fmt.Errorf("host pattern %q is too wide: it must name at least a domain", pattern)
		case scheme == "http" && (h.suffix || !isLoopback(name)):
			return nil, fmt.Errorf("host pattern %q: plain http is for loopback addresses only", pattern)
		case scheme != "http" && scheme != "https":
			return nil, fmt.Errorf("host pattern %q must begin with https://", pattern)
		}
		hosts = append(hosts, h)
	}
	if len(hosts) == 0 {
		return nil, fmt.Errorf("no host is allowed: set at least one, such as https://*.cloud.databricks.com")
	}
	return hosts, nil
}

var (
	namePattern = pattern.New(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
	portPattern = pattern.New(`^([0-9]{1,5}|\*)?$`)
)

func isLoopback(name string) bool {
	ip, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && ip.IsLoopback()
}

// Check returns an error for a URL whose host matches no pattern, and for one
// that is more than a scheme and a host.
func (a AllowedHosts) Check(hostURL string) error {
	u, err := url.Parse(hostURL)
	if err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return fmt.Errorf("%w: it is not a URL of the form https://host", ErrHost)
	}
	name := strings.ToLower(u.Hostname())
	for _, h := range a {
		if h.scheme == u.Scheme && (h.port == "*" || h.port == u.Port()) &&
			(h.name == name || h.suffix && strings.HasSuffix(name, h.name)) {
			return nil
		}
	}
	if u.Scheme != "https" {
		return fmt.Errorf("%w: it must begin with https://", ErrHost)
	}
	// Somebody may have put a secret in the host's place.
	return fmt.Errorf("%w: %s is not among the allowed hosts", ErrHost, scrub(name))
}
