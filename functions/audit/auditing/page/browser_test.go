//go:build browser

package page_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/functions/audit/auditing/reporttest"
)

var pictures = flag.String("pictures", "", "a directory to write screenshots into")

// tab is a report open in headless Chromium, and what the browser had to say.
type tab struct {
	ctx context.Context

	mu       sync.Mutex
	requests []string
	console  []string
}

func (b *tab) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *runtime.EventConsoleAPICalled:
		b.console = append(b.console, fmt.Sprint("console.", e.Type))
	case *runtime.EventExceptionThrown:
		b.console = append(b.console, e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		b.console = append(b.console, e.Entry.Text)
	case *cdppage.EventJavascriptDialogOpening:
		b.console = append(b.console, "dialog: "+e.Message)
	}
}

// open opens a report; at its end the test has seen no word on the console
// and no request but for the page itself.
func open(t *testing.T, r *report.Report, before ...chromedp.Action[chromedp.Void]) *tab {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, render(t, r), 0o600); err != nil {
		t.Fatal(err)
	}
	address := (&url.URL{Scheme: "file", Path: file}).String()
	b := &tab{}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	// The sandbox of Chromium needs rights that containers do not give; the
	// page is our own.
	ctx, end := chromedp.NewContext(ctx, chromedp.WithAllocatorOptions(chromedp.NoSandbox), chromedp.WithListener(b.listen))
	t.Cleanup(end)
	b.ctx = ctx
	steps := append(slices.Clone(before), chromedp.Navigate(address))
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if !slices.Equal(b.requests, []string{address}) {
			t.Errorf("requests %q, want none but the page", b.requests)
		}
		if len(b.console) > 0 {
			t.Errorf("on the console: %q", b.console)
		}
	})
	return b
}

func call[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

func scheme(value string) chromedp.Action[chromedp.Void] {
	return call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}}})
}

func evaluate[T any](t *testing.T, b *tab, expression string) T {
	t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// shown are the rules of the rows that can be seen.
const shown = `[...document.querySelectorAll("#findings tbody tr")].filter(r => r.offsetHeight > 0).map(r => r.dataset.rule)`

func TestBrowserFilters(t *testing.T) {
	b := open(t, reporttest.Sample())
	if n := len(evaluate[[]string](t, b, shown)); n != 7 {
		t.Fatalf("%d rows, want 7", n)
	}
	set := func(field, value string) {
		t.Helper()
		evaluate[bool](t, b, fmt.Sprintf(`(() => { const f = document.getElementById(%q); f.value = %q; f.dispatchEvent(new Event("input", {bubbles: true})); return true })()`, field, value))
	}
	for _, test := range []struct {
		fields map[string]string
		want   []string
	}{
		{map[string]string{"text": "LAPTOP"}, []string{"pat-unused"}},
		{map[string]string{"text": "token delete"}, []string{"pat-never-used", "pat-unused"}},
		{map[string]string{"severity": "high"}, []string{"oauth-secret-foreign", "pat-all-apis"}},
		{map[string]string{"severity": "high", "status": "reopened"}, []string{"oauth-secret-foreign"}},
		{map[string]string{"rule": "pat-unused"}, []string{"pat-unused"}},
		{map[string]string{"status": "unchecked"}, []string{"pat-never-used"}},
		{map[string]string{"text": "nothing has this"}, []string{}},
	} {
		for _, field := range []string{"text", "severity", "status", "rule"} {
			set(field, test.fields[field])
		}
		got := evaluate[[]string](t, b, shown)
		if !slices.Equal(got, test.want) {
			t.Errorf("%v shows %q, want %q", test.fields, got, test.want)
		}
		if count, want := evaluate[string](t, b, `document.getElementById("count").textContent`), fmt.Sprintf("%d of 7 shown", len(test.want)); count != want {
			t.Errorf("%v says %q, want %q", test.fields, count, want)
		}
	}
	// A person types, and then shows all again.
	evaluate[bool](t, b, `(document.forms[0].reset(), true)`)
	if err := chromedp.Do(b.ctx, chromedp.SendKeys(chromedp.CSS("#text"), "laptop")); err != nil {
		t.Fatal(err)
	}
	if got := evaluate[[]string](t, b, shown); !slices.Equal(got, []string{"pat-unused"}) {
		t.Errorf("typing shows %q", got)
	}
	if err := chromedp.Do(b.ctx, chromedp.Click(chromedp.CSS("button[type=reset]"))); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return len(evaluate[[]string](t, b, shown)) == 7 })
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	for range 100 {
		if holds() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("it did not come to hold")
}

func TestBrowserWithoutScript(t *testing.T) {
	b := open(t, reporttest.Sample(), call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	if n := len(evaluate[[]string](t, b, shown)); n != 7 {
		t.Errorf("%d rows can be read, want 7", n)
	}
	if evaluate[bool](t, b, `document.getElementById("filter").offsetHeight > 0`) {
		t.Error("a filter is shown that does nothing")
	}
}

// Show 7: names with HTML, scripts and the rest come out as text.
func TestBrowserHostileNames(t *testing.T) {
	b := open(t, reporttest.Hostile())
	if title := evaluate[string](t, b, "document.title"); title != "Databricks credentials, 2026-11-24" {
		t.Errorf("the title is %q", title)
	}
	if n := evaluate[int](t, b, `document.querySelectorAll("script").length`); n != 1 {
		t.Errorf("%d scripts", n)
	}
	for _, name := range []string{reporttest.Attacks()[0], `user\u202etxt.denwp pwned`} {
		if !evaluate[bool](t, b, fmt.Sprintf("document.getElementById('findings').textContent.includes(%q)", name)) {
			t.Errorf("%s cannot be read", name)
		}
	}
	// The filter still works, over names that are regular expressions or keys.
	evaluate[bool](t, b, `(() => { const f = document.getElementById("text"); f.value = "<SCRIPT>"; f.dispatchEvent(new Event("input", {bubbles: true})); return true })()`)
	if n := len(evaluate[[]string](t, b, shown)); n != 2 {
		t.Errorf("%d rows shown, want the 2 with <script> in them", n)
	}
}

// The policy itself is in force: a script that came in all the same would not
// run. What the browser says of it is wanted here.
func TestBrowserPolicyIsInForce(t *testing.T) {
	b := open(t, reporttest.Sample())
	evaluate[bool](t, b, `(() => { const s = document.createElement("script"); s.textContent = "document.title = 'ran'"; document.body.append(s);
		const i = document.createElement("img"); i.src = "https://pwned.example/x.png"; document.body.append(i); return true })()`)
	eventually(t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.console) >= 2
	})
	if title := evaluate[string](t, b, "document.title"); title == "ran" {
		t.Error("a foreign script ran")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, line := range b.console {
		if !strings.Contains(line, "Content Security Policy") {
			t.Errorf("on the console: %q", line)
		}
	}
	b.console = nil
	b.requests = slices.DeleteFunc(b.requests, func(u string) bool { return u == "https://pwned.example/x.png" }) // asked for, and blocked
}

func TestBrowserLightDarkAndPhone(t *testing.T) {
	for name, test := range map[string]struct {
		scheme        string
		width, height int64
		background    string
	}{
		"light": {"light", 1100, 1180, "rgb(246, 247, 249)"},
		"dark":  {"dark", 1100, 1180, "rgb(13, 17, 23)"},
		"phone": {"light", 390, 844, "rgb(246, 247, 249)"},
	} {
		t.Run(name, func(t *testing.T) {
			options := []chromedp.EmulateViewportOption{}
			if name == "phone" {
				options = append(options, chromedp.EmulateScale(1.5), chromedp.EmulateMobile)
			}
			b := open(t, reporttest.Sample(), chromedp.EmulateViewport(test.width, test.height, options...), scheme(test.scheme))
			if got := evaluate[string](t, b, "getComputedStyle(document.body).backgroundColor"); got != test.background {
				t.Errorf("the background is %s, want %s", got, test.background)
			}
			if got := evaluate[int64](t, b, "document.documentElement.scrollWidth"); got > test.width {
				t.Errorf("the page is %d wide on %d: people must scroll sideways", got, test.width)
			}
			if name == "phone" {
				if size := evaluate[float64](t, b, "document.querySelector('svg').getBoundingClientRect().width"); size > 390 || size < 280 {
					t.Errorf("a picture is %v wide", size)
				}
			}
			photo, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
			if err != nil {
				t.Fatal(err)
			}
			keep(t, name, photo)
		})
	}
	for name, r := range map[string]*report.Report{"hostile": reporttest.Hostile(), "large": reporttest.Large(300)} {
		t.Run(name+" on a phone", func(t *testing.T) {
			b := open(t, r, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
			if got := evaluate[int64](t, b, "document.documentElement.scrollWidth"); got > 390 {
				t.Errorf("the page is %d wide on 390", got)
			}
		})
	}
}

// keep writes a photograph with as few colors as it needs, if it is wanted.
func keep(t *testing.T, name string, photo []byte) {
	t.Helper()
	full, err := png.Decode(bytes.NewReader(photo))
	if err != nil {
		t.Fatal(err)
	}
	colors := map[color.Color]int{}
	bounds := full.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			colors[full.At(x, y)]++
		}
	}
	if len(colors) < 10 {
		t.Errorf("the photograph has %d colors: there is nothing on it", len(colors))
	}
	if *pictures == "" {
		return
	}
	var palette color.Palette
	for c := range colors {
		palette = append(palette, c)
	}
	slices.SortFunc(palette, func(a, b color.Color) int { return colors[b] - colors[a] })
	small := image.NewPaletted(bounds, palette[:min(len(palette), 64)])
	draw.Draw(small, bounds, full, bounds.Min, draw.Src)
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&out, small); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*pictures, "audit-report-"+name+".png"), out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
