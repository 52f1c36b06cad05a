// Package fingerprint tells the OAuth secrets that the rotation issued from
// those of everybody else.
//
// Databricks gives a new OAuth secret no name, and shows its value once. A run
// that dies between creating a secret and storing it leaves one that must be
// told from a colleague's. Its lifetime is ours to choose to the second and is
// listed as expire_time - create_time, so it serves as a fingerprint: the
// policy's whole days less an offset that belongs to the managed secret.
//
// The offset is never a whole number of minutes. A lifetime that a person or
// another tool picked in days, hours or minutes therefore never matches.
package fingerprint

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

const day = 24 * time.Hour

// Lifetime is that of the next OAuth secret for a managed secret, under a
// policy that lets it live for so many whole days.
func Lifetime(arn string, policy time.Duration) time.Duration { return policy - offset(arn) }

// Matches tells whether an OAuth secret with this lifetime was issued for this
// managed secret, under whatever policy was in force then.
func Matches(arn string, lifetime time.Duration) bool {
	return lifetime > 0 && (lifetime+offset(arn))%day == 0
}

// offset is between one second and a day, and the same for every OAuth secret
// issued for a managed secret.
func offset(arn string) time.Duration {
	sum := sha256.Sum256([]byte("databricks-credential-rotation lifetime " + arn))
	n := binary.BigEndian.Uint64(sum[:])
	minute := time.Duration(n % (24 * 60))
	second := time.Duration(1 + n/(24*60)%59)
	return minute*time.Minute + second*time.Second
}
