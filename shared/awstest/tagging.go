package awstest

import (
	"slices"
	"strings"
)

const maxTags = 50

type tagResource struct {
	secretRef
	Tags []tag
}

func (t *tagResource) conditions() map[string][]string {
	conditions := map[string][]string{}
	requestTags(conditions, t.Tags)
	return conditions
}

func (t *tagResource) perform(c *secretCall) (any, error) {
	if len(t.Tags) == 0 {
		return nil, invalidParameter("You must provide at least one tag.")
	}
	_, err := c.edit(t.secretID(), func(_ *secret, next *state) (bool, error) {
		tags, err := mergeTags(next.tags, t.Tags)
		next.tags = tags
		return true, err
	})
	return struct{}{}, err
}

type untagResource struct {
	secretRef
	TagKeys []string
}

func (u *untagResource) conditions() map[string][]string {
	return map[string][]string{"aws:TagKeys": u.TagKeys}
}

func (u *untagResource) perform(c *secretCall) (any, error) {
	if len(u.TagKeys) == 0 {
		return nil, invalidParameter("You must provide at least one tag key.")
	}
	_, err := c.edit(u.secretID(), func(_ *secret, next *state) (bool, error) {
		before := len(next.tags)
		next.tags = slices.DeleteFunc(next.tags, func(t tag) bool { return slices.Contains(u.TagKeys, t.Key) })
		return len(next.tags) != before, nil
	})
	return struct{}{}, err
}

// mergeTags adds tags to those that are there; a key's new value replaces the
// old one.
func mergeTags(tags, more []tag) ([]tag, error) {
	for _, t := range more {
		switch {
		case t.Key == "" || len(t.Key) > 128 || len(t.Value) > 256:
			return nil, validation("1 validation error detected: a tag's key has 1 to 128 characters and its value at most 256")
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return nil, invalidParameter("Tag keys with the prefix aws: are reserved.")
		}
		if i := slices.IndexFunc(tags, func(have tag) bool { return have.Key == t.Key }); i >= 0 {
			tags[i] = t
		} else {
			tags = append(tags, t)
		}
	}
	if len(tags) > maxTags {
		return nil, fail(400, "LimitExceededException", "A secret can have at most %d tags.", maxTags)
	}
	return tags, nil
}

func requestTags(conditions map[string][]string, tags []tag) {
	for _, t := range tags {
		conditions["aws:RequestTag/"+t.Key] = []string{t.Value}
		conditions["aws:TagKeys"] = append(conditions["aws:TagKeys"], t.Key)
	}
}
