package awstest

type updateSecretVersionStage struct {
	secretRef
	VersionStage        *string
	MoveToVersionID     *string `json:"MoveToVersionId"`
	RemoveFromVersionID *string `json:"RemoveFromVersionId"`
}

func (u *updateSecretVersionStage) conditions() map[string][]string {
	return map[string][]string{"secretsmanager:VersionStage": {deref(u.VersionStage)}}
}

func (u *updateSecretVersionStage) perform(c *secretCall) (any, error) {
	label, to, from := deref(u.VersionStage), deref(u.MoveToVersionID), deref(u.RemoveFromVersionID)
	if err := checkLabels([]string{label}); err != nil {
		return nil, err
	}
	if to == "" && from == "" {
		return nil, invalidParameter("You must provide MoveToVersionId or RemoveFromVersionId.")
	}
	sec, err := c.edit(u.secretID(), func(_ *secret, next *state) (bool, error) {
		return next.relabel(label, from, to, c)
	})
	if err != nil {
		return nil, err
	}
	return named{sec.arn, sec.name}, nil
}

// relabel moves a label as the caller says it lies: a label that is elsewhere
// than named is refused, so of two callers that raced one learns it lost.
func (st *state) relabel(label, from, to string, c *secretCall) (bool, error) {
	for _, id := range []string{from, to} {
		if id != "" && st.version(id) == nil {
			return false, notFound("Secrets Manager can't find the specified secret version: %s", id)
		}
	}
	holder := st.labels[label]
	switch {
	case from != "" && from != holder:
		return false, invalidParameter("The parameter RemoveFromVersionId is invalid: staging label %s is not attached to version %s.", label, from)
	case to == holder:
		return false, nil
	case to == "" && label == labelCurrent:
		return false, invalidParameter("You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed.")
	case to == "":
		delete(st.labels, label)
		return true, nil
	case holder != "" && from == "":
		return false, invalidParameter("The parameter RemoveFromVersionId can't be empty. Staging label %s is currently attached to version %s, so you must explicitly reference that version in RemoveFromVersionId.", label, holder)
	case label == labelCurrent && st.version(to).empty():
		return false, invalidRequest("You can't move staging label AWSCURRENT to a version without a value.")
	}
	st.move(label, to)
	if len(st.labelsOf(to)) > maxLabels {
		return false, errTooManyLabels
	}
	if label == labelCurrent {
		st.refreshed = c.now
	}
	return true, nil
}
