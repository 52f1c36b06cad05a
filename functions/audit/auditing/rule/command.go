package rule

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"databricks-credential-rotation/shared/pattern"
)

var (
	placeholder = pattern.New(`<[a-z_]+>`)
	assignment  = pattern.New(`^[A-Z_]+=`)
	// plain needs no quotes in any shell.
	plain = pattern.New(`^[A-Za-z0-9_@%+:,./-][A-Za-z0-9_@%+=:,./-]*$`)
	// commandWord is one word of a command, in single quotes if it has blanks.
	commandWord = pattern.New(`'[^']*'|\S+`)
)

// render writes a command for a person to paste into a shell. Values may hold
// anything that somebody typed, so each word is quoted as a whole. It reports
// false for a value that no quotes make safe or that is not known: one that a
// command would take for an option, for instance.
func render(command string, v Values) (string, bool) {
	words := commandWord.FindAllString(command, -1)
	for i, word := range words {
		word, ok := strings.Trim(word, "'"), true
		insert := func(encode func(any) (string, bool)) string {
			return placeholder.ReplaceAllStringFunc(word, func(p string) string {
				value, known := v[strings.Trim(p, "<>")]
				text, fits := encode(value)
				ok = ok && known && fits
				return text
			})
		}
		switch {
		case word == "&&" || !strings.Contains(word, "<"):
			if word != "&&" {
				words[i] = quote(word)
			}
			continue
		case strings.HasPrefix(word, "{"):
			words[i] = quote(insert(asJSON))
		case assignment.MatchString(word):
			name, rest, _ := strings.Cut(word, "=")
			word = rest
			words[i] = name + "=" + quote(insert(asText))
		case strings.HasPrefix(word, "/"):
			words[i] = quote(insert(asSegment))
		default:
			filled := insert(asText)
			// Quotes do not keep a word from being read as an option.
			ok = ok && (strings.HasPrefix(word, "-") || !strings.HasPrefix(filled, "-"))
			words[i] = quote(filled)
		}
		if !ok {
			return "", false
		}
	}
	return strings.Join(words, " "), true
}

// fill puts values into a sentence.
func fill(sentence string, v Values) string {
	return placeholder.ReplaceAllStringFunc(sentence, func(p string) string {
		if value, ok := v[strings.Trim(p, "<>")]; ok {
			if list, ok := value.([]string); ok {
				return strings.Join(list, ", ")
			}
			return fmt.Sprint(value)
		}
		return p
	})
}

// Path is a value that is part of a URL's path.
type Path []string

func (p Path) String() string {
	segments := make([]string, len(p))
	for i, s := range p {
		segments[i] = url.PathEscape(s)
	}
	return strings.Join(segments, "/")
}

func asText(value any) (string, bool) {
	if list, ok := value.([]string); ok {
		return strings.Join(list, ","), len(list) > 0
	}
	text := fmt.Sprint(value)
	return text, text != "" && value != nil && utf8.ValidString(text) && !strings.ContainsRune(text, 0)
}

func asSegment(value any) (string, bool) {
	if p, ok := value.(Path); ok {
		return p.String(), !slices.ContainsFunc(p, func(s string) bool { return s == "" || s == "." || s == ".." })
	}
	text, ok := asText(value)
	return url.PathEscape(text), ok && text != "." && text != ".."
}

func asJSON(value any) (string, bool) {
	if value == nil {
		return "", false
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(value)
	return strings.TrimSuffix(b.String(), "\n"), err == nil
}

// quote makes one word of the shell of a text. What a terminal would act on or
// not show is written as an escape, which bash, zsh and ksh understand.
func quote(text string) string {
	if plain.MatchString(text) {
		return text
	}
	hidden := func(r rune) bool { return !unicode.IsPrint(r) }
	if strings.IndexFunc(text, hidden) < 0 {
		return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for _, r := range text {
		switch {
		case r == '\'' || r == '\\':
			b.WriteString(`\` + string(r))
		case !hidden(r):
			b.WriteRune(r)
		default:
			// Byte by byte, which does not depend on the shell's locale, and
			// three digits each, so that none that follows is swallowed.
			for _, c := range []byte(string(r)) {
				fmt.Fprintf(&b, `\%03o`, c)
			}
		}
	}
	return b.String() + "'"
}
