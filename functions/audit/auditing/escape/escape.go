// Package escape makes text that somebody else chose harmless in the medium
// that shows it.
//
// Names, comments and agents in a report were typed by anybody who could make
// a token. A reader must see what they are, and neither a terminal, a
// spreadsheet, a mail client, a chat nor the order of the letters may be
// commanded by them. What marks up HTML is escaped where it is written, on top
// of [Line].
package escape

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line is text in one line without anything that acts instead of being shown:
// control and format characters, which move a cursor, hide text or turn its
// direction, become \u followed by their number. Letters of any script, spaces
// and symbols stay.
func Line(s string) string {
	if !strings.ContainsFunc(s, acts) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !acts(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// acts tells whether a character does something instead of being seen.
func acts(r rune) bool {
	if r < utf8.RuneSelf {
		return r < ' ' || r == 0x7f
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp) ||
		// Blank, though they are letters by category.
		r == 0x115f || r == 0x1160 || r == 0x3164 || r == 0xffa0 ||
		// Marks that choose between glyphs can carry hidden text.
		r >= 0xfe00 && r <= 0xfe0f || r >= 0xe0100 && r <= 0xe01ef
}

// Clip is [Line] cut to a number of characters, with … for the rest.
func Clip(s string, most int) string {
	s = Line(head(s, most*utf8.UTFMax+1))
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	runes := []rune(s)
	return string(runes[:most-1]) + "…"
}

// Bytes is [Line] cut to a number of bytes, at the end of a character.
func Bytes(s string, most int) string {
	s = Line(head(s, most+1))
	if len(s) <= most {
		return s
	}
	cut := most - len("…")
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// head is the beginning of a text that is far too long, at the end of a
// character: what is cut off anyway need not be looked at. [Line] makes no
// text shorter.
func head(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for i := most; i < min(len(s), most+utf8.UTFMax); i++ {
		if utf8.RuneStart(s[i]) {
			return s[:i]
		}
	}
	return s[:most]
}

// Mail is [Line] with addresses broken, because mail clients make links of
// what looks like one: a name must not become a link in a report that people
// trust.
func Mail(s string) string {
	return mailReplacer.Replace(Line(s))
}

var mailReplacer = strings.NewReplacer("://", "[:]//", "www.", "www[.]", "WWW.", "WWW[.]", "mailto:", "mailto[:]")

// Code is text as inline code in the Markdown of Slack and Teams, to which
// Amazon Q Developer passes a notification on: nothing within inline code
// marks up, links or mentions. The characters that would end it, or by which
// Slack begins a command, are exchanged for ones that look alike.
func Code(s string) string {
	return "`" + codeReplacer.Replace(Line(s)) + "`"
}

var codeReplacer = strings.NewReplacer("<", "‹", ">", "›", "&", "＆", "`", "ˋ")

// Cell is text for a spreadsheet that opens a CSV file: what a spreadsheet
// would take for a formula begins with an apostrophe. So does what follows a
// semicolon, at which spreadsheets of half the world split. Quoting is
// encoding/csv's.
func Cell(s string) string {
	s = Line(s)
	if !strings.ContainsAny(s, formula) {
		return s
	}
	var b strings.Builder
	begins := true
	for _, r := range s {
		if begins && strings.ContainsRune(formula, r) {
			b.WriteByte('\'')
		}
		b.WriteRune(r)
		// A spreadsheet may skip these before a formula. Line has made tabs
		// and line breaks visible.
		begins = r == ';' || begins && (unicode.IsSpace(r) || r == '\'' || r == '"')
	}
	return b.String()
}

// formula are the characters that begin one, also as East Asian input methods
// write them.
const formula = "=+-@|%＝＋－＠"

// JSON rewrites a JSON document so that no terminal, editor or viewer acts on
// its text: the value stays the same, the characters that act become escapes.
// They can only stand in strings.
func JSON(document []byte) []byte {
	if !bytes.ContainsFunc(document, actsInJSON) {
		return document
	}
	out := make([]byte, 0, len(document)+len(document)/16)
	for i := 0; i < len(document); {
		r, size := utf8.DecodeRune(document[i:])
		switch {
		case !actsInJSON(r):
			out = append(out, document[i:i+size]...)
		case r > 0xffff:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		i += size
	}
	return out
}

// actsInJSON leaves out the white space between a document's values.
func actsInJSON(r rune) bool { return acts(r) && r != '\n' && r != '\t' }
