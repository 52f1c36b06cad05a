package awstest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/securityhub"
	"github.com/aws/aws-sdk-go-v2/service/securityhub/types"
)

const securityProduct = "arn:aws:securityhub:eu-west-1:123456789012:product/123456789012/default"

func securityFinding(id string, change func(*types.AwsSecurityFinding)) types.AwsSecurityFinding {
	f := types.AwsSecurityFinding{
		SchemaVersion: aws.String("2018-10-08"), Id: &id, ProductArn: aws.String(securityProduct), GeneratorId: aws.String("rule"),
		AwsAccountId: aws.String("123456789012"), CreatedAt: aws.String("2026-03-01T12:00:00.000Z"), UpdatedAt: aws.String("2026-03-01T12:00:00.000Z"),
		Title: aws.String("title"), Description: aws.String("description"), RecordState: types.RecordStateActive,
		FindingProviderFields: &types.FindingProviderFields{
			Severity: &types.FindingProviderSeverity{Label: types.SeverityLabelHigh},
			Types:    []string{"Software and Configuration Checks/Credentials"},
		},
		Resources: []types.Resource{{Type: aws.String("Other"), Id: aws.String("x")}},
	}
	if change != nil {
		change(&f)
	}
	return f
}

func (f *fleet) importFindings(t *testing.T, findings ...types.AwsSecurityFinding) (*securityhub.BatchImportFindingsOutput, error) {
	t.Helper()
	return securityhub.NewFromConfig(f.config()).BatchImportFindings(t.Context(), &securityhub.BatchImportFindingsInput{Findings: findings})
}

func TestSecurityHubKeepsTheNewest(t *testing.T) {
	f := newFleet(t)
	at := func(clock, title string) types.AwsSecurityFinding {
		return securityFinding("one", func(x *types.AwsSecurityFinding) {
			x.UpdatedAt, x.Title = aws.String("2026-03-01T"+clock+":00.000Z"), &title
		})
	}
	for _, one := range []types.AwsSecurityFinding{at("13:00", "first"), at("14:00", "second"), at("13:30", "late"), at("14:00", "again")} {
		out, err := f.importFindings(t, one)
		if err != nil || aws.ToInt32(out.SuccessCount) != 1 || aws.ToInt32(out.FailedCount) != 0 {
			t.Fatalf("%+v, %v", out, err)
		}
	}
	if got := f.SecurityFindings(); len(got) != 1 || got[0].Title != "second" {
		t.Errorf("findings %+v", got)
	}
}

func TestSecurityHubRefusesFindings(t *testing.T) {
	type finding = types.AwsSecurityFinding
	text := func(n int) *string { return aws.String(strings.Repeat("é", n)) }
	for want, change := range map[string]func(*finding){
		"SchemaVersion":                   func(x *finding) { x.SchemaVersion = aws.String("2020-01-01") },
		"ProductArn":                      func(x *finding) { x.ProductArn = aws.String("arn:aws:securityhub:eu-west-1:1:product/1/default") },
		"AwsAccountId":                    func(x *finding) { x.AwsAccountId = aws.String("210987654321") },
		"Title has 257 characters":        func(x *finding) { x.Title = text(257) },
		"Title has 0 characters":          func(x *finding) { x.Title = aws.String("") },
		"Description has 1025 characters": func(x *finding) { x.Description = text(1025) },
		"Id has 513 characters":           func(x *finding) { x.Id = text(513) },
		"Recommendation.Text has 513 characters": func(x *finding) {
			x.Remediation = &types.Remediation{Recommendation: &types.Recommendation{Text: text(513)}}
		},
		"UpdatedAt":                              func(x *finding) { x.UpdatedAt = aws.String("yesterday") },
		"CreatedAt is after UpdatedAt":           func(x *finding) { x.UpdatedAt = aws.String("2026-02-01T12:00:00.000Z") },
		"FindingProviderFields.Severity.Label":   func(x *finding) { x.FindingProviderFields.Severity.Label = "GRAVE" },
		"FindingProviderFields.Types: Sins":      func(x *finding) { x.FindingProviderFields.Types = []string{"Sins"} },
		"RecordState":                            func(x *finding) { x.RecordState = "DONE" },
		"Resources":                              func(x *finding) { x.Resources = []types.Resource{} },
		"ProductFields has 51 entries":           func(x *finding) { x.ProductFields = entries(51, "v") },
		"Details.Other: the length of the value": func(x *finding) { x.Resources[0].Details = &types.ResourceDetails{Other: entries(1, *text(1025))} },
		"finding has 2": func(x *finding) {
			x.ProductFields = entries(50, strings.Repeat("\U0001f4a3", 1024))
			x.Description = text(1000)
			x.SourceUrl = text(30000)
		},
		"ProductFields: the length of the value of": func(x *finding) { x.ProductFields = map[string]string{"k": ""} },
	} {
		f := newFleet(t)
		out, err := f.importFindings(t, securityFinding("good", nil), securityFinding("bad", change))
		if err != nil {
			t.Errorf("%s: %v", want, err)
			continue
		}
		if aws.ToInt32(out.SuccessCount) != 1 || len(out.FailedFindings) != 1 || !strings.Contains(aws.ToString(out.FailedFindings[0].ErrorMessage), want) {
			t.Errorf("%s: %d good, failed %v", want, aws.ToInt32(out.SuccessCount), message(out.FailedFindings))
		}
		if n := len(f.SecurityFindings()); n != 1 {
			t.Errorf("%s: %d findings are kept", want, n)
		}
	}
}

func message(failed []types.ImportFindingsError) (texts []string) {
	for _, e := range failed {
		texts = append(texts, aws.ToString(e.ErrorMessage))
	}
	return texts
}

func entries(n int, value string) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprint("k", i)] = value
	}
	return m
}

func TestSecurityHubTakesAHundred(t *testing.T) {
	f := newFleet(t)
	var many []types.AwsSecurityFinding
	for i := range 101 {
		many = append(many, securityFinding(fmt.Sprint(i), nil))
	}
	if _, err := f.importFindings(t, many[:100]...); err != nil {
		t.Error(err)
	}
	_, err := f.importFindings(t, many...)
	wantCode(t, "101 findings", err, "InvalidInputException")
	_, err = f.importFindings(t, []types.AwsSecurityFinding{}...)
	wantCode(t, "no findings", err, "InvalidInputException")
}

func TestSecurityHubThatIsNotEnabled(t *testing.T) {
	f := newFleet(t)
	f.DisableSecurityHub()
	_, err := f.importFindings(t, securityFinding("one", nil))
	wantCode(t, "import", err, "InvalidAccessException")
}

func TestSecurityHubDoesNotKnowOtherFields(t *testing.T) {
	f := newFleet(t)
	out, err := f.importFindings(t, securityFinding("one", func(x *types.AwsSecurityFinding) { x.Criticality = aws.Int32(1) }))
	if err != nil || aws.ToInt32(out.FailedCount) != 1 {
		t.Errorf("%+v, %v", out, err)
	}
	_, err = securityhub.NewFromConfig(f.config()).DescribeHub(t.Context(), &securityhub.DescribeHubInput{})
	wantCode(t, "DescribeHub", err, "ResourceNotFoundException")
	if got := f.Unknown(); len(got) != 2 {
		t.Errorf("unknown %q", got)
	}
	f.Server = newFleet(t).Server // what was not understood was wanted
}
