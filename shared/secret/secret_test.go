package secret_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"databricks-credential-rotation/shared/secret"
)

const hidden = "dose0123456789abcdef"

// holder is how a secret usually travels: inside something that is printed.
type holder struct {
	Name  string
	Value secret.Text
	List  []secret.Text
	Map   map[string]secret.Text
	Ptr   *secret.Text
}

func newHolder() holder {
	v := secret.New(hidden)
	return holder{Name: "n", Value: v, List: []secret.Text{v}, Map: map[string]secret.Text{"k": v}, Ptr: &v}
}

// Invariant 6: a secret value goes nowhere by being printed.
func TestNeverPrints(t *testing.T) {
	h := newHolder()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T"} {
		for _, v := range []any{h.Value, h, &h, h.List, h.Map, h.Ptr, []any{h}} {
			out := fmt.Sprintf(verb, v)
			if strings.Contains(out, hidden) || strings.Contains(out, fmt.Sprintf("%x", hidden)) {
				t.Errorf("Sprintf(%q, %T) shows the secret", verb, v)
			}
		}
	}
	if got := fmt.Sprint(h.Value); got != secret.Placeholder {
		t.Errorf("Sprint = %q, want %q", got, secret.Placeholder)
	}
	if err := fmt.Errorf("wrapped %v: %w", h.Value, errors.New("x")); strings.Contains(err.Error(), hidden) {
		t.Error("an error shows the secret")
	}
}

// Invariant 6: nor by being logged.
func TestNeverLogs(t *testing.T) {
	var buf bytes.Buffer
	opts := &slog.HandlerOptions{Level: slog.LevelDebug}
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&buf, opts), slog.NewTextHandler(&buf, opts)} {
		log := slog.New(handler)
		h := newHolder()
		log.Debug("m", "direct", h.Value, "struct", h, "pointer", &h, "map", h.Map, slog.Group("g", "v", h.Value))
		log.With("bound", h.Value).Error("m")
	}
	if strings.Contains(buf.String(), hidden) {
		t.Errorf("the log shows the secret: %s", buf.String())
	}
	if !strings.Contains(buf.String(), secret.Placeholder) {
		t.Errorf("the log does not say that a secret was there: %s", buf.String())
	}
}

// Invariant 6: nor by being marshalled; an encoder fails loudly.
func TestNeverMarshals(t *testing.T) {
	h := newHolder()
	encoders := map[string]func(any) ([]byte, error){
		"json": json.Marshal,
		"xml":  xml.Marshal,
		"gob": func(v any) ([]byte, error) {
			var buf bytes.Buffer
			err := gob.NewEncoder(&buf).Encode(v)
			return buf.Bytes(), err
		},
		"yaml": func(v any) ([]byte, error) {
			m, ok := v.(interface{ MarshalYAML() (any, error) })
			if !ok {
				return nil, errors.New("not a yaml marshaler")
			}
			out, err := m.MarshalYAML()
			return fmt.Append(nil, out), err
		},
	}
	for name, encode := range encoders {
		out, err := encode(h.Value)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if bytes.Contains(out, []byte(hidden)) {
			t.Errorf("%s: shows the secret", name)
		}
	}
	if _, err := json.Marshal(h); !errors.Is(err, secret.ErrMarshal) {
		t.Errorf("json of a struct that holds a secret: %v, want ErrMarshal", err)
	}
}

func TestEqual(t *testing.T) {
	a, b := secret.New("x"), secret.New("x")
	if !a.Equal(b) || a.Equal(secret.New("y")) || !(secret.Text{}).Equal(secret.New("")) || a.Equal(secret.Text{}) {
		t.Error("Equal does not compare contents")
	}
	if !secret.New("").IsZero() || a.IsZero() {
		t.Error("IsZero is wrong")
	}
	if a.Reveal() != "x" || (secret.Text{}).Reveal() != "" {
		t.Error("Reveal is wrong")
	}
}

func TestSHA256(t *testing.T) {
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got := secret.New("abc").SHA256(); got != abc {
		t.Errorf("SHA256 = %s, want %s", got, abc)
	}
}
