package publish

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/securityhub"
	"github.com/aws/aws-sdk-go-v2/service/securityhub/types"

	"databricks-credential-rotation/functions/audit/auditing/escape"
	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/report"
)

// SecurityHub is what a hub needs of the service: BatchImportFindings, on the
// account's own product.
type SecurityHub interface {
	BatchImportFindings(context.Context, *securityhub.BatchImportFindingsInput, ...func(*securityhub.Options)) (*securityhub.BatchImportFindingsOutput, error)
}

// Hub keeps Security Hub's copy of the findings: open ones active, resolved
// ones archived, each under the same id for good. The resolved ones that are
// remembered go out each time, so that an import that failed is made up for.
type Hub struct {
	API SecurityHub
	// Partition, Region and Account are where the function runs.
	Partition, Region, Account string
}

// Security Hub takes 100 findings in a call, of 240 KiB each and 6 MiB
// together. The limits of texts below, in bytes, keep a finding under 32 KiB
// and so a call under half of that.
const (
	hubBatch       = 100
	hubTitle       = 256
	hubDescription = 1024
	hubRemedy      = 512
	hubID          = 500
	hubKey         = 100
	hubValue       = 500
	hubEvidence    = 20
)

const (
	// maxRefused is how many refusals an error spells out.
	maxRefused = 5
	// maxFailed is after how many calls that failed no more are made.
	maxFailed = 5
)

func (h Hub) publish(ctx context.Context, r *report.Report) (int, error) {
	var in importing
	batch := make([]types.AwsSecurityFinding, 0, hubBatch)
	// A batch at a time: there may be a hundred thousand findings.
	add := func(f finding.Finding, status report.Status) {
		if batch = append(batch, h.finding(r, f, status)); len(batch) == hubBatch {
			in.send(ctx, h.API, batch)
			batch = batch[:0]
		}
	}
	for i := range r.Findings {
		add(r.Findings[i].Finding, r.Findings[i].Status)
	}
	for i := range r.Resolved {
		add(r.Resolved[i].Finding, "")
	}
	in.send(ctx, h.API, batch)
	return in.good, in.err()
}

// importing is how an import goes.
type importing struct {
	good    int
	faults  []error
	refused []types.ImportFindingsError
	// stopped tells that the next call would end as the last one did.
	stopped bool
	untried int
}

func (in *importing) send(ctx context.Context, api SecurityHub, batch []types.AwsSecurityFinding) {
	if len(batch) == 0 {
		return
	}
	if in.stopped {
		in.untried += len(batch)
		return
	}
	out, err := api.BatchImportFindings(ctx, &securityhub.BatchImportFindingsInput{Findings: batch})
	if err != nil {
		in.faults = append(in.faults, fmt.Errorf("importing %d findings: %w", len(batch), reduce(err)))
		// A service that is down for a hundred batches is one thing to know.
		in.stopped = ctx.Err() != nil || code(err) == "InvalidAccessException" || code(err) == "AccessDeniedException" || len(in.faults) == maxFailed
		return
	}
	in.good += int(aws.ToInt32(out.SuccessCount))
	in.refused = append(in.refused, out.FailedFindings...)
}

func (in *importing) err() error {
	faults, refused := in.faults, in.refused
	if in.untried > 0 {
		faults = append(faults, fmt.Errorf("%d more were not tried", in.untried))
	}
	for _, e := range refused[:min(len(refused), maxRefused)] {
		faults = append(faults, fmt.Errorf("%s was refused: %s: %s", escape.Clip(aws.ToString(e.Id), 300),
			escape.Clip(aws.ToString(e.ErrorCode), 60), escape.Clip(aws.ToString(e.ErrorMessage), 300)))
	}
	if more := len(refused) - maxRefused; more > 0 {
		faults = append(faults, fmt.Errorf("%d more were refused", more))
	}
	return errors.Join(faults...)
}

// product is the product under which an account imports findings of its own.
func (h Hub) product() string {
	return fmt.Sprintf("arn:%s:securityhub:%s:%s:product/%s/default", h.Partition, h.Region, h.Account, h.Account)
}

// finding is a finding in Security Hub's format; a status that is empty means
// that it is resolved.
func (h Hub) finding(r *report.Report, f finding.Finding, status report.Status) types.AwsSecurityFinding {
	state := types.RecordStateActive
	if status == "" {
		state = types.RecordStateArchived
	}
	other := map[string]string{}
	put := func(m map[string]string, name, value string) {
		if name, value = escape.Bytes(name, hubKey), escape.Bytes(value, hubValue); name != "" && value != "" {
			m[name] = value
		}
	}
	put(other, "kind", string(f.Subject.Kind))
	put(other, "id", f.Subject.ID)
	put(other, "name", f.Subject.Name)
	put(other, "client_id", f.Subject.ClientID)
	put(other, "owner", f.Owner)
	if f.Subject.Workspace != 0 {
		put(other, "workspace", strconv.FormatInt(f.Subject.Workspace, 10))
	}
	for _, e := range f.Evidence[:min(len(f.Evidence), hubEvidence)] {
		put(other, "evidence: "+e.Name, e.Value)
	}
	fields := map[string]string{}
	put(fields, "deployment", r.Deployment)
	put(fields, "audit", r.ID)
	put(fields, "rule", f.Rule)
	put(fields, "status", string(status))
	out := types.AwsSecurityFinding{
		SchemaVersion:   aws.String("2018-10-08"),
		Id:              aws.String(escape.Bytes(h.product()+"/"+r.Deployment+"/"+f.ID, hubID)),
		ProductArn:      aws.String(h.product()),
		GeneratorId:     aws.String(escape.Bytes("databricks-credential-rotation/"+f.Rule, hubID)),
		AwsAccountId:    &h.Account,
		CreatedAt:       moment(f.FirstSeen),
		FirstObservedAt: moment(f.FirstSeen),
		UpdatedAt:       moment(r.TakenAt),
		Title:           aws.String(escape.Bytes(orDash(f.Title), hubTitle)),
		Description:     aws.String(escape.Bytes(describe(f), hubDescription)),
		RecordState:     state,
		ProductFields:   fields,
		FindingProviderFields: &types.FindingProviderFields{
			Severity: &types.FindingProviderSeverity{Label: label(f.Severity), Original: aws.String(f.Severity.String())},
			Types:    []string{"Software and Configuration Checks/Credentials"},
		},
		Resources: []types.Resource{{
			Type: aws.String("Other"), Id: aws.String(escape.Bytes(resource(r.AccountID, f.Subject), hubID)),
			Partition: types.Partition(h.Partition), Region: &h.Region,
			Details: &types.ResourceDetails{Other: other},
		}},
	}
	if status == report.New || status == report.Open || status == report.Reopened {
		out.LastObservedAt = moment(r.TakenAt)
	}
	if remedy := escape.Line(f.Remedy); remedy != "" {
		if len(remedy) > hubRemedy { // a command must not be cut
			remedy = "See the audit's report: the command is too long for this place."
		}
		out.Remediation = &types.Remediation{Recommendation: &types.Recommendation{Text: &remedy}}
	}
	return out
}

func moment(t time.Time) *string {
	return aws.String(t.UTC().Format("2006-01-02T15:04:05.000Z"))
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func describe(f finding.Finding) string {
	name := f.Subject.Name
	if name == "" {
		name = f.Subject.ID
	}
	parts := []string{report.Word(f.Subject.Kind) + " " + name}
	for _, e := range f.Evidence[:min(len(f.Evidence), hubEvidence)] {
		parts = append(parts, e.Name+": "+e.Value)
	}
	if f.Owner != "" {
		parts = append(parts, "owner: "+f.Owner)
	}
	return strings.Join(parts, "; ")
}

func resource(account string, s finding.Subject) string {
	place := account
	if place == "" {
		place = "account"
	}
	if s.Workspace != 0 {
		place += "/workspace/" + strconv.FormatInt(s.Workspace, 10)
	}
	return "databricks/" + place + "/" + string(s.Kind) + "/" + s.ID
}

func label(s finding.Severity) types.SeverityLabel {
	switch s {
	case finding.Critical:
		return types.SeverityLabelCritical
	case finding.High:
		return types.SeverityLabelHigh
	case finding.Medium:
		return types.SeverityLabelMedium
	case finding.Low:
		return types.SeverityLabelLow
	case finding.Info:
		return types.SeverityLabelInformational
	default:
		return types.SeverityLabelInformational
	}
}
