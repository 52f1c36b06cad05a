package usagelog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"databricks-credential-rotation/shared/databricks"
)

// Row is one row of a reply. Its values are read one after the other, and the
// first fault is kept.
type Row struct {
	values []*string
	next   int
	err    error
}

// Text reads a value. NULL is a fault: no statement has any.
func (r *Row) Text() string {
	v := r.values[r.next]
	r.next++
	if v == nil {
		r.fail("is NULL")
		return ""
	}
	return *v
}

// List reads values with commas between them.
func (r *Row) List() []string {
	text := r.Text()
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// Number reads an integer.
func (r *Row) Number() int64 { return r.integer(r.Text()) }

func (r *Row) integer(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		r.fail("is no number")
	}
	return n
}

// Time reads a time in microseconds since 1970.
func (r *Row) Time() time.Time { return r.parse(r.Text()) }

// OptionalTime reads a time that may be missing: it is then zero.
func (r *Row) OptionalTime() time.Time {
	text := r.Text()
	if text == "" {
		return time.Time{}
	}
	return r.parse(text)
}

func (r *Row) parse(text string) time.Time { return time.UnixMicro(r.integer(text)).UTC() }

func (r *Row) fail(how string) {
	if r.err == nil {
		r.err = fmt.Errorf("column %d of a reply %s", r.next, how)
	}
}

// Decode reads a table of exactly the given columns.
func Decode[T any](table databricks.Table, columns string, read func(*Row) T) ([]T, error) {
	want := strings.Fields(columns)
	if !slices.Equal(table.Columns, want) {
		return nil, fmt.Errorf("the reply has other columns than %s", strings.Join(want, ", "))
	}
	all := make([]T, 0, len(table.Rows))
	for _, values := range table.Rows {
		if len(values) != len(want) {
			return nil, fmt.Errorf("a row of the reply has %d values for %d columns", len(values), len(want))
		}
		r := &Row{values: values}
		v := read(r)
		if r.err != nil {
			return nil, r.err
		}
		all = append(all, v)
	}
	return all, nil
}
