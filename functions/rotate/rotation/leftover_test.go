package rotation_test

import (
	"testing"
	"time"

	"databricks-credential-rotation/shared/estatetest"
)

// AWSPENDING may stay on the version that it made current. When that version
// has been replaced, no rotation is under way, and the label is taken off.
func TestPendingLeftOnPredecessor(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		for _, step := range []string{"createSecret", "setSecret", "testSecret", "finishSecret"} {
			w.mustStep(m, step) // by hand, so that nobody takes the label off
		}
		for range 2 {
			time.Sleep(hour)
			_, err := w.invoke(w.t.Context(), []byte(`{"action":"rotate","secrets":["etl"],"force":true}`))
			w.checkErr(err, "")
		}
		w.checkErr(w.rotateSecret(m, true), "")
		w.check(w.Sample(w.policy.Grace))
	})
}
