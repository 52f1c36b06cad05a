package estatetest

import "slices"

// ResetCalls forgets the calls that were made so far, of both clouds.
func (e *Estate) ResetCalls() {
	e.Databricks.Faults().Reset()
	e.AWS.Faults().Reset()
}

// Changes are the operations of the calls since then that change something.
func (e *Estate) Changes() []string {
	var ops []string
	for _, c := range slices.Concat(e.Databricks.Faults().Calls(), e.AWS.Faults().Calls()) {
		if !c.Read {
			ops = append(ops, c.Op)
		}
	}
	return ops
}
