package show

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/faulttest"
)

// history is what the trail in S3 tells, and what it must tell of.
type history struct {
	entries map[string]string
	// creates and deletes are the function's calls to Databricks.
	creates, deletes int
	// killed is how many runs died in the middle of a change.
	killed int
}

// history reads the trail and the calls of the whole show.
func (s *Show) history() (history, error) {
	entries, err := s.stage.Trail()
	r := history{entries: entries, killed: 1}
	for _, call := range s.stage.Databricks.Faults().Calls() {
		if call.Caller == s.stage.Rotator.ApplicationID {
			r.count(call)
		}
	}
	return r, err
}

func (r *history) count(call faulttest.Call) {
	switch call.Op {
	case databrickstest.OpAccountCreateSecret, databrickstest.OpWorkspaceCreateSecret:
		r.creates++
	case databrickstest.OpAccountDeleteSecret, databrickstest.OpWorkspaceDeleteSecret:
		r.deletes++
	}
}

func (r history) text() string {
	var b strings.Builder
	for _, entry := range r.entries {
		b.WriteString(entry)
	}
	return b.String()
}

// judgeTrail wants an entry before each create and each delete, and one after
// each of them that was not cut off.
func judgeTrail(r history) error {
	told := map[string]int{}
	before, after := 0, 0
	for key, entry := range r.entries {
		var e struct{ Phase, Action string }
		if err := json.Unmarshal([]byte(entry), &e); err != nil {
			return fmt.Errorf("entry %s: %w", key, err)
		}
		if e.Phase == "before" {
			before++
			told[e.Action]++
		} else {
			after++
		}
	}
	switch deletes := told["retire"] + told["discard"]; {
	case told["issue"] != r.creates || deletes != r.deletes:
		return fmt.Errorf("it tells of %d creates and %d deletes, and there were %d and %d", told["issue"], deletes, r.creates, r.deletes)
	case r.creates == 0:
		return errors.New("there was nothing to tell")
	case before-after != r.killed:
		return fmt.Errorf("%d entries before a change, %d after, and %d changes were cut off", before, after, r.killed)
	}
	return nil
}
