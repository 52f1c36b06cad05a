//go:build !mutation

package rotation_test

// How much `go test` plays.
const (
	// soakChecks is how many random scripts; -rapid.checks plays others.
	soakChecks = "1000"
	// crashStride plays every so many cases of the crash matrix; make
	// crash-matrix plays all.
	crashStride = 4
)
