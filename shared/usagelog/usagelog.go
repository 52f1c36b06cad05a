// Package usagelog is what is known of Databricks' audit log, the table
// system.access.audit: its names, the statements that read it, and how their
// rows are read.
//
// The statements are in sql, in Spark SQL, and aggregate in the warehouse.
// Identities are application ids or user names, in lower case.
package usagelog

import (
	"embed"
	"fmt"
	"strconv"
	"strings"
	"time"

	"databricks-credential-rotation/shared/databricks"
)

// DefaultTable is Databricks' own table.
const DefaultTable = "system.access.audit"

//go:embed sql/*.sql
var sqlFiles embed.FS

// SQL is the text of a statement, by its file's name without the extension.
func SQL(name string) string {
	text, err := sqlFiles.ReadFile("sql/" + name + ".sql")
	if err != nil {
		panic(fmt.Sprintf("no statement %s: %v", name, err))
	}
	return string(text)
}

// Window is what part of the log is read.
type Window struct {
	// Table is the audit log, empty for [DefaultTable]: a copy or a view with
	// the same columns does as well.
	Table       string
	From, Until time.Time
}

// Statement puts a statement together with what all of them have in common.
// The date comes first in each, because the table is laid out by it.
func (w Window) Statement(name, file string, parameters map[string]string) databricks.Statement {
	if w.Table == "" {
		w.Table = DefaultTable
	}
	parameters["table"] = w.Table
	parameters["from"] = Micros(w.From)
	parameters["from_date"] = w.From.UTC().Format(time.DateOnly)
	parameters["until"] = Micros(w.Until)
	parameters["nobody"] = List(Names.Nobody)
	return databricks.Statement{Name: name, SQL: SQL(file), Parameters: parameters}
}

// Micros is a time as the statements take it.
func Micros(t time.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }

// Microseconds is a duration as the statements take it.
func Microseconds(d time.Duration) string { return strconv.FormatInt(d.Microseconds(), 10) }

// List makes a parameter of many values. One with a separator in it cannot be
// passed; neither the log's names nor Databricks' user names have any.
func List(values []string) string {
	var passable []string
	for _, v := range values {
		if !strings.ContainsAny(v, ",=") {
			passable = append(passable, v)
		}
	}
	return strings.Join(passable, ",")
}
