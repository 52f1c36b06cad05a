package rotation

// For tests of this package.
var (
	WithinBudget = withinBudget
	Fingerprint  = fingerprint
	IsOurs       = isOurs
	SuccessorID  = successorID
)

// MaxReceives is for tests that hold it against the template.
const MaxReceives = maxReceives
