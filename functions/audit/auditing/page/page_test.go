package page_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/net/html"

	"databricks-credential-rotation/functions/audit/auditing/page"
	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/functions/audit/auditing/reporttest"
)

func render(t *testing.T, r *report.Report) []byte {
	t.Helper()
	var document bytes.Buffer
	if err := page.Write(&document, r); err != nil {
		t.Fatal(err)
	}
	return document.Bytes()
}

func parse(t *testing.T, document []byte) *html.Node {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func elements(root *html.Node) func(func(*html.Node) bool) {
	return func(yield func(*html.Node) bool) {
		for n := range root.Descendants() {
			if n.Type == html.ElementNode && !yield(n) {
				return
			}
		}
	}
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	reporttest.Golden(t, "sample.html", render(t, reporttest.Sample()))
}

// A browser runs the one script only if the policy has its digest.
func TestThePolicyAllowsTheScriptThatIsThere(t *testing.T) {
	var csp string
	var scripts []string
	for n := range elements(parse(t, render(t, reporttest.Sample()))) {
		switch {
		case n.Data == "meta" && attribute(n, "http-equiv") == "Content-Security-Policy":
			csp = attribute(n, "content")
		case n.Data == "script":
			scripts = append(scripts, text(n))
		}
	}
	if len(scripts) != 1 {
		t.Fatalf("%d scripts, want 1", len(scripts))
	}
	digest := sha256.Sum256([]byte(scripts[0]))
	for _, want := range []string{
		"default-src 'none'", "style-src 'unsafe-inline'", "base-uri 'none'", "form-action 'none'",
		"script-src 'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "'",
	} {
		if !slices.Contains(strings.Split(csp, "; "), want) {
			t.Errorf("%q is not in %q", want, csp)
		}
	}
}

// The hostile report must have the very elements and attributes of a harmless
// one of the same shape: what a name says is text, or nothing at all.
func TestHostileNamesAreText(t *testing.T) {
	hostile := reporttest.Hostile()
	harmless := reporttest.Hostile()
	tame(harmless)
	document := render(t, hostile)
	if bytes.Contains(document, []byte("ZgotmplZ")) {
		t.Error("html/template refused a value")
	}
	got, want := skeleton(parse(t, document)), skeleton(parse(t, render(t, harmless)))
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("a name changed the page at element %d: %s, want %s", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d elements, want %d", len(got), len(want))
	}
	for i, c := range string(document) {
		if c != '\n' && unicode.In(c, unicode.Cc, unicode.Cf) {
			t.Fatalf("%U stands in the page at %d", c, i)
		}
	}
	all := text(parse(t, document))
	for _, attack := range []string{`<script>document.title="pwned"</script>`, `\u202e`, `{{.Pwned}}`, `javascript:pwned()`} {
		if !strings.Contains(all, attack) {
			t.Errorf("the reader does not see %s", attack)
		}
	}
}

// tame makes every name a harmless one of the same kind.
func tame(r *report.Report) {
	name := func(s *string) {
		if *s != "" {
			*s = "x"
		}
	}
	for i := range r.Findings {
		f := r.Findings[i]
		for _, s := range []*string{&f.Subject.ID, &f.Subject.Name, &f.Subject.ClientID, &f.Title, &f.Owner, &f.Evidence[0].Name, &f.Evidence[0].Value, &f.HiddenBy[0]} {
			name(s)
		}
		f.Remedy = "databricks x"
	}
	for i := range r.Resolved {
		name(&r.Resolved[i].Title)
		name(&r.Resolved[i].Subject.Name)
	}
	for i := range r.Gaps {
		r.Gaps[i] = report.Gap{Where: "x", What: "x", Why: "x"}
	}
	for i := range r.Exposures {
		x := &r.Exposures[i]
		name(&x.Holder)
		name(&x.Subject.ID)
	}
	for i := range r.Prune.Plan.Items {
		item := &r.Prune.Plan.Items[i]
		name(&item.Subject.Name)
		name(&item.Why)
		name(&item.Exemption)
	}
	name(&r.Deployment)
	name(&r.AskedBy)
	name(&r.Prune.Plan.Stopped)
	name(&r.Prune.Plan.Budget)
}

// skeleton is a page without its texts. Rules' names stand in an attribute,
// which a name cannot leave; pictures are laid out by the widths of names.
func skeleton(root *html.Node) []string {
	var out []string
	for n := range elements(root) {
		s := n.Data
		for _, a := range n.Attr {
			value := a.Val
			if slices.Contains([]string{"d", "x", "y", "cx", "cy", "transform", "viewbox"}, strings.ToLower(a.Key)) {
				value = "…"
			}
			s += fmt.Sprintf(" %s=%q", a.Key, value)
		}
		if n.Data != "text" && n.Data != "path" { // as many labels as fit
			out = append(out, s)
		}
	}
	return out
}

// What a picture may be made of: nothing in it loads, links or runs.
func TestPicturesAreShapesAndTextOnly(t *testing.T) {
	for name, r := range map[string]*report.Report{"sample": reporttest.Sample(), "hostile": reporttest.Hostile()} {
		document := render(t, r)
		if bytes.Contains(document, []byte("rgb(")) && name == "sample" {
			t.Error("a color of a picture does not follow light and dark")
		}
		pictures := 0
		for n := range elements(parse(t, document)) {
			if n.Data != "svg" {
				continue
			}
			pictures++
			if attribute(n, "aria-hidden") != "true" {
				t.Error("a picture is read out loud, though its numbers are beside it")
			}
			for d := range elements(n) {
				if !slices.Contains([]string{"path", "text", "circle", "g"}, d.Data) {
					t.Errorf("%s: a picture has an element <%s>", name, d.Data)
				}
				for _, a := range d.Attr {
					if !slices.Contains([]string{"d", "style", "x", "y", "cx", "cy", "r", "transform", "class"}, a.Key) || strings.Contains(a.Val, "url(") {
						t.Errorf("%s: <%s> has an attribute %s=%q", name, d.Data, a.Key, a.Val)
					}
				}
			}
		}
		if pictures != 4 {
			t.Errorf("%s: %d pictures, want 4", name, pictures)
		}
	}
}

// An estate without anything, the first audit, a huge one.
func TestEveryReportHasAPage(t *testing.T) {
	first := reporttest.Sample()
	first.Previous, first.Trend = "", first.Trend[:1]
	single := reporttest.Sample()
	single.Trend = single.Trend[:2]
	single.Measures.Scopes = single.Measures.Scopes[:1]
	zeros := reporttest.Sample()
	for i := range zeros.Trend {
		zeros.Trend[i].Open = report.Counts{}
	}
	zeros.Measures.Ages = make([]report.Bucket, 7)
	zeros.Measures.LastUse = make([]report.Bucket, 7)
	zeros.Measures.Scopes = make([]report.RoleScopes, 40)
	long := reporttest.Sample()
	for range 500 {
		long.Trend = append(long.Trend, long.Trend[0])
	}
	for name, test := range map[string]struct {
		r    *report.Report
		want string
	}{
		"empty":  {&report.Report{ID: "x", TakenAt: reporttest.TakenAt}, "No rule found a fault."},
		"first":  {first, "There is no earlier audit"},
		"single": {single, "Open findings over past audits"},
		"zeros":  {zeros, "Open findings over past audits"},
		"long":   {long, "At most the last 60 audits"},
		"large":  {reporttest.Large(2500), "500 more are in the JSON and CSV"},
	} {
		t.Run(name, func(t *testing.T) {
			document := render(t, test.r)
			if !bytes.Contains(document, []byte(test.want)) {
				t.Errorf("%q is missing", test.want)
			}
			if const3MB := 3 << 20; len(document) > const3MB {
				t.Errorf("the page has %d bytes, too many for a phone", len(document))
			}
		})
	}
}

// Whoever cannot see the pictures or colors, or has no mouse, gets the same.
func TestAccessible(t *testing.T) {
	root := parse(t, render(t, reporttest.Sample()))
	ids := map[string]bool{}
	for n := range elements(root) {
		if id := attribute(n, "id"); id != "" {
			if ids[id] {
				t.Errorf("id %s is there twice", id)
			}
			ids[id] = true
		}
	}
	for n := range elements(root) {
		switch n.Data {
		case "html":
			if attribute(n, "lang") == "" {
				t.Error("the language is missing")
			}
		case "th":
			if attribute(n, "scope") == "" {
				t.Errorf("the header %q has no scope", text(n))
			}
		case "label":
			if !ids[attribute(n, "for")] {
				t.Errorf("the label %q is for nothing", text(n))
			}
		case "section":
			if !ids[attribute(n, "aria-labelledby")] {
				t.Errorf("a section has no name: %q", attribute(n, "aria-labelledby"))
			}
		case "a":
			if target := attribute(n, "href"); !strings.HasPrefix(target, "#") || !ids[target[1:]] {
				t.Errorf("a link leads to %q", target)
			}
		case "img", "iframe", "object", "embed", "link", "base", "video", "audio":
			t.Errorf("there is a <%s>", n.Data)
		}
	}
}
