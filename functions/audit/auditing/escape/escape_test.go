package escape_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"databricks-credential-rotation/functions/audit/auditing/escape"
)

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                      "",
		"nightly etl":           "nightly etl",
		"Zürich 東京 קפה 🚀":       "Zürich 東京 קפה 🚀",
		"a\nb\r\tc":             `a\u000ab\u000d\u0009c`,
		"\x1b[2Jgone":           `\u001b[2Jgone`,
		"\x1b]8;;http://x\x07y": `\u001b]8;;http://x\u0007y`,
		"\u009b31m":             `\u009b31m`,
		"user\u202egnp.exe":     `user\u202egnp.exe`,
		"a\u2066b\u2069":        `a\u2066b\u2069`,
		"a\u200bb\u00adc\ufeff": `a\u200bb\u00adc\ufeff`,
		"a\u2028b\u2029c":       `a\u2028b\u2029c`,
		"tag \U000e0041":        `tag \U000e0041`,
		"blank \u3164":          `blank \u3164`,
		"cut \xff\xc3":          `cut \xff\xc3`,
		"\ufffd stays":          "\ufffd stays",
	} {
		if got := escape.Line(in); got != want {
			t.Errorf("Line(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestClip(t *testing.T) {
	for _, test := range []struct {
		in   string
		most int
		want string
	}{
		{"short", 5, "short"},
		{"longer", 5, "long…"},
		{"éééééé", 5, "éééé…"},
		{"\x1b\x1b", 5, `\u00…`},
	} {
		if got := escape.Clip(test.in, test.most); got != test.want {
			t.Errorf("Clip(%q, %d) is %q, want %q", test.in, test.most, got, test.want)
		}
	}
	long := strings.Repeat("a\u202e\xff🚀", 5000)
	if got, want := escape.Clip(long, 9), `a\u202e\…`; got != want {
		t.Errorf("Clip of a long text is %q, want %q", got, want)
	}
	if got, want := escape.Bytes(long, 9), `a\u202…`; got != want {
		t.Errorf("Bytes of a long text is %q, want %q", got, want)
	}
	for most := 3; most < 20; most++ {
		got := escape.Bytes("aé東🚀aé東🚀aé東🚀", most)
		if len(got) > most || !utf8.ValidString(got) {
			t.Errorf("Bytes(…, %d) is %q, %d bytes", most, got, len(got))
		}
	}
}

func TestMail(t *testing.T) {
	for in, want := range map[string]string{
		"https://evil.example/login": "https[:]//evil.example/login",
		"see www.evil.example":       "see www[.]evil.example",
		"mailto:a@b.example":         "mailto[:]a@b.example",
		"etl\n\nAll is well":         `etl\u000a\u000aAll is well`,
	} {
		if got := escape.Mail(in); got != want {
			t.Errorf("Mail(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestCode(t *testing.T) {
	for in, want := range map[string]string{
		"etl_prod":                 "`etl_prod`",
		"<!channel> *bold*":        "`‹!channel› *bold*`",
		"a` <https://x|y> `b":      "`aˋ ‹https://x|y› ˋb`",
		"[x](https://x) &lt;":      "`[x](https://x) ＆lt;`",
		"line\n# heading\n- point": "`line\\u000a# heading\\u000a- point`",
	} {
		if got := escape.Code(in); got != want {
			t.Errorf("Code(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestCell(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"etl":                    "etl",
		"2026-11-24":             "2026-11-24",
		`=cmd|'/c calc'!A1`:      `'=cmd|'/c calc'!A1`,
		"+1":                     "'+1",
		"-1+1":                   "'-1+1",
		"@SUM(A1)":               "'@SUM(A1)",
		"  =1":                   "  '=1",
		"\t=1":                   `\u0009=1`,
		`"=1`:                    `"'=1`,
		"＝1":                     "'＝1",
		"a;=1;b; -1;c":           "a;'=1;b; '-1;c",
		`a;"=1`:                  `a;"'=1`,
		"a=b":                    "a=b",
		"\u00a0=HYPERLINK(\"\")": "\u00a0'=HYPERLINK(\"\")",
	} {
		if got := escape.Cell(in); got != want {
			t.Errorf("Cell(%q) is %q, want %q", in, got, want)
		}
	}
}

func FuzzJSON(f *testing.F) {
	f.Add("\x1b[31m \u202e \U000e0041 \u009b \x7f")
	f.Add("plain")
	f.Fuzz(func(t *testing.T, s string) {
		document, err := json.MarshalIndent(map[string]string{s: s}, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		harmless := escape.JSON(document)
		if bytes.ContainsFunc(harmless, func(r rune) bool {
			return r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf)
		}) {
			t.Errorf("%q is still in %q", s, harmless)
		}
		var before, after map[string]string
		if err := json.Unmarshal(document, &before); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(harmless, &after); err != nil {
			t.Fatalf("%q: %v", harmless, err)
		}
		for k, v := range before {
			if after[k] != v {
				t.Errorf("%q became %q", v, after[k])
			}
		}
	})
}

func FuzzLine(f *testing.F) {
	f.Add("a\x1b\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		for name, got := range map[string]string{
			"Line": escape.Line(s), "Mail": escape.Mail(s), "Code": escape.Code(s), "Cell": escape.Cell(s), "Clip": escape.Clip(s, 10), "Bytes": escape.Bytes(s, 10),
		} {
			if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }) {
				t.Errorf("%s(%q) is %q", name, s, got)
			}
		}
	})
}
