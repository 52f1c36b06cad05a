// Package event reads what a function is invoked with, strictly: a misspelt
// option must not be a silent default, least of all one that says dry_run.
//
// encoding/json alone takes a field's name in any case, the last of two fields
// of one name, and null for anything.
package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"databricks-credential-rotation/shared/pattern"
	"databricks-credential-rotation/shared/secret"
)

// Fields says where the value of each field goes, by its name: into a *string,
// a *bool or a pointer to a list of strings, or to a type made from one of them.
type Fields map[string]any

// Read is [Decode] for those to whom every mistake is the same: it reports all of
// them.
func Read(payload []byte, into Fields) error {
	faults, err := Decode(payload, into)
	if err != nil {
		return fmt.Errorf("event: %w; nothing was changed", err)
	}
	return Join("event", faults)
}

// Fault is a mistake in one field. Its text never repeats a value: somebody may
// have pasted a credential.
type Fault struct {
	Field, What string
	// Unknown tells that there is no such field.
	Unknown bool
}

func (f Fault) String() string { return f.Field + " " + f.What }

// printable are names of fields that are safe to repeat.
var printable = pattern.New(`^[A-Za-z0-9_.-]{1,60}$`)

// Decode reads a JSON object into its fields, and returns what is wrong with
// each. An error means that it could not be read to its end; nothing of it may
// then be used.
func Decode(payload []byte, into Fields) ([]Fault, error) {
	dec := json.NewDecoder(bytes.NewReader(payload))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("it must be a JSON object")
	}
	var faults []Fault
	seen := map[string]bool{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, errors.New("it is not valid JSON")
		}
		name, _ := key.(string)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, errors.New("it is not valid JSON")
		}
		if fault := decode(name, value, into, seen[name]); fault != (Fault{}) && !slices.Contains(faults, fault) {
			faults = append(faults, fault)
		}
		seen[name] = true
	}
	if _, err := dec.Token(); err != nil {
		return nil, errors.New("it is not valid JSON")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more behind the JSON object")
	}
	return faults, nil
}

func decode(name string, value json.RawMessage, into Fields, again bool) Fault {
	target, known := into[name]
	switch {
	case !known && printable.MatchString(name) && !secret.Resembles(name):
		return Fault{name, "is not a known field", true}
	case !known:
		return Fault{"a field", "is not known, and its name is not shown", true}
	case again:
		return Fault{name, "is given twice", false}
	case bytes.Equal(value, []byte("null")) || json.Unmarshal(value, target) != nil:
		return Fault{name, "must be " + kindOf(target), false}
	default:
		return Fault{}
	}
}

func kindOf(target any) string {
	switch reflect.TypeOf(target).Elem().Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list of strings"
	default:
		return "a string"
	}
}

// Join makes one error of the faults, nil if there are none. What names the
// document: "event", "request".
func Join(what string, faults []Fault) error {
	switch len(faults) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("%s: %s; nothing was changed", what, faults[0])
	}
	lines := make([]string, len(faults))
	for i, f := range faults {
		lines[i] = "\n- " + f.String()
	}
	return fmt.Errorf("%s: %d mistakes, nothing was changed:%s", what, len(faults), strings.Join(lines, ""))
}
