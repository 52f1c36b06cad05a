//go:build mutation

package rotation_test

// Mutation testing runs the tests hundreds of times and plays less in each.
const (
	soakChecks  = "8"
	crashStride = 149
)
