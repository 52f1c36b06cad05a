package rotation_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/usagelog"
)

// An answer that Lambda does not pass on would make a failure of a run in which
// nothing failed.
func TestAnswerFitsIntoLambda(t *testing.T) {
	id, now := strings.Repeat("f", 64), time.Now()
	full := rotation.Outcome{
		Secret: strings.Repeat("s", 120), ClientID: "00000000-0000-4000-8000-000000000000", Reason: rotation.Due, Issued: id,
		Version: rotation.SuccessorID("arn", "v", 0), Retired: []string{id}, Foreign: []string{id, id}, IssuedAt: now, ExpiresAt: now,
	}
	reader := usagelog.Reader{Address: "2001:db8:0000:0000:0000:0000:0000:0001", Agent: strings.Repeat("a", 60), Last: now}
	full.Unseen = []rotation.Unseen{{OAuthSecretID: id, KeptUntil: now, Readers: make([]usagelog.Reader, rotation.MostReaders)}}
	for i := range full.Unseen[0].Readers {
		full.Unseen[0].Readers[i] = reader
	}
	report := &rotation.Report{}
	for range 10_000 {
		report.Outcomes = append(report.Outcomes, full)
	}
	answer, err := rotation.Reply(report, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 6_000_000 {
		t.Errorf("an answer has %d bytes, %d for each secret", len(text), len(text)/len(report.Outcomes))
	}
}
