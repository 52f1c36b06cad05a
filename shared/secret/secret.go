// Package secret holds values that must not leave the program by accident.
//
// A [Text] gives its content only to [Text.Reveal]. It refuses everything by
// which a value usually escapes: fmt with any verb prints a placeholder, slog
// logs the placeholder, and JSON, text, YAML and gob encoders get an error
// rather than a placeholder, because a secret on its way into a document is a
// mistake that somebody should hear about.
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"databricks-credential-rotation/shared/pattern"
)

// Placeholder stands wherever a secret would have been printed.
const Placeholder = "[secret]"

// ErrMarshal is what every encoder gets that tries to write a secret.
var ErrMarshal = errors.New("secret: refusing to marshal a secret value")

// resembling are the beginnings of Databricks' OAuth secrets and personal access
// tokens, and of a JWT.
var resembling = pattern.New(`(dose|dapi|dkea|doau|eyJ)[A-Za-z0-9._~+/-]{16,}`)

// Resembles tells whether there is what looks like a credential in a text that
// should hold none.
func Resembles(text string) bool { return resembling.MatchString(text) }

// Text is a secret string. The zero value is the empty secret.
//
// The content sits in a closure: reflection and a debugger's dump show an
// address, and == on a Text does not compile. Use [Text.Equal].
type Text struct {
	reveal func() string
}

// New wraps s.
func New(s string) Text {
	if s == "" {
		return Text{}
	}
	return Text{reveal: func() string { return s }}
}

// Reveal returns the content. Call it only to hand the value to Secrets
// Manager or to Databricks' token endpoint, to read or write a managed secret's
// value, or to compare or search it.
func (t Text) Reveal() string {
	if t.reveal == nil {
		return ""
	}
	return t.reveal()
}

// IsZero tells whether the secret is empty.
func (t Text) IsZero() bool { return t.reveal == nil }

// Equal compares in constant time.
func (t Text) Equal(other Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(other.Reveal())) == 1
}

// SHA256 is the hex digest by which a value can be named without being shown.
func (t Text) SHA256() string {
	sum := sha256.Sum256([]byte(t.Reveal()))
	return hex.EncodeToString(sum[:])
}

// Format implements [fmt.Formatter] for every verb, %#v included.
func (t Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Placeholder) }

// LogValue implements [slog.LogValuer].
func (t Text) LogValue() slog.Value { return slog.StringValue(Placeholder) }

// MarshalJSON implements json.Marshaler and always fails.
func (t Text) MarshalJSON() ([]byte, error) { return nil, ErrMarshal }

// MarshalText implements [encoding.TextMarshaler] and always fails.
func (t Text) MarshalText() ([]byte, error) { return nil, ErrMarshal }

// MarshalYAML implements the yaml packages' Marshaler and always fails.
func (t Text) MarshalYAML() (any, error) { return nil, ErrMarshal }

// GobEncode implements gob.GobEncoder and always fails.
func (t Text) GobEncode() ([]byte, error) { return nil, ErrMarshal }
