package report

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"databricks-credential-rotation/functions/audit/auditing/escape"
	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/prune"
	"databricks-credential-rotation/shared/policy"
)

// Schema is the JSON Schema of [Version].
//
//go:embed schema.json
var Schema []byte

// Encode writes a report as JSON, with one line for each element of a list: a
// report may have a hundred thousand findings, and is read with grep, too. No
// character in it acts on a terminal.
func Encode(r *Report) ([]byte, error) {
	full := *r
	full.Version = Version
	full.fill()
	var w writer
	w.field("version", full.Version)
	w.field("id", full.ID)
	w.field("taken_at", full.TakenAt)
	w.field("deployment", full.Deployment)
	w.optional("account_id", full.AccountID)
	w.optional("asked_by", full.AskedBy)
	if full.DryRun {
		w.field("dry_run", true)
	}
	w.optional("previous", full.Previous)
	list(&w, "findings", full.Findings)
	list(&w, "resolved", full.Resolved)
	list(&w, "gaps", full.Gaps)
	list(&w, "exposures", full.Exposures)
	w.field("exposure_count", full.ExposureCount)
	w.field("prune", full.Prune)
	w.field("measures", full.Measures)
	list(&w, "trend", full.Trend)
	w.out.WriteString("\n}\n")
	if w.err != nil {
		return nil, fmt.Errorf("encode report %s: %w", escape.Clip(r.ID, 60), w.err)
	}
	return w.out.Bytes(), nil
}

// writer writes the fields of one object, a piece at a time: the encoder of
// the standard library would hold the whole document three times.
type writer struct {
	out bytes.Buffer
	err error
}

func (w *writer) name(name string) {
	separator := ",\n"
	if w.out.Len() == 0 {
		separator = "{\n"
	}
	w.out.WriteString(separator + strconv.Quote(name) + ": ")
}

func (w *writer) value(v any) {
	if w.err != nil {
		return
	}
	piece, err := json.Marshal(v)
	w.out.Write(escape.JSON(piece))
	w.err = err
}

func (w *writer) field(name string, v any) {
	w.name(name)
	w.value(v)
}

func (w *writer) optional(name, v string) {
	if v != "" {
		w.field(name, v)
	}
}

func list[T any](w *writer, name string, elements []T) {
	w.name(name)
	w.out.WriteByte('[')
	begin := w.out.Len()
	for i := range elements {
		if i == sample {
			// Grown at once to what the rest will need, by the first of them.
			w.out.Grow((w.out.Len() - begin) / sample * (len(elements) - sample) * 21 / 20)
		}
		if i > 0 {
			w.out.WriteByte(',')
		}
		w.out.WriteByte('\n')
		w.value(&elements[i])
	}
	w.out.WriteByte(']')
}

// sample is from how many elements the size of the others is estimated.
const sample = 200

// fill makes empty lists of missing ones: a list that was made and is empty
// says so. It changes nothing that a copy of the report shares.
func (r *Report) fill() {
	r.Findings = filled(slices.Clone(r.Findings))
	r.Resolved = filled(slices.Clone(r.Resolved))
	r.Gaps = filled(r.Gaps)
	r.Exposures = filled(slices.Clone(r.Exposures))
	r.Prune.Plan.Items = filled(r.Prune.Plan.Items)
	r.Trend = filled(r.Trend)
	r.Measures.Ages = filled(r.Measures.Ages)
	r.Measures.LastUse = filled(r.Measures.LastUse)
	r.Measures.Scopes = filled(r.Measures.Scopes)
	if r.Prune.Plan.Mode == "" {
		r.Prune.Plan.Mode = policy.Report
	}
	if r.Prune.Plan.RightSize == "" {
		r.Prune.Plan.RightSize = policy.Report
	}
	if d := r.Prune.Done; d != nil {
		filledDone := *d
		filledDone.Outcomes = filled(d.Outcomes)
		if filledDone.Counts == nil {
			filledDone.Counts = map[prune.Result]int{}
		}
		r.Prune.Done = &filledDone
	}
	for i := range r.Findings {
		r.Findings[i].Evidence = filled(r.Findings[i].Evidence)
	}
	for i := range r.Resolved {
		r.Resolved[i].Evidence = filled(r.Resolved[i].Evidence)
	}
	for i := range r.Exposures {
		r.Exposures[i].Scopes = filled(r.Exposures[i].Scopes)
		r.Exposures[i].Workspaces = filled(r.Exposures[i].Workspaces)
		r.Exposures[i].Access = filled(r.Exposures[i].Access)
	}
}

func filled[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// Decode reads what [Encode] wrote. It refuses what it does not know, so that
// a report is never half understood. It reads element by element, for the same
// reason as Encode writes so.
func Decode(document []byte) (*Report, error) {
	dec := json.NewDecoder(bytes.NewReader(document))
	dec.DisallowUnknownFields()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("a report must be a JSON object")
	}
	var r Report
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("report: %w", reduce(err))
		}
		name, _ := t.(string)
		if seen[name] {
			return nil, fmt.Errorf("report: %s is there twice", escape.Clip(name, 80))
		}
		seen[name] = true
		if err := r.read(dec, name); err != nil {
			return nil, err
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("report: %w", reduce(err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("report: there is something after its end")
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return &r, nil
}

// read reads the value of one field.
func (r *Report) read(dec *json.Decoder, name string) error {
	var err error
	switch name {
	case "findings":
		r.Findings, err = elements[Finding](dec)
	case "resolved":
		r.Resolved, err = elements[Resolved](dec)
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
		err = dec.Decode(into)
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

func elements[T any](dec *json.Decoder) ([]T, error) {
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return nil, errors.New("it must be a list")
	}
	var all []T
	for dec.More() {
		var one T
		if err := dec.Decode(&one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	_, err := dec.Token()
	return all, err
}

// reduce keeps the decoder's word for what is wrong and where, and escapes
// what it quotes.
func reduce(err error) error {
	return errors.New(escape.Clip(strings.TrimPrefix(err.Error(), "json: "), 200))
}

// check finds what a decoder accepts and no report has.
func (r *Report) check() error {
	var faults []error
	if r.Version == "" {
		faults = append(faults, errors.New("report: version is missing"))
	}
	if r.ID == "" {
		faults = append(faults, errors.New("report: id is missing"))
	}
	if r.TakenAt.IsZero() {
		faults = append(faults, errors.New("report: taken_at is missing"))
	}
	seen := map[string]bool{}
	for i, f := range r.Findings {
		if err := checkFinding(f.Finding, seen); err != nil {
			faults = append(faults, fmt.Errorf("report: findings[%d]: %w", i, err))
		}
	}
	for i, f := range r.Resolved {
		if err := checkFinding(f.Finding, seen); err != nil {
			faults = append(faults, fmt.Errorf("report: resolved[%d]: %w", i, err))
		}
		if f.ResolvedAt.IsZero() {
			faults = append(faults, fmt.Errorf("report: resolved[%d]: resolved_at is missing", i))
		}
	}
	const most = 20
	if more := len(faults) - most; more > 0 {
		faults = append(faults[:most], fmt.Errorf("… and %d more", more))
	}
	return errors.Join(faults...)
}

func checkFinding(f finding.Finding, seen map[string]bool) error {
	switch {
	case f.ID == "" || f.Rule == "":
		return errors.New("id or rule is missing")
	case seen[f.ID]:
		return fmt.Errorf("id %s is there twice", escape.Clip(f.ID, 80))
	case f.Severity < finding.Info || f.Severity > finding.Critical:
		return errors.New("severity is missing")
	case f.FirstSeen.IsZero():
		return errors.New("first_seen is missing")
	}
	seen[f.ID] = true
	return nil
}
