package awstest

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// secretStore is everything that Secrets Manager holds.
type secretStore struct {
	byName  map[string]*secret
	byARN   map[string]*secret
	ordered []*secret // by creation
	lag     bool
}

func (st *secretStore) init() {
	st.byName = map[string]*secret{}
	st.byARN = map[string]*secret{}
}

// secret is one incarnation of a name: after a deletion, the same name is
// another secret with another ARN.
type secret struct {
	name     string
	arn      string
	sequence int // of creation
	created  time.Time
	token    string // ClientRequestToken of CreateSecret
	accessed time.Time

	// state is nil once the secret is gone. A write replaces it and keeps the
	// one before, for stale reads; neither is changed in place.
	state     *state
	previous  *state
	fresh     bool      // written since the last read
	committed time.Time // when state was written
}

// state is a secret at one moment.
type state struct {
	description string
	kmsKey      string
	kind        string // Type: the partner of a managed external secret
	policy      string
	tags        []tag
	versions    []*version        // oldest first
	labels      map[string]string // staging label to version id
	rotation    rotationConfig
	changed     time.Time
	rotated     time.Time
	refreshed   time.Time // when the value last became current, by whatever door
	deleteAt    time.Time // zero unless scheduled for deletion
}

type tag struct {
	Key   string
	Value string
}

func (st *state) clone() *state {
	c := *st
	c.tags = slices.Clone(st.tags)
	c.versions = slices.Clone(st.versions)
	c.labels = maps.Clone(st.labels)
	return &c
}

func (st *state) version(id string) *version {
	for _, v := range st.versions {
		if v.id == id {
			return v
		}
	}
	return nil
}

// labelled is the version that holds a staging label, nil if none does.
func (st *state) labelled(label string) *version {
	id, ok := st.labels[label]
	if !ok {
		return nil
	}
	return st.version(id)
}

// labelsOf lists the staging labels of a version in alphabetical order.
func (st *state) labelsOf(id string) []string {
	var labels []string
	for label, holder := range st.labels {
		if holder == id {
			labels = append(labels, label)
		}
	}
	slices.Sort(labels)
	return labels
}

// stages is the map of Describe and List: versions without a label are not in it.
func (st *state) stages() map[string][]string {
	if len(st.labels) == 0 {
		return nil
	}
	stages := map[string][]string{}
	for label, id := range st.labels {
		stages[id] = append(stages[id], label)
	}
	for _, labels := range stages {
		slices.Sort(labels)
	}
	return stages
}

var secretName = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]{1,512}$`)

// find resolves a name, a whole ARN, or an ARN without the random suffix; nil
// is a secret that never was. The caller holds mu.
func (s *Server) find(id string) *secret {
	sec := s.secrets.byARN[id]
	if sec == nil {
		sec = s.secrets.byName[strings.TrimPrefix(id, s.secretARN(""))]
	}
	if sec != nil && sec.state != nil && !sec.state.deleteAt.IsZero() && !s.now().Before(sec.state.deleteAt) {
		sec.previous, sec.state = sec.state, nil
	}
	return sec
}

func (s *Server) secretARN(rest string) string {
	return "arn:aws:secretsmanager:" + s.region + ":" + s.account + ":secret:" + rest
}

// commit makes next the secret's state. The caller holds mu.
func (sec *secret) commit(next *state, now time.Time) {
	if next != nil {
		next.changed = now
	}
	sec.previous, sec.state, sec.fresh, sec.committed = sec.state, next, true, now
}

// LagReads makes reads of secrets eventually consistent: the first read of a
// secret after a write shows the state before it, whichever the operation;
// the next shows the new one. Writes are always judged by the latest state.
func (s *Server) LagReads(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets.lag = on
	for _, sec := range s.secrets.ordered {
		sec.fresh = false
	}
}
