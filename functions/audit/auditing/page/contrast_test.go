package page_test

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
)

// Text must be legible to weak eyes: a contrast of 4.5 to 1, which WCAG asks
// for at level AA, in light and in dark.
func TestContrast(t *testing.T) {
	css, err := os.ReadFile("page.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, ok := strings.Cut(string(css), "@media (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("there is no dark mode")
	}
	dark, _, _ = strings.Cut(dark, "* {")
	for mode, rules := range map[string]string{"light": light, "dark": dark} {
		colors := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([a-z]+): #([0-9a-f]{6})`).FindAllStringSubmatch(rules, -1) {
			colors[m[1]] = luminance(t, m[2])
		}
		for _, text := range []string{"ink", "quiet", "link", "critical", "high", "medium", "low", "info"} {
			for _, ground := range []string{"paper", "card", "code"} {
				a, b := colors[text], colors[ground]
				if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < 4.5 {
					t.Errorf("%s: --%s on --%s has a contrast of %.1f", mode, text, ground, ratio)
				}
			}
		}
		// Shapes need 3 to 1.
		for _, shape := range []string{"first", "second", "third"} {
			a, b := colors[shape], colors["card"]
			if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < 3 {
				t.Errorf("%s: --%s on --card has a contrast of %.1f", mode, shape, ratio)
			}
		}
	}
}

// luminance is WCAG's relative luminance of an sRGB color.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	var rgb [3]uint8
	if _, err := fmt.Sscanf(hex, "%02x%02x%02x", &rgb[0], &rgb[1], &rgb[2]); err != nil {
		t.Fatal(err)
	}
	var linear [3]float64
	for i, v := range rgb {
		c := float64(v) / 255
		if linear[i] = c / 12.92; c > 0.03928 {
			linear[i] = math.Pow((c+0.055)/1.055, 2.4)
		}
	}
	return 0.2126*linear[0] + 0.7152*linear[1] + 0.0722*linear[2]
}
