package stage_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"databricks-credential-rotation/infra/sandbox/stage"
)

// A secret that lies in the queue is rotated by the function that Lambda
// invokes with it; what cannot be mended by trying again goes to the dead
// letters, with its reason.
func TestTheQueueIsWorkedOff(t *testing.T) {
	w := newSecret(t)
	s := w.stage
	before := w.current()
	cfg := s.AWS.Config()
	cfg.Credentials = s.AWS.Role("owner")
	api := sqs.NewFromConfig(cfg)
	url, err := api.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(stage.RotateQueue)})
	if err != nil {
		t.Fatal(err)
	}
	good, err := json.Marshal(map[string]any{"action": "rotate", "secrets": []string{w.name}, "force": true})
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{string(good), `{"action":"sweep"}`} {
		if _, err := api.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: url.QueueUrl, MessageBody: &body}); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(20 * time.Second); len(s.AWS.QueueMessages(stage.RotateQueue)) > 0 || w.current().ID == before.ID; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still in the queue: %+v\n%s", s.AWS.QueueMessages(stage.RotateQueue), s.Logs.Texts()["rotate"])
		}
	}
	dead := s.AWS.QueueMessages(stage.DeadLetterQueue)
	if len(dead) != 1 || dead[0].Body != `{"action":"sweep"}` {
		t.Errorf("dead letters %+v, want the sweep, which no queue carries", dead)
	}
	// The run wrote its metrics through the deployed binary, one line that is
	// JSON at its root.
	const door = `"Door":"queue"`
	if !s.Logs.Await("rotate", 0, door, 10*time.Second) {
		t.Fatal("the function wrote no metrics")
	}
	lines := strings.Split(s.Logs.Texts()["rotate"], "\n")
	at := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, door) })
	var line struct {
		Level, Timestamp string
		Rotated          float64
		AWS              map[string]any `json:"_aws"`
	}
	if err := json.Unmarshal([]byte(lines[at]), &line); err != nil || line.AWS["CloudWatchMetrics"] == nil {
		t.Errorf("%v: %s", err, lines[at])
	}
}
