package rule_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/rule"
)

func remedy(command string, v rule.Values) string {
	return rule.Rule{ID: "r", Remedy: "by hand: <name>", Command: command}.Finding(finding.Subject{}, "", "", v).Remedy
}

func TestCommand(t *testing.T) {
	for _, c := range []struct {
		name, command string
		values        rule.Values
		want          string
	}{
		{"plain", "tool delete <id>", rule.Values{"id": "abc-1"}, "tool delete abc-1"},
		{"blank", "tool delete <id>", rule.Values{"id": "a b"}, "tool delete 'a b'"},
		{"quote", "tool delete <id>", rule.Values{"id": "a'; rm -rf /; '"}, `tool delete 'a'\''; rm -rf /; '\'''`},
		{"option", "tool delete <name>", rule.Values{"name": "--all"}, "by hand: --all"},
		{"option behind an equals sign", "tool --name=<name>", rule.Values{"name": "--all"}, "tool --name=--all"},
		{"variable", "HOST=<host> tool", rule.Values{"host": "https://a b"}, "HOST='https://a b' tool"},
		{"zsh's equals", "tool <id>", rule.Values{"id": "=ls"}, "tool '=ls'"},
		{"tilde", "tool <id>", rule.Values{"id": "~root"}, "tool '~root'"},
		{"escape", "tool <id>", rule.Values{"id": "a\x1b[2J1"}, `tool $'a\033[2J1'`},
		{"new line", "tool <id>", rule.Values{"id": "a\nb'"}, `tool $'a\012b\''`},
		{"bidi", "tool <id>", rule.Values{"id": "a\u202eb"}, `tool $'a\342\200\256b'`},
		{"umlaut", "tool <id>", rule.Values{"id": "Bücher"}, "tool 'Bücher'"},
		{"not UTF-8", "tool <name>", rule.Values{"name": "a\xff"}, "by hand: a\xff"},
		{"unknown", "tool <name>", rule.Values{}, "by hand: <name>"},
		{"empty", "tool <name>", rule.Values{"name": ""}, "by hand: "},
		{"path", "tool /api/<id>", rule.Values{"id": "a/../b?c"}, "tool /api/a%2F..%2Fb%3Fc"},
		{"path of segments", "tool /api/<id>", rule.Values{"id": rule.Path{"a", "b c"}}, "tool /api/a/b%20c"},
		{"path upwards", "tool /api/<name>", rule.Values{"name": ".."}, "by hand: .."},
		{"json", `tool --json '{"scopes":<scopes>,"n":<n>}'`, rule.Values{"scopes": []string{"a", `b"'`}, "n": 7}, `tool --json '{"scopes":["a","b\"'\''"],"n":7}'`},
		{"json of nothing", `tool --json '{"scopes":<name>}'`, rule.Values{"name": nil}, "by hand: <nil>"},
		{"two commands", "tool a && tool <id>", rule.Values{"id": "b"}, "tool a && tool b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := remedy(c.command, c.values); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// A shell must give back each value as it was, and run nothing.
func FuzzCommand(f *testing.F) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		f.Skip("SKIPPED: no bash to try the quotes on")
	}
	for _, s := range []string{"a", "$(id)", "`id`", "a'b", "\\", "a\nb", "!!", "*", "{a,b}", "a\x1b]0;x\x07", "\u202e", "a\tb", "#", "é€😀", "%s", "\r"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		command := remedy("printf %s <name>", rule.Values{"name": s})
		if strings.HasPrefix(command, "by hand") {
			return
		}
		if i := strings.IndexFunc(command, func(r rune) bool { return r < ' ' || r == 0x7f || slices.Contains([]rune("\u202e\u202d\u2066"), r) }); i >= 0 {
			t.Errorf("%q shows a control character", command)
		}
		out, err := exec.CommandContext(t.Context(), bash, "-c", command).Output()
		if err != nil || string(out) != s {
			t.Errorf("%q printed %q, want %q (%v)", command, out, s, err)
		}
	})
}
