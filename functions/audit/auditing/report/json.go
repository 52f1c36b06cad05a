package report

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
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

// Encode writes a report as JSON. No character in it acts on a terminal.
func Encode(r *Report) ([]byte, error) {
	full := *r
	full.Version = Version
	full.fill()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(true)
	enc.SetIndent("", " ")
	if err := enc.Encode(full); err != nil {
		return nil, fmt.Errorf("encode report %s: %w", r.ID, err)
	}
	return escape.JSON(b.Bytes()), nil
}

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

// ErrVersion is what [Decode] returns for a layout that it does not know.
var ErrVersion = errors.New("the layout's version is not known")

// Decode reads what [Encode] wrote. It refuses what it does not know, so that
// a report is never half understood.
func Decode(document []byte) (*Report, error) {
	var head struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(document, &head); err != nil {
		return nil, fmt.Errorf("a report must be JSON: %w", reduce(err))
	}
	if head.Version != Version {
		return nil, fmt.Errorf("version %q, expected %q: %w", escape.Clip(head.Version, 60), Version, ErrVersion)
	}
	dec := json.NewDecoder(bytes.NewReader(document))
	dec.DisallowUnknownFields()
	var r Report
	if err := dec.Decode(&r); err != nil {
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

// reduce keeps the decoder's word for what is wrong and where, and escapes
// what it quotes.
func reduce(err error) error {
	return errors.New(escape.Clip(strings.TrimPrefix(err.Error(), "json: "), 200))
}

// check finds what a decoder accepts and no report has.
func (r *Report) check() error {
	var faults []error
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
