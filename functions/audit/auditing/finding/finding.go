// Package finding is what an audit says: one fault of one subject, with what
// proves it, who should act, and the command that mends it.
package finding

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Severity ranks findings.
type Severity int

// Severities, in the order in which people should act.
const (
	Info Severity = iota + 1
	Low
	Medium
	High
	Critical
)

func (s Severity) String() string {
	switch s {
	case Info:
		return "info"
	case Low:
		return "low"
	case Medium:
		return "medium"
	case High:
		return "high"
	case Critical:
		return "critical"
	default:
		return "unknown"
	}
}

// Kind is what a finding's subject is.
type Kind string

// Kinds of subjects.
const (
	OAuthSecret      Kind = "oauth-secret"
	Token            Kind = "token"
	App              Kind = "oauth-app"
	FederationPolicy Kind = "federation-policy"
	ServicePrincipal Kind = "service-principal"
	ManagedSecret    Kind = "managed-secret"
	Person           Kind = "person"
	Object           Kind = "object"  // what an access list protects
	Address          Kind = "address" // on the network, of whoever it may be
	Source           Kind = "source"  // a part of the estate that could not be read
)

// Subject is what a finding is about.
type Subject struct {
	Kind Kind `json:"kind"`
	// ID is unique within its kind and workspace, and never a secret value.
	ID string `json:"id"`
	// Name is for people; it may hold anything that somebody typed.
	Name string `json:"name,omitempty"`
	// Workspace is the workspace's id, zero for the account.
	Workspace int64 `json:"workspace,omitempty"`
	// ClientID is the service principal's application id, where there is one.
	ClientID string `json:"client_id,omitempty"`
}

// Finding is one fault.
type Finding struct {
	// ID stays the same from audit to audit for the same rule and subject.
	ID       string   `json:"id"`
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	Subject  Subject  `json:"subject"`
	// Title is one line, Evidence the facts that prove it.
	Title    string     `json:"title"`
	Evidence []Evidence `json:"evidence"`
	// Owner is who should act: a user name, a group, or empty if nobody is
	// known.
	Owner string `json:"owner,omitempty"`
	// Remedy is a command to run, or a sentence where none will do.
	Remedy string `json:"remedy"`
	// FirstSeen is when an audit first found it.
	FirstSeen time.Time `json:"first_seen"`
}

// Evidence is one fact.
type Evidence struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// StableID is the id of a rule's finding about a subject. Detail tells apart
// several findings of one rule about one subject and is usually empty.
func StableID(rule string, s Subject, detail string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{rule, string(s.Kind), s.ID, strconv.FormatInt(s.Workspace, 10), detail}, "\x00")))
	return rule + "-" + hex.EncodeToString(sum[:8])
}

// MarshalText writes the severity's name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a severity's name.
func (s *Severity) UnmarshalText(text []byte) error {
	for v := Info; v <= Critical; v++ {
		if v.String() == string(text) {
			*s = v
			return nil
		}
	}
	return fmt.Errorf("severity %q must be info, low, medium, high or critical", text)
}
