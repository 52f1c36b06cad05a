// Command sqlcheck writes an audit log of ten thousand planted events, and
// what the audit's statements must answer about it, for spark.py to compare
// with what Spark answers.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"databricks-credential-rotation/functions/audit/auditing/usage"
	"databricks-credential-rotation/shared/usagelog"
	"databricks-credential-rotation/shared/usagelogtest"
)

// question is a statement with the rows that it must give.
type question struct {
	Name       string            `json:"name"`
	File       string            `json:"file"`
	Parameters map[string]string `json:"parameters"`
	Columns    []string          `json:"columns"`
	Rows       [][]string        `json:"rows"`
}

var files = []string{"usage", "addresses", "agents", "bursts", "awakenings", "changes", "after_revocation", "unseen"}

func main() {
	dir := flag.String("dir", "", "where to write events.jsonl and questions.json")
	flag.Parse()
	if err := run(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "sqlcheck:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	if dir == "" {
		return errors.New("-dir is missing")
	}
	log := &usagelogtest.Log{}
	asked := plant(log)
	if err := writeEvents(filepath.Join(dir, "events.jsonl"), log.Events()); err != nil {
		return err
	}
	questions, err := ask(log, asked)
	if err != nil {
		return err
	}
	text, err := json.Marshal(questions)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "questions.json"), text, 0o600)
}

// ask answers every statement in memory. One without rows would be agreed on
// by anybody.
func ask(log *usagelogtest.Log, q usage.Question) ([]question, error) {
	q.Table = "audit"
	fileOf := map[string]string{}
	for _, file := range files {
		fileOf[usagelog.SQL(file)] = file + ".sql"
	}
	var questions []question
	used := map[string]bool{}
	unseen := usagelog.UnseenStatement(q.Now, handovers)
	unseen.Parameters["table"] = q.Table
	for _, s := range append(q.Statements(), unseen) {
		columns, rows, err := log.Statement(s.SQL, s.Parameters)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		if len(rows) == 0 {
			return nil, fmt.Errorf("%s: no rows, which proves nothing", s.Name)
		}
		file := fileOf[s.SQL]
		used[file] = true
		questions = append(questions, question{Name: s.Name, File: file, Parameters: s.Parameters, Columns: columns, Rows: rows})
	}
	if len(used) != len(files) {
		return nil, fmt.Errorf("%d of %d statements are asked", len(used), len(files))
	}
	return questions, nil
}

func writeEvents(path string, events []usagelogtest.Event) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // G304: the caller names the directory
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w := bufio.NewWriter(file)
	enc := json.NewEncoder(w)
	for _, e := range events {
		if err := enc.Encode(e); err != nil {
			return err
		}
	}
	return w.Flush()
}
