// Package terminal writes for whoever watches: a person at a terminal gets
// colour and one line that is kept up to date, a pipe gets plain lines.
package terminal

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// Style is how a text stands out on a screen with colour.
type Style string

// Styles, as the parameters of the terminal's own escape sequence.
const (
	Plain  Style = ""
	Bold   Style = "1"
	Dim    Style = "2"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
	Cyan   Style = "36"
)

// Abilities are what a screen can do.
type Abilities struct {
	// Live screens can take a line back and write it anew.
	Live bool
	// Colour screens understand styles.
	Colour bool
}

// Detect finds out what a file can do. A terminal can do everything, unless
// TERM is dumb; NO_COLOR, set to anything, turns colour off.
func Detect(f *os.File, getenv func(string) string) Abilities {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 || getenv("TERM") == "dumb" || getenv("TERM") == "" {
		return Abilities{}
	}
	return Abilities{Live: true, Colour: getenv("NO_COLOR") == ""}
}

// Screen is where everything is written. It is safe for concurrent use and
// remembers all that it wrote.
type Screen struct {
	abilities Abilities

	mu         sync.Mutex
	out        io.Writer
	transcript bytes.Buffer
	status     string
}

// New returns a screen on out.
func New(out io.Writer, abilities Abilities) *Screen {
	return &Screen{out: out, abilities: abilities}
}

// Line writes one line, or several, for good.
func (s *Screen) Line(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.above(fmt.Sprintf(format, args...) + "\n")
}

// Heading writes the title of a part.
func (s *Screen) Heading(format string, args ...any) {
	s.Line("\n%s", s.Paint(Bold, fmt.Sprintf(format, args...)))
}

// Status replaces the line that is kept up to date. A screen that is not live
// does not show it.
func (s *Screen) Status(format string, args ...any) {
	if !s.abilities.Live {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	s.status = s.Paint(Dim, fmt.Sprintf(format, args...))
	s.write(s.status)
}

// Clear takes the line away that is kept up to date.
func (s *Screen) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	s.status = ""
}

// Paint gives a text a style, on a screen with colour.
func (s *Screen) Paint(style Style, text string) string {
	if !s.abilities.Colour || style == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(style) + "m" + text + "\x1b[0m"
}

// Transcript is everything that was ever written.
func (s *Screen) Transcript() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.transcript.String()
}

// above writes over the status line and puts that under it again.
func (s *Screen) above(text string) {
	s.erase()
	s.write(text + s.status)
}

func (s *Screen) erase() {
	if s.status != "" {
		s.write("\r\x1b[K")
	}
}

func (s *Screen) write(text string) {
	s.transcript.WriteString(text)
	// Nobody is left to be told that the screen is gone.
	_, _ = io.WriteString(s.out, text)
}

// Indent puts a prefix before each line of a text.
func Indent(prefix, text string) string {
	return prefix + strings.ReplaceAll(text, "\n", "\n"+prefix)
}
