package revocation_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sns"

	"databricks-credential-rotation/functions/revoke/revocation"
	"databricks-credential-rotation/shared/awstest"
)

func TestTopic(t *testing.T) {
	server := awstest.New(awstest.Config{})
	topic := revocation.Topic{API: sns.NewFromConfig(server.Config()), ARN: server.CreateTopic("alerts")}
	long := strings.Repeat("line\n", 100_000)
	for name, test := range map[string]struct {
		chat bool
		text string
		want func(string) bool
	}{
		"text": {false, "it is done\n", func(s string) bool { return s == "it is done\n" }},
		"long": {false, long, func(s string) bool {
			return len(s) < 256<<10 && strings.HasSuffix(s, "the rest is in the function's log\n")
		}},
		"chat": {true, "of ```etl```\n", func(s string) bool {
			var m struct{ Version, Source string }
			return json.Unmarshal([]byte(s), &m) == nil && m.Version == "1.0" && m.Source == "custom" && strings.Count(s, "```") == 2
		}},
		"long chat": {true, long, func(s string) bool { return len(s) < 4000 }},
	} {
		t.Run(name, func(t *testing.T) {
			topic.Chat = test.chat
			if err := topic.Announce(t.Context(), "Databricks credentials: replace complete: etl", test.text); err != nil {
				t.Fatal(err)
			}
			sent := server.Published(topic.ARN)
			last := sent[len(sent)-1]
			if !test.want(last.Body) || last.Subject != "Databricks credentials: replace complete: etl" {
				t.Errorf("sent %.300q under %q", last.Body, last.Subject)
			}
			// Those by which a subscriber chooses among the audits' summaries.
			if want := map[string]string{"severity": "critical", "news": "true"}; !maps.Equal(last.Attributes, want) {
				t.Errorf("attributes %v, want %v", last.Attributes, want)
			}
		})
	}
	topic.ARN += "-gone"
	if err := topic.Announce(t.Context(), "s", "t"); err == nil || !strings.Contains(err.Error(), "alerts-gone: NotFound") {
		t.Errorf("a topic that is not there: %v", err)
	}
}
