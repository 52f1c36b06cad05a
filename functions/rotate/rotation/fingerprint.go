package rotation

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"

	"databricks-credential-rotation/shared/databricks"
)

// Databricks gives a new OAuth secret no name, and shows its value once. A run
// that dies between creating a secret and storing it leaves one that must be
// told from a colleague's. Its lifetime is ours to choose to the second and is
// listed as expire_time - create_time, so it serves as a fingerprint: the
// policy's whole days less an offset that belongs to the managed secret.
//
// The offset is never a whole number of minutes. A lifetime that a person or
// another tool picked in days, hours or minutes therefore never matches.
const day = 24 * time.Hour

// offset is between one second and a day, and the same for every OAuth secret
// issued for a managed secret.
func offset(arn string) time.Duration {
	sum := sha256.Sum256([]byte("databricks-credential-rotation lifetime " + arn))
	n := binary.BigEndian.Uint64(sum[:])
	minute := time.Duration(n % (24 * 60))
	second := time.Duration(1 + n/(24*60)%59)
	return minute*time.Minute + second*time.Second
}

// fingerprint is the lifetime of the next OAuth secret for a managed secret.
func fingerprint(arn string, lifetime time.Duration) time.Duration {
	return lifetime - offset(arn)
}

// isOurs tells whether an OAuth secret was issued for this managed secret,
// under whatever policy was in force then.
func isOurs(arn string, s databricks.OAuthSecret) bool {
	lifetime := s.Lifetime()
	return lifetime > 0 && (lifetime+offset(arn))%day == 0
}

// versionPrefix marks the versions that the rotation wrote as AWSCURRENT in
// one step. Versions of the rotation protocol carry Secrets Manager's token.
const versionPrefix = "rotation-"

// successorID is the id of the version that follows another one. Two runs that
// replace the same version write the same id, and Secrets Manager lets only
// the first of them succeed. The number tells later attempts apart, for a
// version that became current again after it had been replaced.
func successorID(arn, versionID string, attempt int) string {
	sum := sha256.Sum256([]byte(arn + "\x00" + versionID + "\x00" + strconv.Itoa(attempt)))
	return versionPrefix + hex.EncodeToString(sum[:24])
}
