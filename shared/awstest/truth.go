package awstest

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Version is one version of a secret as it is, whatever a client may see.
type Version struct {
	ID string
	// Value is the SecretString, or the SecretBinary's bytes. It is empty for
	// a version that a rotation has made and nobody has filled.
	Value string
	// Labels are the staging labels, sorted.
	Labels    []string
	CreatedAt time.Time
}

// Versions returns all versions of a secret, also unlabelled ones, oldest
// first; nil if there is no such secret. It is not a call: no fault, no
// record, no lag.
func (s *Server) Versions(secretName string) []Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec := s.find(secretName)
	if sec == nil || sec.state == nil {
		return nil
	}
	versions := make([]Version, 0, len(sec.state.versions))
	for _, v := range sec.state.versions {
		versions = append(versions, sec.state.truth(v))
	}
	return versions
}

// Current returns the version that holds AWSCURRENT; false if none does.
func (s *Server) Current(secretName string) (Version, bool) {
	return s.Labelled(secretName, labelCurrent)
}

// Labelled returns the version that holds a staging label; false if none does.
func (s *Server) Labelled(secretName, label string) (Version, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec := s.find(secretName)
	if sec == nil || sec.state == nil {
		return Version{}, false
	}
	v := sec.state.labelled(label)
	if v == nil {
		return Version{}, false
	}
	return sec.state.truth(v), true
}

// Tags returns a secret's tags, nil if there is no such secret.
func (s *Server) Tags(secretName string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec := s.find(secretName)
	if sec == nil || sec.state == nil {
		return nil
	}
	tags := map[string]string{}
	for _, t := range sec.state.tags {
		tags[t.Key] = t.Value
	}
	return tags
}

// SecretNames lists the secrets that exist, also those scheduled for
// deletion, in the order of their creation.
func (s *Server) SecretNames() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, sec := range s.secrets.ordered {
		if s.find(sec.arn).state != nil {
			names = append(names, sec.name)
		}
	}
	return names
}

// CreateSecret makes a secret without a call: no fault, no record, and a
// version id that the seed decides. An empty value is none.
func (s *Server) CreateSecret(name, value string, tags map[string]string) (arn string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := s.uuid()
	create := &createSecret{Name: &name, ClientRequestToken: &token}
	if value != "" {
		create.SecretString = &value
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		create.Tags = append(create.Tags, tag{key, tags[key]})
	}
	reply, err := create.perform(&secretCall{Server: s, now: s.now()})
	if err != nil {
		return "", fmt.Errorf("create secret %s: %w", name, err)
	}
	created, _ := reply.(createReply)
	return created.ARN, nil
}

func (st *state) truth(v *version) Version {
	out := Version{ID: v.id, Value: string(v.binary), Labels: st.labelsOf(v.id), CreatedAt: v.created}
	if v.text != nil {
		out.Value = *v.text
	}
	return out
}
