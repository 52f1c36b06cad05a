package awstest

import (
	"bytes"
	"time"
)

const (
	labelCurrent  = "AWSCURRENT"
	labelPending  = "AWSPENDING"
	labelPrevious = "AWSPREVIOUS"
)

const (
	maxValueBytes = 65536
	maxLabels     = 20
	// maxVersions is what AWS calls about 100.
	maxVersions = 100
	// versionRetention is how long AWS keeps a version that nobody labelled,
	// whatever the number.
	versionRetention = 24 * time.Hour
)

// version is immutable: labels are the state's.
type version struct {
	id      string
	text    *string
	binary  []byte
	kmsKey  string
	created time.Time
}

// empty is a version that a rotation has made and nobody has filled.
func (v *version) empty() bool { return v.text == nil && v.binary == nil }

// secretValue is the part of a request that carries a value.
type secretValue struct {
	SecretString *string
	SecretBinary []byte
}

func (v *secretValue) given() bool { return v.SecretString != nil || v.SecretBinary != nil }

func (v *secretValue) check() error {
	switch {
	case !v.given():
		return invalidRequest("You must provide either SecretString or SecretBinary.")
	case v.SecretString != nil && v.SecretBinary != nil:
		return invalidParameter("You can't specify both a binary secret value and a string secret value in the same secret.")
	case v.SecretString != nil && *v.SecretString == "", v.SecretBinary != nil && len(v.SecretBinary) == 0:
		return invalidParameter("The secret value must have a length of at least 1.")
	case len(deref(v.SecretString)) > maxValueBytes, len(v.SecretBinary) > maxValueBytes:
		return validation("1 validation error detected: the secret value must have a length less than or equal to %d bytes", maxValueBytes)
	}
	return nil
}

func (v *secretValue) equals(other *version) bool {
	if (v.SecretString == nil) != (other.text == nil) {
		return false
	}
	return deref(v.SecretString) == deref(other.text) && bytes.Equal(v.SecretBinary, other.binary)
}

func checkToken(token *string) error {
	if token == nil {
		return invalidParameter("You must provide a ClientRequestToken value. We recommend a UUID-type value.")
	}
	if n := len(*token); n < 32 || n > 64 {
		return invalidParameter("ClientRequestToken must be 32-64 characters long.")
	}
	return nil
}

// put stores a value under a token, with exactly these labels moved to it. It
// reports whether anything changed: the same token with the same value is a
// repetition, and its labels are left as they are.
func (st *state) put(token string, value *secretValue, labels []string, now time.Time) (bool, error) {
	fresh := &version{id: token, text: value.SecretString, binary: value.SecretBinary, kmsKey: st.kmsKey, created: now}
	slot := -1
	for i, v := range st.versions {
		if v.id != token {
			continue
		}
		if v.empty() {
			fresh.created = v.created
			slot = i
			break
		}
		if !value.equals(v) {
			return false, exists("You can't use ClientRequestToken %s because that value is already in use for a version of this secret.", token)
		}
		return false, nil
	}
	if slot >= 0 {
		st.versions[slot] = fresh
	} else {
		if err := st.makeRoom(now); err != nil {
			return false, err
		}
		st.versions = append(st.versions, fresh)
	}
	if st.labels[labelCurrent] == "" {
		labels = append(labels[:len(labels):len(labels)], labelCurrent)
	}
	for _, label := range labels {
		st.move(label, token)
	}
	if len(st.labelsOf(token)) > maxLabels {
		return false, errTooManyLabels
	}
	if st.labels[labelCurrent] == token {
		st.refreshed = now
	}
	return true, nil
}

var errTooManyLabels = fail(400, "LimitExceededException", "A version can have at most %d staging labels.", maxLabels)

// move takes a label from wherever it is to a version; AWSPREVIOUS follows
// AWSCURRENT.
func (st *state) move(label, to string) {
	from := st.labels[label]
	st.labels[label] = to
	if label == labelCurrent && from != "" && from != to {
		st.labels[labelPrevious] = from
	}
}

// makeRoom drops what AWS would drop: versions without a label, the oldest
// first, when there are too many, and never one of the last 24 hours.
func (st *state) makeRoom(now time.Time) error {
	for i := 0; len(st.versions) >= maxVersions && i < len(st.versions); {
		v := st.versions[i]
		if len(st.labelsOf(v.id)) > 0 || now.Sub(v.created) < versionRetention {
			i++
			continue
		}
		st.versions = append(st.versions[:i], st.versions[i+1:]...)
	}
	if len(st.versions) >= maxVersions {
		return fail(400, "LimitExceededException", "The secret has %d versions, and none of them can be dropped yet.", len(st.versions))
	}
	return nil
}

// drop removes a version and its labels.
func (st *state) drop(id string) {
	for i, v := range st.versions {
		if v.id == id {
			st.versions = append(st.versions[:i], st.versions[i+1:]...)
			break
		}
	}
	for label, holder := range st.labels {
		if holder == id {
			delete(st.labels, label)
		}
	}
}
