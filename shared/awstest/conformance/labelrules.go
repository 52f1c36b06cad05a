package conformance

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

type labels = map[string][]string

var labelRules = []Rule{
	{Name: "the first version gets AWSCURRENT", check: func(t *trial) {
		s := t.secret("", "one")
		s.holds("after create", labels{s.first: {current}})
	}},
	{Name: "the first put to an empty secret gets AWSCURRENT, whatever it asks for", check: func(t *trial) {
		s := t.secret("", "")
		v := s.put("one", pending)
		s.holds("after put", labels{v: {current, pending}})
	}},
	{Name: "a put without labels moves AWSCURRENT, and AWSPREVIOUS follows", check: func(t *trial) {
		s := t.secret("", "one")
		v2 := s.put("two")
		s.holds("after two", labels{s.first: {previous}, v2: {current}})
		v3 := s.put("three")
		s.holds("after three", labels{v2: {previous}, v3: {current}})
	}},
	{Name: "a put with labels moves those alone", check: func(t *trial) {
		s := t.secret("", "one")
		v2 := s.put("two", pending)
		s.holds("after put", labels{s.first: {current}, v2: {pending}})
		t.equal("current value", s.value("", current), "one")
		t.equal("pending value", s.value("", pending), "two")
	}},
	{Name: "a put moves a label away from the version that had it", check: func(t *trial) {
		s := t.secret("", "one")
		s.put("two", pending)
		v3 := s.put("three", pending)
		s.holds("after put", labels{s.first: {current}, v3: {pending}})
	}},
	{Name: "a put may name AWSCURRENT among other labels", check: func(t *trial) {
		s := t.secret("", "one")
		v2 := s.put("two", current, "mine")
		s.holds("after put", labels{s.first: {previous}, v2: {current, "mine"}})
	}},
	{Name: "moving AWSCURRENT moves AWSPREVIOUS to where it was", check: func(t *trial) {
		s := t.secret("", "one")
		v2 := s.put("two", pending)
		t.must("UpdateSecretVersionStage", s.move(current, s.first, v2))
		s.holds("after the move", labels{s.first: {previous}, v2: {current, pending}})
	}},
	{Name: "after a move, AWSCURRENT and the default read the new version", check: func(t *trial) {
		s := t.secret("", "one")
		v2 := s.put("two", pending)
		t.must("UpdateSecretVersionStage", s.move(current, s.first, v2))
		t.equal("by label", s.value("", current), "two")
		t.equal("by default", s.value("", ""), "two")
	}},
	{Name: "AWSCURRENT moves back to AWSPREVIOUS, and the two change places", check: func(t *trial) {
		s := t.secret("", "one")
		v2 := s.put("two")
		t.must("UpdateSecretVersionStage", s.move(current, v2, s.first))
		s.holds("after the move", labels{s.first: {current}, v2: {previous}})
	}},
	{Name: "a label that is elsewhere does not move without RemoveFromVersionId", check: func(t *trial) {
		s := t.secret("", "one")
		v2 := s.put("two", pending)
		t.refused("move", s.move(current, "", v2), invalidParameter)
		s.holds("are as they were", labels{s.first: {current}, v2: {pending}})
	}},
	{Name: "a RemoveFromVersionId that lacks the label is refused, and nothing moves", check: func(t *trial) {
		s := t.secret("", "one")
		v2 := s.put("two", pending)
		v3 := s.put("three", "mine")
		t.refused("move", s.move(current, v3, v2), invalidParameter, invalidRequest)
		s.holds("are as they were", labels{s.first: {current}, v2: {pending}, v3: {"mine"}})
	}},
	{Name: "a move to an unknown version is refused, and nothing moves", check: func(t *trial) {
		s := t.secret("", "one")
		t.refused("move", s.move(current, s.first, t.token("none")), notFound, invalidParameter, invalidRequest)
		s.holds("are as they were", labels{s.first: {current}})
	}},
	{Name: "AWSCURRENT cannot be removed", check: func(t *trial) {
		s := t.secret("", "one")
		t.refused("removal", s.move(current, s.first, ""), invalidParameter, invalidRequest)
		s.holds("are as they were", labels{s.first: {current}})
	}},
	{Name: "other labels can be removed", check: func(t *trial) {
		s := t.secret("", "one")
		v2 := s.put("two", pending)
		t.must("removal", s.move(pending, v2, ""))
		s.holds("after the removal", labels{s.first: {current}})
	}},
	{Name: "removing a label from a version that lacks it is refused", check: func(t *trial) {
		s := t.secret("", "one")
		v2 := s.put("two", pending)
		t.refused("removal", s.move(pending, s.first, ""), invalidParameter, invalidRequest)
		s.holds("are as they were", labels{s.first: {current}, v2: {pending}})
	}},
	{Name: "a new label attaches without RemoveFromVersionId", check: func(t *trial) {
		s := t.secret("", "one")
		t.must("move", s.move("mine", "", s.first))
		s.holds("after the move", labels{s.first: {current, "mine"}})
	}},
	{Name: "a version without labels can get one again", check: func(t *trial) {
		s := t.secret("", "one")
		v2 := s.put("two", pending)
		t.must("removal", s.move(pending, v2, ""))
		t.must("move", s.move("mine", "", v2))
		t.equal("value", s.value("", "mine"), "two")
	}},
	{Name: "a version holds at most 20 labels", check: func(t *trial) {
		s := t.secret("", "one")
		for i := range 19 {
			t.must("move", s.move(fmt.Sprintf("label-%d", i), "", s.first))
		}
		t.refused("the twenty-first", s.move("label-19", "", s.first), limit, invalidParameter, invalidRequest)
	}},
	{Name: "a label has at most 256 characters", check: func(t *trial) {
		s := t.secret("", "one")
		t.refused("move", s.move(strings.Repeat("x", 257), "", s.first), validation, invalidParameter)
	}},
	{Name: "a stage update on a missing secret is ResourceNotFoundException", check: func(t *trial) {
		label, version := current, t.token("none")
		_, err := t.secrets.UpdateSecretVersionStage(t.ctx, &secretsmanager.UpdateSecretVersionStageInput{
			SecretId: &t.prefix, VersionStage: &label, MoveToVersionId: &version,
		})
		t.refused("move", err, notFound)
	}},
}
