package drill_test

import (
	"strings"
	"testing"

	"databricks-credential-rotation/functions/revoke/revocation"
	"databricks-credential-rotation/infra/sandbox/drill"
	"databricks-credential-rotation/infra/sandbox/leak"
	"databricks-credential-rotation/infra/sandbox/stage"
)

func TestDrill(t *testing.T) {
	dir := t.TempDir()
	if err := stage.Build(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	d, err := drill.Open(t.Context(), dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, mode := range []revocation.Mode{revocation.Replace, revocation.Revoke, revocation.Lockout} {
		r, err := d.Play(t.Context(), mode)
		if err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		for _, p := range r.Problems {
			t.Errorf("%s: %v", mode, p)
		}
		t.Logf("%s: refused %v after the call, which took %v; %d refusals at most", mode, r.Refused, r.Call, r.Refusals)
	}
	if err := d.Unknown(); err != nil {
		t.Error(err)
	}
	// Invariant 6.
	texts := map[string]string{"errors": strings.Join(d.Stage.Failures(), "\n")}
	for function, text := range d.Stage.Logs.Texts() {
		texts[function] = text
	}
	for _, m := range d.Stage.AWS.Published(d.Stage.Topic) {
		texts["topic"] += m.Subject + m.Body
	}
	if len(texts["topic"]) == 0 {
		t.Error("nobody was told")
	}
	if found := leak.Look(d.Stage.Secrets(), texts); len(found.Found) > 0 || found.Values == 0 {
		t.Errorf("secrets found in %v (of %d values)", found.Found, found.Values)
	}
}
