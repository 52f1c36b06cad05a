package policy

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"databricks-credential-rotation/shared/pattern"
)

// tree is a document as JSON Schema knows it: maps, lists, texts, numbers,
// booleans and nil. It remembers on which line each path is.
type tree struct {
	root   any
	lines  map[string]int
	faults []Fault
}

// maxDepth is twice what any policy needs.
const maxDepth = 16

// readTree reads one YAML document. What makes YAML surprising is refused:
// anchors, tags, keys that are no texts, keys that are there twice.
func readTree(document []byte) tree {
	t := tree{lines: map[string]int{}}
	if !utf8.Valid(document) {
		t.fault(0, "", "it is not a text in UTF-8")
		return t
	}
	var documents []*yaml.Node
	loader, err := yaml.NewLoader(strings.NewReader(string(document)))
	for err == nil {
		var node yaml.Node
		if err = loader.Load(&node); err == nil {
			documents = append(documents, &node)
		}
	}
	var syntax *yaml.LoadError
	switch {
	case errors.As(err, &syntax):
		t.fault(max(syntax.Mark.Line, 1), "", "it is not YAML: %s", syntax.Message)
	case len(documents) == 0:
		t.fault(1, "", "it is empty")
	case len(documents) > 1:
		t.fault(documents[1].Line, "", "a second document begins here; one is all there may be")
	default:
		node := documents[0]
		if node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
			node = node.Content[0]
		}
		if node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" {
			t.fault(1, "", "it is empty")
			return t
		}
		t.root = t.value(node, "", 0)
	}
	return t
}

func (t *tree) fault(line int, path, format string, args ...any) {
	t.faults = append(t.faults, Fault{Line: line, Path: path, Message: fmt.Sprintf(format, args...)})
}

// value turns a node into the value at a path.
func (t *tree) value(node *yaml.Node, path string, depth int) any {
	t.lines[path] = node.Line
	switch {
	case node.Kind == yaml.AliasNode:
		t.fault(node.Line, path, "aliases are not allowed: write out *%s", node.Value)
		return nil
	case node.Anchor != "":
		t.fault(node.Line, path, "anchors are not allowed: leave out &%s", node.Anchor)
	case node.Style&yaml.TaggedStyle != 0:
		t.fault(node.Line, path, "tags are not allowed: leave out %s", node.Tag)
		return nil
	case depth > maxDepth:
		t.fault(node.Line, path, "nested too deeply")
		return nil
	}
	switch node.Kind {
	case yaml.MappingNode:
		return t.mapping(node, path, depth)
	case yaml.SequenceNode:
		list := make([]any, len(node.Content))
		for i, item := range node.Content {
			list[i] = t.value(item, at(path, i), depth+1)
		}
		return list
	default:
		return scalar(node)
	}
}

func (t *tree) mapping(node *yaml.Node, path string, depth int) map[string]any {
	values := map[string]any{}
	seen := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
			t.fault(key.Line, path, "a key must be a plain text")
			continue
		}
		if first, twice := seen[key.Value]; twice {
			t.fault(key.Line, under(path, key.Value), "it is here twice, first on line %d", first)
			continue
		}
		seen[key.Value] = key.Line
		values[key.Value] = t.value(value, under(path, key.Value), depth+1)
		// A list or a mapping begins on the line below; its key is what a
		// reader looks for.
		t.lines[under(path, key.Value)] = key.Line
	}
	return values
}

// scalar is a scalar's value. A date is a text: JSON has none.
func scalar(node *yaml.Node) any {
	switch node.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(node.Value, "true")
	case "!!int":
		if n, err := strconv.ParseInt(node.Value, 10, 64); err == nil {
			return n
		}
		return node.Value // 0x10 and the like are no numbers to a reader of JSON
	case "!!float":
		if f, err := strconv.ParseFloat(node.Value, 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return f
		}
		return node.Value
	default:
		return node.Value
	}
}

// line is where a path is, or what it would be in.
func (t *tree) line(path string) int {
	for {
		if line, ok := t.lines[path]; ok {
			return line
		}
		if path == "" {
			return 1
		}
		path = parent(path)
	}
}

var plainKey = pattern.New(`^[A-Za-z0-9_-]+$`)

// under is the path of a field.
func under(path, key string) string {
	switch {
	case !plainKey.MatchString(key):
		return path + "[" + quote(key) + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

// at is the path of an item.
func at(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// parent is the path of what a path is in. A quoted key may hold anything, so
// what is cut off may be less than a whole step; that costs a step, no more.
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// within tells whether a path is another, or lies in it.
func within(path, other string) bool {
	rest, ok := strings.CutPrefix(path, other)
	return ok && (rest == "" || other == "" || rest[0] == '.' || rest[0] == '[')
}

// quote shows a text of the document, shortened.
func quote(text string) string {
	const most = 60
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return strconv.Quote(text)
}
