package rotation

// For tests of this package.
var (
	WithinBudget = withinBudget
	Fingerprint  = fingerprint
	IsOurs       = isOurs
	SuccessorID  = successorID
	Reply        = reply
	Earlier      = earlier
	Identify     = (*Observation).identify
)

// MostReaders is how many readers of a predecessor an answer names.
const MostReaders = mostReaders

// MaxTries is how often a run turns to a secret.
const MaxTries = maxTries

// MaxReceives is for tests that hold it against the template.
const MaxReceives = maxReceives
