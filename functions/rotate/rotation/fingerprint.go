package rotation

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"databricks-credential-rotation/shared/databricks"
	ours "databricks-credential-rotation/shared/fingerprint"
)

// fingerprint is the lifetime of the next OAuth secret for a managed secret.
func fingerprint(arn string, lifetime time.Duration) time.Duration {
	return ours.Lifetime(arn, lifetime)
}

// isOurs tells whether an OAuth secret was issued for this managed secret,
// under whatever policy was in force then.
func isOurs(arn string, s databricks.OAuthSecret) bool {
	return ours.Matches(arn, s.Lifetime())
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

// succeeds tells whether a run has written a version in the place of another.
func succeeds(arn, previous, id string) bool {
	for attempt := range 4 {
		if id == successorID(arn, previous, attempt) {
			return true
		}
	}
	return false
}
