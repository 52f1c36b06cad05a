package report

import (
	"bufio"
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"strconv"
	"strings"

	"databricks-credential-rotation/functions/audit/auditing/blast"
	"databricks-credential-rotation/functions/audit/auditing/escape"
	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/prune"
	"databricks-credential-rotation/shared/policy"
)

// Schema is the JSON Schema of [Version].
//
//go:embed schema.json
var Schema []byte

// Write writes a report as JSON, with one line for each element of a list: a
// report may have a hundred thousand findings, and is read with grep, too. No
// character in it acts on a terminal. Nothing is held of it but the element at
// hand.
func Write(out io.Writer, r *Report) error {
	w := writer{out: bufio.NewWriterSize(out, 64<<10)}
	w.encoder = json.NewEncoder(&w.piece)
	w.field("version", Version)
	w.field("id", r.ID)
	w.field("taken_at", r.TakenAt)
	w.field("deployment", r.Deployment)
	w.optional("account_id", r.AccountID)
	w.optional("asked_by", r.AskedBy)
	if r.DryRun {
		w.field("dry_run", true)
	}
	w.optional("previous", r.Previous)
	list(&w, "findings", r.Findings, func(f *Finding) any {
		one := *f
		one.Evidence = filled(f.Evidence)
		return one
	})
	list(&w, "resolved", r.Resolved, func(f Resolved) any {
		f.Evidence = filled(f.Evidence)
		return f
	})
	list(&w, "gaps", r.Gaps, func(g Gap) any { return g })
	list(&w, "exposures", r.Exposures, func(x blast.Reach) any {
		x.Scopes, x.Workspaces, x.Access = filled(x.Scopes), filled(x.Workspaces), filled(x.Access)
		return x
	})
	w.field("exposure_count", r.ExposureCount)
	w.prune(r.Prune)
	w.field("measures", r.Measures.filled())
	list(&w, "trend", r.Trend, func(p Point) any { return p })
	w.text("\n}\n")
	if w.err == nil {
		w.err = w.out.Flush()
	}
	if w.err != nil {
		return fmt.Errorf("encode report %s: %w", escape.Clip(r.ID, 60), w.err)
	}
	return nil
}

// Encode is [Write] into memory.
func Encode(r *Report) ([]byte, error) {
	var b bytes.Buffer
	err := Write(&b, r)
	return b.Bytes(), err
}

// writer writes the fields of one object, a piece at a time. The first error
// stays.
type writer struct {
	out     *bufio.Writer
	encoder *json.Encoder
	piece   bytes.Buffer // what the encoder wrote last
	begun   bool
	err     error
}

func (w *writer) text(s string) {
	if w.err == nil {
		_, w.err = w.out.WriteString(s)
	}
}

func (w *writer) bytes(b []byte) {
	if w.err == nil {
		_, w.err = w.out.Write(b)
	}
}

func (w *writer) name(name string) {
	separator := ",\n"
	if !w.begun {
		separator = "{\n"
	}
	w.begun = true
	w.text(separator + strconv.Quote(name) + ": ")
}

// encode returns the value's JSON, which is good until the next one's.
func (w *writer) encode(v any) []byte {
	if w.err != nil {
		return nil
	}
	w.piece.Reset()
	w.err = w.encoder.Encode(v)
	return bytes.TrimSuffix(w.piece.Bytes(), []byte("\n"))
}

func (w *writer) field(name string, v any) {
	w.name(name)
	w.bytes(escape.JSON(w.encode(v)))
}

func (w *writer) optional(name, v string) {
	if v != "" {
		w.field(name, v)
	}
}

func list[T any](w *writer, name string, elements []T, filled func(T) any) {
	w.name(name)
	w.text("[")
	elementsOf(w, elements, filled)
	w.text("]")
}

func elementsOf[T any](w *writer, elements []T, filled func(T) any) {
	for i, one := range elements {
		if i > 0 {
			w.text(",")
		}
		w.text("\n")
		w.bytes(escape.JSON(w.encode(filled(one))))
	}
}

// prune writes the plan's items as the elements of a list: there may be as many
// as there are credentials.
func (w *writer) prune(p Prune) {
	w.name("prune")
	plan := p.Plan
	plan.Items = []prune.Item{}
	plan.Mode, plan.RightSize = cmp.Or(plan.Mode, policy.Report), cmp.Or(plan.RightSize, policy.Report)
	// The items are the plan's last field.
	head, ok := bytes.CutSuffix(w.encode(plan), []byte("]}"))
	if !ok && w.err == nil {
		w.err = errors.New("the plan does not end with its items")
	}
	w.text(`{"plan":`)
	w.bytes(escape.JSON(head))
	elementsOf(w, p.Plan.Items, func(item prune.Item) any { return item })
	w.text("]}")
	if p.Done != nil {
		done := *p.Done
		done.Outcomes = filled(done.Outcomes)
		if done.Counts == nil {
			done.Counts = map[prune.Result]int{}
		}
		w.text(`,"done":`)
		w.bytes(escape.JSON(w.encode(done)))
	}
	w.text("}")
}

// filled makes an empty list of a missing one: a list that was made and is
// empty says so.
func filled[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (m Measures) filled() Measures {
	m.Ages, m.LastUse, m.Scopes = filled(m.Ages), filled(m.LastUse), filled(m.Scopes)
	return m
}

// Decode reads what [Encode] wrote. It refuses what it does not know, so that
// a report is never half understood.
func Decode(document []byte) (*Report, error) {
	var r *Report
	var findings []*Finding
	var resolved []Resolved
	r, err := Read(bytes.NewReader(document), func(f *Finding) { findings = append(findings, f) }, func(f *Resolved) { resolved = append(resolved, *f) })
	if err != nil {
		return nil, err
	}
	r.Findings, r.Resolved = findings, resolved
	return r, nil
}

// Read reads a report like [Decode] and passes each finding on instead of
// keeping it.
func Read(document io.Reader, open func(*Finding), resolved func(*Resolved)) (*Report, error) {
	in := newReader(document, open, resolved)
	in.seen = map[uint64]bool{}
	if err := in.all(nil); err != nil {
		return nil, err
	}
	return in.checked()
}

// Walk passes the findings of a report on that [Read] has read before, and
// looks at nothing else in it.
func Walk(document io.Reader, open func(*Finding), resolved func(*Resolved)) error {
	in := newReader(document, open, resolved)
	lists := 0
	return in.all(func(name string) bool {
		if name == "findings" || name == "resolved" {
			lists++
		}
		return lists == 2
	})
}

// reader reads a report element by element.
type reader struct {
	dec      *json.Decoder
	report   Report
	open     func(*Finding)
	resolved func(*Resolved)
	// seen are the ids so far, by a hash; nil if nothing is to be checked.
	seen   map[uint64]bool
	seed   maphash.Seed
	faults faults
}

func newReader(document io.Reader, open func(*Finding), resolved func(*Resolved)) *reader {
	dec := json.NewDecoder(document)
	dec.DisallowUnknownFields()
	return &reader{dec: dec, open: open, resolved: resolved, seed: maphash.MakeSeed()}
}

// all reads the fields, until enough says that it was the last to be read.
func (in *reader) all(enough func(name string) bool) error {
	if t, err := in.dec.Token(); err != nil || t != json.Delim('{') {
		return errors.New("a report must be a JSON object")
	}
	seen := map[string]bool{}
	for in.dec.More() {
		t, err := in.dec.Token()
		if err != nil {
			return fmt.Errorf("report: %w", reduce(err))
		}
		name, _ := t.(string)
		if seen[name] {
			return fmt.Errorf("report: %s is there twice", escape.Clip(name, 80))
		}
		seen[name] = true
		if err := in.field(name); err != nil {
			return err
		}
		if enough != nil && enough(name) {
			return nil
		}
	}
	if _, err := in.dec.Token(); err != nil {
		return fmt.Errorf("report: %w", reduce(err))
	}
	if _, err := in.dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("report: there is something after its end")
	}
	return nil
}

// field reads the value of one field.
func (in *reader) field(name string) error {
	var err error
	r := &in.report
	switch name {
	case "findings":
		err = elements(in.dec, func(i int, f *Finding) {
			in.check(name, i, f.Finding)
			in.open(f)
		})
	case "resolved":
		err = elements(in.dec, func(i int, f *Resolved) {
			in.check(name, i, f.Finding)
			if in.seen != nil && f.ResolvedAt.IsZero() {
				in.faults.add("report: resolved[%d]: resolved_at is missing", i)
			}
			in.resolved(f)
		})
	default:
		var into any
		switch name {
		case "version":
			into = &r.Version
		case "id":
			into = &r.ID
		case "taken_at":
			into = &r.TakenAt
		case "deployment":
			into = &r.Deployment
		case "account_id":
			into = &r.AccountID
		case "asked_by":
			into = &r.AskedBy
		case "dry_run":
			into = &r.DryRun
		case "previous":
			into = &r.Previous
		case "gaps":
			into = &r.Gaps
		case "exposures":
			into = &r.Exposures
		case "exposure_count":
			into = &r.ExposureCount
		case "prune":
			into = &r.Prune
		case "measures":
			into = &r.Measures
		case "trend":
			into = &r.Trend
		default:
			return fmt.Errorf("report: unknown field %q", escape.Clip(name, 80))
		}
		err = in.dec.Decode(into)
	}
	if err != nil {
		return fmt.Errorf("report: %s: %w", name, reduce(err))
	}
	// It is the first field, so what follows may be of any layout.
	if name == "version" && r.Version != Version {
		return fmt.Errorf("report: version %q, expected %q", escape.Clip(r.Version, 60), Version)
	}
	return nil
}

func elements[T any](dec *json.Decoder, take func(i int, one *T)) error {
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return errors.New("it must be a list")
	}
	for i := 0; dec.More(); i++ {
		one := new(T)
		if err := dec.Decode(one); err != nil {
			return err
		}
		take(i, one)
	}
	_, err := dec.Token()
	return err
}

// reduce keeps the decoder's word for what is wrong and where, and escapes
// what it quotes.
func reduce(err error) error {
	return errors.New(escape.Clip(strings.TrimPrefix(err.Error(), "json: "), 200))
}

// checked is the report, if it has what a decoder does not ask for.
func (in *reader) checked() (*Report, error) {
	r := &in.report
	var missing faults
	if r.Version == "" {
		missing.add("report: version is missing")
	}
	if r.ID == "" {
		missing.add("report: id is missing")
	}
	if r.TakenAt.IsZero() {
		missing.add("report: taken_at is missing")
	}
	if err := errors.Join(missing.err(), in.faults.err()); err != nil {
		return nil, err
	}
	return r, nil
}

// check finds what a decoder accepts and no finding has.
func (in *reader) check(list string, i int, f finding.Finding) {
	if in.seen == nil {
		return
	}
	id := maphash.String(in.seed, f.ID)
	switch {
	case f.ID == "" || f.Rule == "":
		in.faults.add("report: %s[%d]: id or rule is missing", list, i)
	case in.seen[id]:
		in.faults.add("report: %s[%d]: id %s is there twice", list, i, escape.Clip(f.ID, 80))
	case f.Severity < finding.Info || f.Severity > finding.Critical:
		in.faults.add("report: %s[%d]: severity is missing", list, i)
	case f.FirstSeen.IsZero():
		in.faults.add("report: %s[%d]: first_seen is missing", list, i)
	}
	in.seen[id] = true
}

// faults are the first of many.
type faults struct {
	list []error
	more int
}

func (f *faults) add(format string, args ...any) {
	const most = 20
	if len(f.list) == most {
		f.more++
		return
	}
	f.list = append(f.list, fmt.Errorf(format, args...))
}

func (f *faults) err() error {
	if f.more > 0 {
		return errors.Join(append(f.list, fmt.Errorf("… and %d more", f.more))...)
	}
	return errors.Join(f.list...)
}
