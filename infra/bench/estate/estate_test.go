package estate_test

import (
	"testing"
	"time"

	"databricks-credential-rotation/infra/bench/estate"
	"databricks-credential-rotation/infra/sandbox/stage"
)

// A small estate is rotated as a whole, and what is counted is what happened.
func TestSweep(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles and runs the functions")
	}
	dir := t.TempDir()
	if err := stage.Build(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	const principals, scoped = 8, 3
	e, err := estate.Open(t.Context(), estate.Config{Binaries: dir, Principals: principals, Scoped: scoped})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if once := e.Once(e.Members); once != 0 {
		t.Errorf("%d are rotated before the sweep", once)
	}
	e.Limit(1, 100, 50)
	e.Delay(2*time.Millisecond, time.Millisecond)
	run, err := e.Sweep(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if run.Secrets != principals || run.Counts["rotated"] != principals || run.Took <= 0 {
		t.Errorf("the run reports %+v", run)
	}
	if once := e.Once(e.Members); once != principals {
		t.Errorf("%d of %d are rotated once", once, principals)
	}
	seen := e.Seen()
	for kind, want := range map[string]int{
		"databricks create OAuth secret": principals, "databricks list OAuth secrets": principals + scoped,
		"secretsmanager PutSecretValue": principals, "secretsmanager ListSecrets": 1,
	} {
		if seen[kind] != want {
			t.Errorf("%d calls of %s, want %d", seen[kind], kind, want)
		}
	}
	if n := e.SeenOf(func(m estate.Member) bool { return m.Scoped }).Sum(); n != 4*scoped {
		t.Errorf("%d calls about the scoped ones, want %d", n, 4*scoped)
	}
	if seen.Of("s3") == 0 || seen.Sum() <= seen.Of("databricks") {
		t.Errorf("the sums of %v are wrong", seen)
	}
	if err := e.Check(); err != nil {
		t.Error(err)
	}
	used, err := e.Use("rotate")
	if err != nil {
		t.Skip(err) // there is no /proc
	}
	if used.Peak < 1<<20 || used.Peak > 1<<30 {
		t.Errorf("the function has used %d bytes", used.Peak)
	}
	// Another run finds nothing to do.
	if run, err := e.Sweep(t.Context()); err != nil || run.Counts["unchanged"] != principals {
		t.Errorf("the second run reports %+v, %v", run, err)
	}
	e.Forget()
	if run, err := e.Reconcile(t.Context()); err != nil || run.Secrets != principals || e.Seen()["databricks list OAuth secrets"] != principals {
		t.Errorf("a reconcile reports %+v, %v after %v", run, err, e.Seen())
	}
}
