package config_test

import (
	"maps"
	"strings"
	"testing"

	"databricks-credential-rotation/shared/config"
)

const (
	clientID  = "0c5e3a1f-7d24-4c8e-9b6a-1f2e3d4c5b6a"
	audience  = "6d1c2a4e-9f30-4b57-8f0e-2b7c51d8a930"
	queueURL  = "https://sqs.eu-central-1.amazonaws.com/123456789012/rotation"
	secretARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rotator-AbCdEf"
)

// environment is the least that a function needs.
func environment() map[string]string {
	return map[string]string{"ROTATOR_CLIENT_ID": clientID, "ROTATOR_AUDIENCE": audience}
}

func load(env map[string]string) (config.Rotate, error) {
	return config.LoadRotate(func(name string) string { return env[name] })
}

func TestDefaults(t *testing.T) {
	got, err := load(environment())
	if err != nil {
		t.Fatal(err)
	}
	if got.ClientID != clientID || got.Audience != audience || got.SecretARN != "" {
		t.Errorf("%+v", got)
	}
	if got.Policy != (config.ObjectLocation{}) || got.TrailBucket != "" {
		t.Errorf("policy at %+v, trail in %q; want neither", got.Policy, got.TrailBucket)
	}
	for host, allowed := range map[string]bool{
		"https://accounts.cloud.databricks.com": true,
		"https://dbc-1a2b.cloud.databricks.com": true,
		"http://127.0.0.1:8080":                 false,
		"https://example.com":                   false,
	} {
		if err := got.Hosts.Check(host); (err == nil) != allowed {
			t.Errorf("%s: %v, allowed should be %v", host, err, allowed)
		}
	}
}

func TestEachVariable(t *testing.T) {
	tests := []struct {
		set   map[string]string // "" takes a variable out
		check func(config.Rotate) bool
	}{
		{map[string]string{"ROTATOR_CLIENT_ID": "", "ROTATOR_AUDIENCE": "", "ROTATOR_SECRET_ARN": secretARN}, func(c config.Rotate) bool { return c.SecretARN == secretARN && c.ClientID == "" }},
		{map[string]string{"ROTATOR_CLIENT_ID": "", "ROTATOR_SECRET_ARN": strings.Replace(secretARN, "aws", "aws-us-gov", 1)}, func(c config.Rotate) bool { return c.SecretARN != "" }},
		{map[string]string{"ROTATOR_AUDIENCE": "another"}, func(c config.Rotate) bool { return c.Audience == "another" }},
		{map[string]string{"DATABRICKS_HOSTS": "http://127.0.0.1:*"}, func(c config.Rotate) bool { return c.Hosts.Check("http://127.0.0.1:80") == nil }},
		{map[string]string{"DATABRICKS_HOSTS": "https://one.example.com"}, func(c config.Rotate) bool {
			return c.Hosts.Check("https://dbc-1a2b.cloud.databricks.com") != nil
		}},
		{map[string]string{"POLICY_LOCATION": "s3://data.example-1/a/policy.yaml"}, func(c config.Rotate) bool {
			return c.Policy == config.ObjectLocation{Bucket: "data.example-1", Key: "a/policy.yaml"}
		}},
		{map[string]string{"TRAIL_BUCKET": "data-123"}, func(c config.Rotate) bool { return c.TrailBucket == "data-123" }},
		{map[string]string{"QUEUE_URL": queueURL, "DEAD_LETTER_URL": queueURL + "-dead"}, func(c config.Rotate) bool {
			return c.QueueURL == queueURL && c.DeadLetterURL == queueURL+"-dead"
		}},
		{map[string]string{"STACK_ID": "arn:aws:cloudformation:eu-central-1:123456789012:stack/Rotation-2/0d1e2f30-0000-4000-8000-000000000001"}, func(c config.Rotate) bool { return c.Deployment == "Rotation-2" }},
	}
	for _, test := range tests {
		env := environment()
		maps.Copy(env, test.set)
		got, err := load(env)
		if err != nil || !test.check(got) {
			t.Errorf("%v gives %+v, %v", test.set, got, err)
		}
	}
}

func TestFaults(t *testing.T) {
	tests := map[string]struct {
		set  map[string]string
		want []string // the beginning of each fault
	}{
		"no identity": {
			map[string]string{"ROTATOR_CLIENT_ID": "", "ROTATOR_AUDIENCE": ""},
			[]string{"ROTATOR_CLIENT_ID or ROTATOR_SECRET_ARN"},
		},
		"two identities":   {map[string]string{"ROTATOR_SECRET_ARN": secretARN}, []string{"ROTATOR_CLIENT_ID and ROTATOR_SECRET_ARN exclude each other"}},
		"client id":        {map[string]string{"ROTATOR_CLIENT_ID": strings.ToUpper(clientID)}, []string{"ROTATOR_CLIENT_ID must be"}},
		"secret's ARN":     {map[string]string{"ROTATOR_CLIENT_ID": "", "ROTATOR_SECRET_ARN": "rotator"}, []string{"ROTATOR_SECRET_ARN must be"}},
		"no audience":      {map[string]string{"ROTATOR_AUDIENCE": ""}, []string{"ROTATOR_AUDIENCE is missing"}},
		"hosts":            {map[string]string{"DATABRICKS_HOSTS": "https://*"}, []string{"DATABRICKS_HOSTS host pattern"}},
		"no location":      {map[string]string{"POLICY_LOCATION": "policy.yaml"}, []string{"POLICY_LOCATION must be"}},
		"location, no key": {map[string]string{"POLICY_LOCATION": "s3://data/"}, []string{"POLICY_LOCATION must be"}},
		"location, blank":  {map[string]string{"POLICY_LOCATION": "s3://data/a b"}, []string{"POLICY_LOCATION must be"}},
		"location, other":  {map[string]string{"POLICY_LOCATION": "https://data/policy.yaml"}, []string{"POLICY_LOCATION must be"}},
		"bucket":           {map[string]string{"TRAIL_BUCKET": "s3://data"}, []string{"TRAIL_BUCKET must be"}},
		"queue alone":      {map[string]string{"QUEUE_URL": queueURL}, []string{"QUEUE_URL and DEAD_LETTER_URL go together"}},
		"dead letters":     {map[string]string{"DEAD_LETTER_URL": queueURL}, []string{"QUEUE_URL and DEAD_LETTER_URL go together"}},
		"a queue's ARN":    {map[string]string{"QUEUE_URL": "arn:aws:sqs:eu-central-1:123456789012:q", "DEAD_LETTER_URL": queueURL}, []string{"QUEUE_URL must be"}},
		"deployment":       {map[string]string{"STACK_ID": "Rotation-2"}, []string{"STACK_ID must be"}},
		"everything": {
			map[string]string{
				"ROTATOR_CLIENT_ID": "x", "ROTATOR_SECRET_ARN": "x", "DATABRICKS_HOSTS": "x",
				"POLICY_LOCATION": "x", "TRAIL_BUCKET": "X",
			},
			[]string{
				"ROTATOR_CLIENT_ID must be", "ROTATOR_SECRET_ARN must be", "POLICY_LOCATION must be", "TRAIL_BUCKET must be",
				"ROTATOR_CLIENT_ID and ROTATOR_SECRET_ARN exclude", "DATABRICKS_HOSTS",
			},
		},
		"client id and audience": {
			map[string]string{"ROTATOR_CLIENT_ID": "x", "ROTATOR_AUDIENCE": ""},
			[]string{"ROTATOR_CLIENT_ID must be", "ROTATOR_AUDIENCE is missing"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			env := environment()
			maps.Copy(env, test.set)
			got, err := load(env)
			if err == nil {
				t.Fatal("no error")
			}
			if got.ClientID != "" || got.Hosts != nil || got.Policy != (config.ObjectLocation{}) || got.TrailBucket != "" {
				t.Errorf("something came with the error: %+v", got)
			}
			faults := strings.Split(strings.TrimPrefix(err.Error(), "configuration: "), "\n")
			if len(faults) != len(test.want) {
				t.Fatalf("faults:\n%v\nwant %d", err, len(test.want))
			}
			for i, want := range test.want {
				if !strings.HasPrefix(faults[i], want) {
					t.Errorf("fault %q, want %q…", faults[i], want)
				}
			}
		})
	}
}

func TestReadsTheProcessEnvironment(t *testing.T) {
	for _, name := range []string{"ROTATOR_SECRET_ARN", "DATABRICKS_HOSTS", "POLICY_LOCATION", "TRAIL_BUCKET", "QUEUE_URL", "DEAD_LETTER_URL", "STACK_ID"} {
		t.Setenv(name, "")
	}
	t.Setenv("ROTATOR_CLIENT_ID", clientID)
	t.Setenv("ROTATOR_AUDIENCE", audience)
	if got, err := config.LoadRotate(nil); err != nil || got.ClientID != clientID {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestRevoke(t *testing.T) {
	const topic = "arn:aws:sns:eu-central-1:123456789012:alerts"
	for name, test := range map[string]struct {
		topic, want, fault string
	}{
		"no topic":     {"", "", ""},
		"a topic":      {topic, topic, ""},
		"topic's name": {"alerts", "", "configuration: TOPIC_ARN must be an SNS topic's ARN"},
	} {
		t.Run(name, func(t *testing.T) {
			env := environment()
			env["TOPIC_ARN"] = test.topic
			got, err := config.LoadRevoke(func(name string) string { return env[name] })
			if err != nil && err.Error() != test.fault || err == nil && test.fault != "" {
				t.Fatalf("error %v, want %q", err, test.fault)
			}
			if got.TopicARN != test.want || err == nil && got.ClientID != clientID || err != nil && got.ClientID != "" {
				t.Errorf("%+v", got)
			}
		})
	}
	env := map[string]string{"TOPIC_ARN": "x", "TRAIL_BUCKET": "X"}
	_, err := config.LoadRevoke(func(name string) string { return env[name] })
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("not every fault is told: %v", err)
	}
}
