package rotation

// For tests of this package.
var (
	Fingerprint = fingerprint
	IsOurs      = isOurs
	SuccessorID = successorID
)
