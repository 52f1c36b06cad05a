package awstest

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

type describeSecret struct{ secretRef }

// entry is a secret as Describe and List show it.
type entry struct {
	ARN               string
	Name              string
	Description       string         `json:",omitempty"`
	KmsKeyID          string         `json:"KmsKeyId,omitempty"`
	Type              string         `json:",omitempty"`
	RotationEnabled   *bool          `json:",omitempty"`
	RotationLambdaARN string         `json:",omitempty"`
	RotationRules     *rotationRules `json:",omitempty"`
	CreatedDate       *epoch         `json:",omitempty"`
	LastChangedDate   *epoch         `json:",omitempty"`
	LastAccessedDate  *epoch         `json:",omitempty"`
	LastRotatedDate   *epoch         `json:",omitempty"`
	NextRotationDate  *epoch         `json:",omitempty"`
	DeletedDate       *epoch         `json:",omitempty"`
	Tags              []tag          `json:",omitempty"`
	// One of the two, which differ between Describe and List.
	VersionIDsToStages     map[string][]string `json:"VersionIdsToStages,omitempty"`
	SecretVersionsToStages map[string][]string `json:",omitempty"`
}

func (d *describeSecret) perform(c *secretCall) (any, error) {
	sec, st, err := c.view(d.secretID())
	if err != nil {
		return nil, err
	}
	e := c.entry(sec, st)
	e.VersionIDsToStages = st.stages()
	return e, nil
}

func (c *secretCall) entry(sec *secret, st *state) entry {
	e := entry{
		ARN: sec.arn, Name: sec.name, Description: st.description, KmsKeyID: st.kmsKey, Type: st.kind,
		RotationLambdaARN: st.rotation.lambda, RotationRules: st.rotation.rules,
		CreatedDate: at(sec.created), LastChangedDate: at(st.changed), LastAccessedDate: at(sec.accessed),
		LastRotatedDate: at(st.rotated), NextRotationDate: at(st.nextRotation()), DeletedDate: at(st.deleteAt),
		Tags: st.tags,
	}
	if st.rotation.configured {
		e.RotationEnabled = &st.rotation.enabled
	}
	return e
}

type listSecrets struct {
	noSecret
	Filters                []filter
	IncludePlannedDeletion bool
	MaxResults             *int
	NextToken              *string
	SortBy                 string
	SortOrder              string
}

type listReply struct {
	SecretList []entry
	NextToken  string `json:",omitempty"`
}

const maxListed = 100

func (l *listSecrets) perform(c *secretCall) (any, error) {
	page, next, err := c.selectSecrets(selection{
		filters: l.Filters, planned: l.IncludePlannedDeletion, sortBy: l.SortBy, order: l.SortOrder,
		limit: l.MaxResults, most: maxListed, token: l.NextToken,
	})
	if err != nil {
		return nil, err
	}
	reply := listReply{SecretList: make([]entry, 0, len(page)), NextToken: next}
	for _, found := range page {
		e := c.entry(found.sec, found.st)
		e.SecretVersionsToStages = found.st.stages()
		reply.SecretList = append(reply.SecretList, e)
	}
	return reply, nil
}

// selection is which secrets a listing asks for.
type selection struct {
	filters []filter
	planned bool
	sortBy  string
	order   string
	limit   *int
	most    int
	token   *string
}

// listed is a secret in a listing, and its place there.
type listed struct {
	sec *secret
	st  *state
	cursor
}

// cursor is a place in a listing. It names the last entry of a page by what
// it is sorted by, so that secrets that come and go between pages make no
// other secret come twice or not at all.
type cursor struct {
	Key      string
	Sequence int
}

func (a cursor) compare(b cursor) int {
	return cmp.Or(strings.Compare(a.Key, b.Key), cmp.Compare(a.Sequence, b.Sequence))
}

// sortKeys makes texts that sort as their values do. Creation is the order of
// the sequence, which is the tie breaker anyway.
var sortKeys = map[string]func(sec *secret, st *state) string{
	"":                   func(*secret, *state) string { return "" },
	"created-date":       func(*secret, *state) string { return "" },
	"name":               func(sec *secret, _ *state) string { return sec.name },
	"last-changed-date":  func(_ *secret, st *state) string { return sortable(st.changed) },
	"last-accessed-date": func(sec *secret, _ *state) string { return sortable(sec.accessed) },
}

func sortable(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("20060102T150405.000")
}

// selectSecrets finds one page. The default order is oldest first: AWS
// documents the date as the default key and no direction.
func (c *secretCall) selectSecrets(sel selection) (page []listed, next string, err error) {
	key, ok := sortKeys[sel.sortBy]
	if !ok {
		return nil, "", validation("1 validation error detected: Value at 'sortBy' failed to satisfy constraint: no such key: %s", sel.sortBy)
	}
	if sel.order != "" && sel.order != "asc" && sel.order != "desc" {
		return nil, "", validation("1 validation error detected: Value at 'sortOrder' failed to satisfy constraint: Member must satisfy enum value set: [asc, desc]")
	}
	limit, err := pageSize(sel.limit, sel.most)
	if err != nil {
		return nil, "", err
	}
	if err := checkFilters(sel.filters); err != nil {
		return nil, "", err
	}
	var after *cursor
	if sel.token != nil {
		after = new(cursor)
		if err := decodeToken(*sel.token, after); err != nil {
			return nil, "", err
		}
	}

	var all []listed
	for _, sec := range c.secrets.ordered {
		c.find(sec.arn) // a deletion that has come due
		st := c.visible(sec)
		if st == nil || !st.deleteAt.IsZero() && !sel.planned || !matchesAll(sel.filters, sec, st) {
			continue
		}
		all = append(all, listed{sec, st, cursor{key(sec, st), sec.sequence}})
	}
	direction := 1
	if sel.order == "desc" {
		direction = -1
	}
	if sel.sortBy != "" || direction < 0 {
		slices.SortFunc(all, func(a, b listed) int { return direction * a.compare(b.cursor) })
	}
	if after != nil {
		all = slices.DeleteFunc(all, func(l listed) bool { return direction*l.compare(*after) <= 0 })
	}
	if len(all) > limit {
		all = all[:limit]
		next = encodeToken(all[limit-1].cursor)
	}
	return all, next, nil
}

func pageSize(limit *int, most int) (int, error) {
	if limit == nil {
		return most, nil
	}
	if *limit < 1 || *limit > most {
		return 0, validation("1 validation error detected: Value '%d' at 'maxResults' failed to satisfy constraint: Member must be between 1 and %d", *limit, most)
	}
	return *limit, nil
}

func encodeToken(place any) string {
	b, _ := json.Marshal(place) // strings and numbers always marshal
	return base64.RawURLEncoding.EncodeToString(b)
}

func decodeToken(token string, place any) error {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(b, place)
	}
	if err != nil {
		return fail(400, "InvalidNextTokenException", "The NextToken value is invalid.")
	}
	return nil
}

type listSecretVersionIDs struct {
	secretRef
	IncludeDeprecated bool
	MaxResults        *int
	NextToken         *string
}

type versionEntry struct {
	VersionID     string   `json:"VersionId"`
	VersionStages []string `json:",omitempty"`
	CreatedDate   *epoch
	KmsKeyIDs     []string `json:"KmsKeyIds"`
}

type versionsReply struct {
	named
	Versions  []versionEntry
	NextToken string `json:",omitempty"`
}

func (l *listSecretVersionIDs) perform(c *secretCall) (any, error) {
	limit, err := pageSize(l.MaxResults, maxListed)
	if err != nil {
		return nil, err
	}
	after := ""
	if l.NextToken != nil {
		if err := decodeToken(*l.NextToken, &after); err != nil {
			return nil, err
		}
	}
	sec, st, err := c.view(l.secretID())
	if err != nil {
		return nil, err
	}
	versions := slices.DeleteFunc(slices.Clone(st.versions), func(v *version) bool {
		return !l.IncludeDeprecated && len(st.labelsOf(v.id)) == 0
	})
	if after != "" {
		i := slices.IndexFunc(versions, func(v *version) bool { return v.id == after })
		versions = versions[i+1:]
	}
	reply := versionsReply{named: named{sec.arn, sec.name}, Versions: []versionEntry{}}
	if len(versions) > limit {
		versions = versions[:limit]
		reply.NextToken = encodeToken(versions[limit-1].id)
	}
	for _, v := range versions {
		reply.Versions = append(reply.Versions, versionEntry{
			VersionID: v.id, VersionStages: st.labelsOf(v.id), CreatedDate: at(v.created),
			KmsKeyIDs: []string{cmp.Or(v.kmsKey, "DefaultEncryptionKey")},
		})
	}
	return reply, nil
}
