package pattern_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/pattern"
)

func TestPattern(t *testing.T) {
	p := pattern.New(`([a-z]+)=([0-9]+)`)
	if !p.MatchString("see a=1") || p.MatchString("see a") {
		t.Error("MatchString does not tell what matches")
	}
	if diff := cmp.Diff([]string{"b=22", "b", "22"}, p.FindStringSubmatch("b=22, c=3")); diff != "" {
		t.Error(diff)
	}
	if got := p.ReplaceAllString("b=22, c=3", "$2"); got != "22, 3" {
		t.Errorf("ReplaceAllString gives %q", got)
	}
	if got := p.ReplaceAllStringFunc("b=22, c=3", strings.ToUpper); got != "B=22, C=3" {
		t.Errorf("ReplaceAllStringFunc gives %q", got)
	}
	if diff := cmp.Diff([]string{"b=22", "c=3"}, p.FindAllString("b=22, c=3", -1)); diff != "" {
		t.Error(diff)
	}
}

func TestMalformed(t *testing.T) {
	p := pattern.New(`(`) // not compiled here
	defer func() {
		if recover() == nil {
			t.Error("a malformed pattern matches")
		}
	}()
	p.MatchString("")
}
