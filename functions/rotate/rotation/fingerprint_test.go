package rotation_test

import (
	"fmt"
	"testing"
	"time"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/databricks"
)

// Invariant 3: an orphan of ours is known for certain. No lifetime that a
// person or a tool picks in whole minutes is ever taken for one of ours.
func TestFingerprint(t *testing.T) {
	for i := range 2000 {
		arn := fmt.Sprintf("arn:aws:secretsmanager:eu-west-1:123456789012:secret:s%d-abcdef", i)
		for _, days := range []time.Duration{2, 90, 730} {
			lifetime := rotation.Fingerprint(arn, days*day)
			if lifetime <= (days-1)*day || lifetime >= days*day {
				t.Fatalf("lifetime %v for a policy of %d days", lifetime, days)
			}
			if lifetime%time.Minute == 0 || lifetime%time.Second != 0 {
				t.Fatalf("lifetime %v is whole minutes, or no whole seconds", lifetime)
			}
			s := databricks.OAuthSecret{CreateTime: testNow, ExpireTime: testNow.Add(lifetime)}
			if !rotation.IsOurs(arn, s) {
				t.Fatalf("%v is not known as ours", lifetime)
			}
			if rotation.IsOurs(arn+"x", s) && rotation.Fingerprint(arn, day) != rotation.Fingerprint(arn+"x", day) {
				t.Fatalf("another managed secret takes it for its own")
			}
		}
	}
	for _, lifetime := range []time.Duration{0, time.Minute, hour, day, 90 * day, 730 * day, 90*day + 7*time.Minute} {
		if rotation.IsOurs(testARN, databricks.OAuthSecret{CreateTime: testNow, ExpireTime: testNow.Add(lifetime)}) {
			t.Errorf("a lifetime of %v is taken for ours", lifetime)
		}
	}
	if rotation.IsOurs(testARN, databricks.OAuthSecret{CreateTime: testNow}) {
		t.Error("a secret that never expires is taken for ours")
	}
}

// Two runs that replace the same version write the same id; that is what lets
// only one of them win.
func TestSuccessorID(t *testing.T) {
	id := rotation.SuccessorID(testARN, "v1", 0)
	if id != rotation.SuccessorID(testARN, "v1", 0) {
		t.Error("the id differs between two runs")
	}
	for _, other := range []string{rotation.SuccessorID(testARN, "v2", 0), rotation.SuccessorID(testARN, "v1", 1), rotation.SuccessorID(testARN+"x", "v1", 0)} {
		if other == id {
			t.Error("the id is the same for another secret, version or attempt")
		}
	}
	if len(id) < 32 || len(id) > 64 {
		t.Errorf("the id is %d characters long; Secrets Manager takes 32 to 64", len(id))
	}
}
