package rotation_test

import (
	"path/filepath"
	"testing"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/infra/stack"
)

// The queue's redrive is one later than the function's own giving up: what the
// queue moves by itself has ended the function. And a message in the hands of a
// slow invocation is given to no other.
func TestTheQueueIsTheTemplates(t *testing.T) {
	template, err := stack.Open(filepath.Join("..", "..", "..", "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	queue := template.Resource("RotateQueue")
	if got := queue.At("RedrivePolicy", "maxReceiveCount"); got != rotation.MaxReceives+1 {
		t.Errorf("the queue gives a message up after %v receives, the function after %d", got, rotation.MaxReceives)
	}
	timeout, _ := template.Resource("RotateFunction").At("Timeout").(int)
	if got := queue.At("VisibilityTimeout"); timeout == 0 || got != 6*timeout {
		t.Errorf("visibility timeout %v, want six times the function's %d", got, timeout)
	}
	source := stack.Resource{Properties: template.Resource("RotateFunction").Properties}
	if types, _ := source.At("Events", "Queue", "Properties", "FunctionResponseTypes").([]any); len(types) != 1 || types[0] != "ReportBatchItemFailures" {
		t.Errorf("response types %v: a batch would fail as a whole", types)
	}
}
