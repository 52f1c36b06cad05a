package stack_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/infra/stack"
	"databricks-credential-rotation/shared/config"
)

const root = "../.."

func open(t *testing.T, path string) stack.Template {
	t.Helper()
	template, err := stack.Open(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return template
}

func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// fields runs a function over every mapping in a value.
func fields(value any, do func(map[string]any)) {
	switch v := value.(type) {
	case map[string]any:
		do(v)
		for _, inner := range v {
			fields(inner, do)
		}
	case []any:
		for _, inner := range v {
			fields(inner, do)
		}
	}
}

// runtimeVariables are those that Go's own runtime reads.
var runtimeVariables = map[string]bool{"GOMEMLIMIT": true}

// Each function is given the variables that its configuration reads, and no
// other.
func TestEnvironmentsAreTheConfigurations(t *testing.T) {
	template := open(t, "template.yaml")
	load := map[string]func(getenv func(string) string){
		"RotateFunction": func(getenv func(string) string) { _, _ = config.LoadRotate(getenv) },
		"AuditFunction":  func(getenv func(string) string) { _, _ = config.LoadAudit(getenv) },
		"RevokeFunction": func(getenv func(string) string) { _, _ = config.LoadRevoke(getenv) },
	}
	for id, r := range template.Resources() {
		if r.Type != "AWS::Serverless::Function" {
			continue
		}
		reads := map[string]bool{}
		if load[id] == nil {
			t.Errorf("nobody says which configuration %s reads", id)
			continue
		}
		load[id](func(name string) string { reads[name] = true; return "" })
		given, _ := r.At("Environment", "Variables").(map[string]any)
		for name := range given {
			if runtimeVariables[name] {
				reads[name] = true
			}
		}
		if diff := cmp.Diff(names(reads), names(given)); diff != "" {
			t.Errorf("%s (-configuration +template):\n%s", id, diff)
		}
		delete(load, id)
	}
	if len(load) > 0 {
		t.Errorf("the template lacks %v", names(load))
	}
}

// emitted are the metrics that the functions write, with their dimensions.
// Each file is held against the code by a test beside it.
func emitted(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	var rotate map[string]struct{ Dimensions []string }
	if err := json.Unmarshal([]byte(read(t, "functions/rotate/rotation/testdata/metrics.json")), &rotate); err != nil {
		t.Fatal(err)
	}
	for name, m := range rotate {
		all[name] = m.Dimensions
	}
	var audit struct {
		AWS struct {
			CloudWatchMetrics []struct {
				Dimensions [][]string
				Metrics    []struct{ Name string }
			}
		} `json:"_aws"`
	}
	if err := json.Unmarshal([]byte(read(t, "functions/audit/auditing/publish/testdata/metrics.json")), &audit); err != nil {
		t.Fatal(err)
	}
	for _, group := range audit.AWS.CloudWatchMetrics {
		for _, m := range group.Metrics {
			if all[m.Name] != nil {
				t.Errorf("both functions write %s", m.Name)
			}
			all[m.Name] = group.Dimensions[0]
		}
	}
	return all
}

const namespace = "DatabricksCredentials"

// An alarm on a metric that nobody writes never rings.
func TestAlarmsAreOnMetricsThatAreWritten(t *testing.T) {
	written := emitted(t)
	service := map[string][]string{
		"AWS/SQS ApproximateNumberOfMessagesVisible": {"QueueName"},
		"AWS/Lambda Errors":                          {"FunctionName"},
	}
	alarms := 0
	for id, r := range open(t, "infra/observability.yaml").Resources() {
		if r.Type != "AWS::CloudWatch::Alarm" {
			continue
		}
		alarms++
		found := 0
		fields(r.Properties, func(m map[string]any) {
			name, ok := m["MetricName"].(string)
			if !ok {
				return
			}
			found++
			var dimensions []string
			list, _ := m["Dimensions"].([]any)
			for _, d := range list {
				dimension, _ := d.(map[string]any)
				dimensions = append(dimensions, fmt.Sprint(dimension["Name"]))
			}
			want, known := written[name]
			if m["Namespace"] != namespace {
				want, known = service[fmt.Sprint(m["Namespace"], " ", name)]
			}
			if !known {
				t.Errorf("%s: nobody writes %v %s", id, m["Namespace"], name)
			} else if diff := cmp.Diff(want, dimensions); diff != "" {
				t.Errorf("%s: dimensions of %s (-written +alarm):\n%s", id, name, diff)
			}
		})
		if found == 0 {
			t.Errorf("%s has no metric", id)
		}
		for _, action := range []string{"AlarmActions", "OKActions"} {
			if diff := cmp.Diff([]any{map[string]any{"Ref": "AlarmTopic"}}, r.At(action)); diff != "" {
				t.Errorf("%s: %s: %s", id, action, diff)
			}
		}
		if diff := cmp.Diff(map[string]any{"Fn::Sub": "${Deployment}-" + id}, r.At("AlarmName")); diff != "" {
			t.Errorf("%s: name: %s", id, diff)
		}
	}
	if alarms == 0 {
		t.Error("there are no alarms")
	}
}

// The dashboard shows metrics that are written, over the dimensions that they
// have.
func TestDashboard(t *testing.T) {
	written := emitted(t)
	body, _ := open(t, "infra/observability.yaml").Resource("Dashboard").At("DashboardBody", "Fn::Sub").(string)
	parameters := open(t, "infra/observability.yaml").Section("Parameters")
	body = regexp.MustCompile(`\$\{([^}]+)\}`).ReplaceAllStringFunc(body, func(ref string) string {
		name := strings.Trim(ref, "${}")
		if parameters[name] == nil && !strings.HasPrefix(name, "AWS::") {
			t.Errorf("the dashboard refers to %s", ref)
		}
		return "1"
	})
	var dashboard struct {
		Widgets []struct {
			Type                string
			X, Y, Width, Height int
			Properties          struct {
				Title   string
				Metrics [][]any
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &dashboard); err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, w := range dashboard.Widgets {
		if w.X+w.Width > 24 {
			t.Errorf("%q is wider than the dashboard", w.Properties.Title)
		}
		for _, metric := range w.Properties.Metrics {
			if metric[0] != namespace {
				continue
			}
			shown++
			var dimensions []string
			for i := 2; i+1 < len(metric); i += 2 {
				dimensions = append(dimensions, fmt.Sprint(metric[i]))
			}
			if diff := cmp.Diff(written[fmt.Sprint(metric[1])], dimensions); diff != "" {
				t.Errorf("%q: %v (-written +shown):\n%s", w.Properties.Title, metric[1], diff)
			}
		}
	}
	if shown == 0 {
		t.Error("it shows no metric")
	}
}

// Every alarm has a page, every page with an alarm's name an alarm, and every
// page says what is to be said in the middle of the night.
func TestEachAlarmHasARunbook(t *testing.T) {
	var alarms []string
	for id, r := range open(t, "infra/observability.yaml").Resources() {
		if r.Type != "AWS::CloudWatch::Alarm" {
			continue
		}
		alarms = append(alarms, id)
		description, _ := r.At("AlarmDescription").(string)
		if want := "See docs/runbooks/" + id + ".md."; !strings.HasSuffix(description, want) {
			t.Errorf("%s: its description does not end in %q: %s", id, want, description)
		}
	}
	slices.Sort(alarms)
	files, err := filepath.Glob(filepath.Join(root, "docs", "runbooks", "[A-Z]*.md"))
	if err != nil {
		t.Fatal(err)
	}
	var pages []string
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".md"); name != "README" {
			pages = append(pages, name)
		}
	}
	if diff := cmp.Diff(alarms, pages); diff != "" {
		t.Errorf("runbooks (-alarms +pages):\n%s", diff)
	}
	for _, page := range pages {
		text := read(t, "docs/runbooks/"+page+".md")
		if !strings.HasPrefix(text, "# "+page+"\n") {
			t.Errorf("%s: another title", page)
		}
		at := 0
		for _, part := range []string{"## What it means", "## What is still safe", "## What to do", "## When it closes"} {
			next := strings.Index(text[at:], "\n"+part+"\n\n")
			if next < 0 {
				t.Errorf("%s: no part %q in its place", page, part)
				break
			}
			at += next + 1
		}
		// Another page that it names must be there.
		for _, ref := range regexp.MustCompile("(?:page|pages|and) `([A-Z][A-Za-z]+)`").FindAllStringSubmatch(text, -1) {
			if !slices.Contains(pages, ref[1]) && !strings.HasSuffix(ref[1], "Command") {
				t.Errorf("%s: there is no page %s", page, ref[1])
			}
		}
	}
}

// Commands that runbooks and the README name are outputs of the stack, and
// what outputs name exists.
func TestCommandsAreOutputs(t *testing.T) {
	outputs := open(t, "template.yaml").Section("Outputs")
	files, err := filepath.Glob(filepath.Join(root, "docs", "runbooks", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, file := range append(files, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, command := range regexp.MustCompile("`([A-Z][A-Za-z]+Command)`").FindAllSubmatch(text, -1) {
			named++
			if outputs[string(command[1])] == nil {
				t.Errorf("%s: the stack has no output %s", filepath.Base(file), command[1])
			}
		}
	}
	if named == 0 {
		t.Error("no page names a command")
	}
	for name, output := range outputs {
		fields, _ := output.(map[string]any)
		if fields["Description"] == nil {
			t.Errorf("output %s: no description", name)
		}
	}
}

// Each kind of run has an alarm for its absence: what the others say of a thing
// that only a run finds is as old as the last one.
func TestEachScheduleIsMissed(t *testing.T) {
	watched := map[string]bool{}
	for id, r := range open(t, "infra/observability.yaml").Resources() {
		if r.Type != "AWS::CloudWatch::Alarm" || r.At("TreatMissingData") != "breaching" {
			continue
		}
		if r.At("ComparisonOperator") != "LessThanThreshold" {
			t.Errorf("%s: it is raised by what it should miss", id)
		}
		kind := fmt.Sprint(r.At("MetricName"))
		list, _ := r.At("Dimensions").([]any)
		for _, d := range list {
			if dimension, _ := d.(map[string]any); dimension["Name"] == "Door" {
				kind = fmt.Sprint(dimension["Value"])
			}
		}
		watched[kind] = true
	}
	if diff := cmp.Diff([]string{"Audits", "reconcile", "sweep"}, names(watched)); diff != "" {
		t.Errorf("watched (-runs +alarms): %s", diff)
	}
}

// What only some runs report must hold until the next of them, and end with
// it, also within the hour.
func TestSparseNumbersHold(t *testing.T) {
	sparse := []string{"OldestCredentialDays", "DaysToFirstExpiry", "Overdue", "DeadCurrent", "Withheld", "FailedByDoor"}
	seen := map[string]bool{}
	for id, r := range open(t, "infra/observability.yaml").Resources() {
		name := fmt.Sprint(r.At("MetricName"))
		if r.Type != "AWS::CloudWatch::Alarm" || !slices.Contains(sparse, name) {
			continue
		}
		seen[name] = true
		if r.At("TreatMissingData") != "ignore" || r.At("EvaluationPeriods") != 1 || r.At("Period") != 300 {
			t.Errorf("%s: missing data are %v, %v periods of %v seconds", id, r.At("TreatMissingData"), r.At("EvaluationPeriods"), r.At("Period"))
		}
	}
	if len(seen) != len(sparse) {
		t.Errorf("alarms on %v, want one on each of %v", names(seen), sparse)
	}
}

// Dashboards are an account's: one stack in each of two regions has two. And
// what comes once a day must be within what it shows at first.
func TestDashboardOfARegion(t *testing.T) {
	r := open(t, "infra/observability.yaml").Resource("Dashboard")
	if name, _ := r.At("DashboardName", "Fn::Sub").(string); !strings.Contains(name, "${Deployment}") || !strings.Contains(name, "${AWS::Region}") {
		t.Errorf("named %q", name)
	}
	body, _ := r.At("DashboardBody", "Fn::Sub").(string)
	if !strings.Contains(body, `"start":"-P14D"`) || !strings.Contains(body, `"periodOverride":"inherit"`) {
		t.Error("it shows the last hours only, or periods of its own")
	}
}

// A queue is asked at all its servers: a short poll asks some, and says that
// there is nothing.
func TestQueuesArePolledLong(t *testing.T) {
	found := 0
	for name, output := range open(t, "template.yaml").Section("Outputs") {
		fields(output, func(m map[string]any) {
			command, _ := m["Fn::Sub"].(string)
			if !strings.Contains(command, "sqs receive-message") {
				return
			}
			found++
			if !strings.Contains(command, "--wait-time-seconds ") {
				t.Errorf("%s polls short", name)
			}
		})
	}
	if found == 0 {
		t.Error("no output reads a queue")
	}
}
