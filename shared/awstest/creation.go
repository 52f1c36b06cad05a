package awstest

type createSecret struct {
	secretValue
	Name                        *string
	ClientRequestToken          *string
	Description                 *string
	KmsKeyID                    *string `json:"KmsKeyId"`
	Tags                        []tag
	Type                        *string
	AddReplicaRegions           []any
	ForceOverwriteReplicaSecret bool
}

type createReply struct {
	named
	VersionID string `json:"VersionId,omitempty"`
}

// secretID makes faults and decisions find a secret that is about to be made.
func (cs *createSecret) secretID() string { return deref(cs.Name) }

func (cs *createSecret) conditions() map[string][]string {
	conditions := map[string][]string{"secretsmanager:Name": {deref(cs.Name)}}
	requestTags(conditions, cs.Tags)
	return conditions
}

func (cs *createSecret) perform(c *secretCall) (any, error) {
	name := deref(cs.Name)
	if !secretName.MatchString(name) {
		return nil, validation("Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@ and at most 512 of them")
	}
	if len(cs.AddReplicaRegions) > 0 || cs.ForceOverwriteReplicaSecret {
		return nil, unsupported("replication")
	}
	if err := checkToken(cs.ClientRequestToken); err != nil {
		return nil, err
	}
	if cs.given() {
		if err := cs.check(); err != nil {
			return nil, err
		}
	}
	if err := checkDescription(cs.Description); err != nil {
		return nil, err
	}
	tags, err := mergeTags(nil, cs.Tags)
	if err != nil {
		return nil, err
	}
	if sec := c.find(name); sec != nil && sec.state != nil {
		return cs.repeat(sec)
	}

	sec := &secret{
		name: name, arn: c.secretARN(name + "-" + c.letters(6)), sequence: len(c.secrets.ordered),
		created: c.now, token: *cs.ClientRequestToken,
	}
	st := &state{
		description: deref(cs.Description), kmsKey: deref(cs.KmsKeyID), kind: deref(cs.Type),
		tags: tags, labels: map[string]string{},
	}
	reply := createReply{named: named{sec.arn, sec.name}}
	if cs.given() {
		if _, err := st.put(sec.token, &cs.secretValue, []string{labelCurrent}, c.now); err != nil {
			return nil, err
		}
		reply.VersionID = sec.token
	}
	sec.commit(st, c.now)
	c.secrets.byName[name] = sec
	c.secrets.byARN[sec.arn] = sec
	c.secrets.ordered = append(c.secrets.ordered, sec)
	return reply, nil
}

// repeat answers a create for a name that is taken: a repetition of the
// create that took it succeeds once more, since its first reply may be lost.
func (cs *createSecret) repeat(sec *secret) (any, error) {
	if !sec.state.deleteAt.IsZero() {
		return nil, invalidRequest("You can't create this secret because a secret with this name is already scheduled for deletion.")
	}
	taken := exists("The operation failed because the secret %s already exists.", sec.name)
	if sec.token != *cs.ClientRequestToken {
		return nil, taken
	}
	reply := createReply{named: named{sec.arn, sec.name}}
	first := sec.state.version(sec.token)
	if cs.given() {
		if first == nil || !cs.equals(first) {
			return nil, taken
		}
		reply.VersionID = sec.token
	} else if first != nil {
		return nil, taken
	}
	return reply, nil
}

type updateSecret struct {
	secretRef
	secretValue
	ClientRequestToken *string
	Description        *string
	KmsKeyID           *string `json:"KmsKeyId"`
	Type               *string
}

func (u *updateSecret) perform(c *secretCall) (any, error) {
	if u.given() {
		if err := checkToken(u.ClientRequestToken); err != nil {
			return nil, err
		}
		if err := u.check(); err != nil {
			return nil, err
		}
	}
	if err := checkDescription(u.Description); err != nil {
		return nil, err
	}
	var stored string
	sec, err := c.edit(u.secretID(), func(_ *secret, next *state) (bool, error) {
		changed := false
		for _, set := range []struct{ to, from *string }{
			{&next.description, u.Description},
			{&next.kmsKey, u.KmsKeyID},
			{&next.kind, u.Type},
		} {
			if set.from != nil {
				*set.to, changed = *set.from, true
			}
		}
		if !u.given() {
			return changed, nil
		}
		stored = *u.ClientRequestToken
		put, err := next.put(stored, &u.secretValue, []string{labelCurrent}, c.now)
		return changed || put, err
	})
	if err != nil {
		return nil, err
	}
	return createReply{named{sec.arn, sec.name}, stored}, nil
}

func checkDescription(d *string) error {
	if len(deref(d)) > 2048 {
		return validation("1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have length less than or equal to 2048")
	}
	return nil
}
