package awstest

import (
	"time"
)

type getSecretValue struct {
	secretRef
	VersionID    *string `json:"VersionId"`
	VersionStage *string
}

type valueReply struct {
	ARN           string
	Name          string
	VersionID     string  `json:"VersionId"`
	SecretString  *string `json:",omitempty"`
	SecretBinary  []byte  `json:",omitempty"`
	VersionStages []string
	CreatedDate   *epoch
}

func (g *getSecretValue) conditions() map[string][]string {
	stage := deref(g.VersionStage)
	if stage == "" && g.VersionID == nil {
		stage = labelCurrent
	}
	conditions := map[string][]string{}
	if stage != "" {
		conditions["secretsmanager:VersionStage"] = []string{stage}
	}
	if g.VersionID != nil {
		conditions["secretsmanager:VersionId"] = []string{*g.VersionID}
	}
	return conditions
}

func (g *getSecretValue) perform(c *secretCall) (any, error) {
	sec, st, err := c.readable(g.secretID())
	if err != nil {
		return nil, err
	}
	v, err := g.pick(st)
	if err != nil {
		return nil, err
	}
	return c.reveal(sec, st, v), nil
}

func (g *getSecretValue) pick(st *state) (*version, error) {
	if g.VersionID != nil {
		v := st.version(*g.VersionID)
		if v == nil || v.empty() {
			return nil, notFound("Secrets Manager can't find the specified secret value for VersionId: %s", *g.VersionID)
		}
		if g.VersionStage != nil && st.labels[*g.VersionStage] != v.id {
			return nil, invalidRequest("You provided a VersionStage that is not associated to the provided VersionId.")
		}
		return v, nil
	}
	stage := labelCurrent
	if g.VersionStage != nil {
		stage = *g.VersionStage
	}
	v := st.labelled(stage)
	if v == nil || v.empty() {
		return nil, notFound("Secrets Manager can't find the specified secret value for staging label: %s", stage)
	}
	return v, nil
}

// reveal is a value on its way out; AWS dates the access to the day.
func (c *secretCall) reveal(sec *secret, st *state, v *version) valueReply {
	sec.accessed = c.now.UTC().Truncate(24 * time.Hour)
	return valueReply{
		ARN: sec.arn, Name: sec.name, VersionID: v.id,
		SecretString: v.text, SecretBinary: v.binary,
		VersionStages: st.labelsOf(v.id), CreatedDate: at(v.created),
	}
}

type batchGetSecretValue struct {
	noSecret
	SecretIDList []string `json:"SecretIdList"`
	Filters      []filter
	MaxResults   *int
	NextToken    *string
}

type batchError struct {
	SecretID  string `json:"SecretId"`
	ErrorCode string
	Message   string
}

type batchReply struct {
	SecretValues []valueReply
	Errors       []batchError
	NextToken    string `json:",omitempty"`
}

const maxBatch = 20

func (b *batchGetSecretValue) perform(c *secretCall) (any, error) {
	if (b.SecretIDList == nil) == (b.Filters == nil) {
		return nil, invalidParameter("Either 'SecretIdList' or 'Filters' must be provided, but not both.")
	}
	reply := batchReply{SecretValues: []valueReply{}, Errors: []batchError{}}
	ids := b.SecretIDList
	if b.SecretIDList != nil {
		switch {
		case len(ids) == 0 || len(ids) > maxBatch:
			return nil, validation("1 validation error detected: Value at 'secretIdList' failed to satisfy constraint: Member must have length between 1 and %d", maxBatch)
		case b.MaxResults != nil || b.NextToken != nil:
			return nil, invalidParameter("MaxResults and NextToken go with Filters, not with SecretIdList.")
		}
	} else {
		page, next, err := c.selectSecrets(selection{filters: b.Filters, limit: b.MaxResults, most: maxBatch, token: b.NextToken})
		if err != nil {
			return nil, err
		}
		for _, entry := range page {
			ids = append(ids, entry.sec.arn)
		}
		reply.NextToken = next
	}
	for _, id := range ids {
		value, err := b.one(c, id)
		if err != nil {
			f := asFailure(err)
			reply.Errors = append(reply.Errors, batchError{SecretID: id, ErrorCode: f.code, Message: f.message})
			continue
		}
		reply.SecretValues = append(reply.SecretValues, value)
	}
	return reply, nil
}

func (b *batchGetSecretValue) one(c *secretCall, id string) (valueReply, error) {
	if sec := c.find(id); sec != nil {
		if err := c.denied[sec.arn]; err != nil {
			return valueReply{}, err
		}
	}
	sec, st, err := c.readable(id)
	if err != nil {
		return valueReply{}, err
	}
	v, err := new(getSecretValue).pick(st)
	if err != nil {
		return valueReply{}, err
	}
	return c.reveal(sec, st, v), nil
}

// batchCandidates are the secrets that a batch read may touch.
func (s *Server) batchCandidates(b *batchGetSecretValue) []string {
	if b.SecretIDList != nil {
		return b.SecretIDList
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var arns []string
	for _, sec := range s.secrets.ordered {
		arns = append(arns, sec.arn)
	}
	return arns
}

type putSecretValue struct {
	secretRef
	secretValue
	ClientRequestToken *string
	RotationToken      *string
	VersionStages      []string
}

type putReply struct {
	named
	VersionID     string `json:"VersionId"`
	VersionStages []string
}

func (p *putSecretValue) perform(c *secretCall) (any, error) {
	if err := checkToken(p.ClientRequestToken); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	labels := p.VersionStages
	if labels == nil {
		labels = []string{labelCurrent}
	}
	if err := checkLabels(labels); err != nil {
		return nil, err
	}
	if p.RotationToken != nil && !c.rotations.issued(*p.RotationToken) {
		return nil, invalidParameter("The RotationToken is not one of a rotation of this secret.")
	}
	sec, err := c.edit(p.secretID(), func(_ *secret, next *state) (bool, error) {
		return next.put(*p.ClientRequestToken, &p.secretValue, labels, c.now)
	})
	if err != nil {
		return nil, err
	}
	return putReply{named{sec.arn, sec.name}, *p.ClientRequestToken, sec.state.labelsOf(*p.ClientRequestToken)}, nil
}

func checkLabels(labels []string) error {
	if len(labels) == 0 || len(labels) > maxLabels {
		return validation("1 validation error detected: Value at 'versionStages' failed to satisfy constraint: Member must have length between 1 and %d", maxLabels)
	}
	for _, label := range labels {
		if label == "" || len(label) > 256 {
			return validation("1 validation error detected: Value at 'versionStages' failed to satisfy constraint: a staging label has 1 to 256 characters")
		}
	}
	return nil
}
