package terminal_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/infra/sandbox/terminal"
)

func TestScreen(t *testing.T) {
	tests := map[string]struct {
		abilities terminal.Abilities
		want      string
	}{
		"pipe":               {terminal.Abilities{}, "one\nred\n"},
		"terminal":           {terminal.Abilities{Live: true}, "half\r\x1b[Kone\nhalf\r\x1b[Kdone\r\x1b[Kred\ndone\r\x1b[K"},
		"terminal in colour": {terminal.Abilities{Live: true, Colour: true}, "\x1b[2mhalf\x1b[0m\r\x1b[Kone\n\x1b[2mhalf\x1b[0m\r\x1b[K\x1b[2mdone\x1b[0m\r\x1b[K\x1b[31mred\x1b[0m\n\x1b[2mdone\x1b[0m\r\x1b[K"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			s := terminal.New(&out, test.abilities)
			s.Status("half")
			s.Line("%s", "one")
			s.Status("done")
			s.Line("%s", s.Paint(terminal.Red, "red"))
			s.Clear()
			if diff := cmp.Diff(test.want, out.String()); diff != "" {
				t.Errorf("written (-want +got):\n%s", diff)
			}
			if s.Transcript() != out.String() {
				t.Errorf("transcript %q is not what was written", s.Transcript())
			}
		})
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	s := terminal.New(&out, terminal.Abilities{Colour: true})
	s.Table([]string{"secret", "status", "why"}, [][]terminal.Cell{
		{{Text: "äöü"}, {Text: "rotated", Style: terminal.Green}, {Text: "due"}},
		{{Text: "etl/ingest"}, {Text: "blocked"}, {Text: ""}},
	})
	want := "  \x1b[2msecret\x1b[0m      \x1b[2mstatus\x1b[0m   \x1b[2mwhy\x1b[0m\n" +
		"  äöü         \x1b[32mrotated\x1b[0m  due\n" +
		"  etl/ingest  blocked\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestDetectPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	got := terminal.Detect(w, func(name string) string { return map[string]string{"TERM": "xterm"}[name] })
	if got != (terminal.Abilities{}) {
		t.Errorf("a pipe is said to be capable of %+v", got)
	}
}

func TestDetectTerminal(t *testing.T) {
	// The null device is a character device, as a terminal is.
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	tests := map[string]struct {
		env  map[string]string
		want terminal.Abilities
	}{
		"capable":  {map[string]string{"TERM": "xterm"}, terminal.Abilities{Live: true, Colour: true}},
		"no color": {map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, terminal.Abilities{Live: true}},
		"dumb":     {map[string]string{"TERM": "dumb"}, terminal.Abilities{}},
		"unset":    {nil, terminal.Abilities{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := terminal.Detect(null, func(key string) string { return test.env[key] })
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("abilities (-want +got):\n%s", diff)
			}
		})
	}
}
