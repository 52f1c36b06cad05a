package rotation

// For tests of this package.
var (
	WithinBudget = withinBudget
	Fingerprint  = fingerprint
	IsOurs       = isOurs
	SuccessorID  = successorID
)
