package rotation

import (
	"fmt"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/policy"
)

// removals is what a run does about OAuth secrets whose removal rests on a
// judgment: orphans, replaced ones that only an old version names, and foreign
// ones of exclusive principals. If the judgment is wrong, it is wrong for many
// principals at once. So a run postpones them until it has made all its plans,
// and then does all of them or, over the budget, none.
type removals int

const (
	undecided removals = iota
	allowed
	withheld
)

// withinBudget tells whether a run that knows of so many live OAuth secrets
// may remove so many. What one principal can have at most goes whatever its
// share: otherwise a small fleet could never be tidied.
func withinBudget(b policy.Budget, remove, of int) bool {
	if remove <= databricks.MaxSecrets {
		b.Share = 0
	}
	return b.Allows(remove, of)
}

// needBudget counts the plan's removals that need the budget.
func (p Plan) needBudget() int {
	n := 0
	for _, r := range p.Retire {
		if r.Kind.needsBudget() {
			n++
		}
	}
	return n
}

// decide says what becomes of the postponed removals of a run. It returns what
// to tell the person on call if they are withheld.
func (r *run) decide(remove, of int) string {
	if r.removals == undecided {
		r.removals = allowed
	}
	if remove == 0 {
		return ""
	}
	if r.census.claims == nil {
		var err error
		if r.census, err = r.survey(); err != nil {
			r.removals = withheld
			return fmt.Sprintf("%d OAuth secrets should be removed, and none of them was: %v", remove, err)
		}
	}
	if withinBudget(r.policy.Budgets.Rotate, remove, of) {
		return ""
	}
	r.removals = withheld
	return fmt.Sprintf(
		"%d of the %d OAuth secrets that this run knows of should be removed, which is over the budget (%v); none of them was; find out why there are so many, then raise budgets.rotate in the policy for one run",
		remove, of, r.policy.Budgets.Rotate)
}

// alone tells whether no other managed secret names the principal. Only a run
// that sees all of them can tell, and only at its end: before that it takes
// every principal for alone, in plans that are postponed anyway.
func (r *run) alone(clientID string) bool {
	if r.removals == undecided {
		return r.all
	}
	return r.all && !r.census.denied && len(r.census.opaque) == 0 && r.census.registered[clientID] == 1
}
