package awstest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"databricks-credential-rotation/shared/faulttest"
)

// SecurityFinding is a finding as Security Hub keeps it: the fields of the AWS
// Security Finding Format that the emulator knows.
type SecurityFinding struct {
	SchemaVersion         string
	ID                    string `json:"Id"`
	ProductArn            string
	ProductName           string
	GeneratorID           string `json:"GeneratorId"`
	AwsAccountID          string `json:"AwsAccountId"`
	CreatedAt             string
	UpdatedAt             string
	FirstObservedAt       string
	LastObservedAt        string
	Title                 string
	Description           string
	SourceURL             string `json:"SourceUrl"`
	Remediation           SecurityRemediation
	ProductFields         map[string]string
	Resources             []SecurityResource
	RecordState           string
	FindingProviderFields SecurityProviderFields
}

// SecurityRemediation is how to mend it.
type SecurityRemediation struct {
	Recommendation struct {
		Text string
		URL  string `json:"Url"`
	}
}

// SecurityResource is what a finding is about.
type SecurityResource struct {
	Type      string
	ID        string `json:"Id"`
	Partition string
	Region    string
	Details   struct{ Other map[string]string }
}

// SecurityProviderFields are what a provider says of a finding and people may
// overrule.
type SecurityProviderFields struct {
	Severity struct {
		Label    string
		Original string
	}
	Types []string
}

// SecurityFindings returns what was imported into Security Hub, by id.
func (s *Server) SecurityFindings() []SecurityFinding {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []SecurityFinding
	for _, id := range slices.Sorted(maps.Keys(s.security)) {
		out = append(out, s.security[id])
	}
	return out
}

// DisableSecurityHub makes the service answer as in an account that has not
// subscribed to it.
func (s *Server) DisableSecurityHub() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.securityDisabled = true
}

const (
	maxSecurityBatch   = 100
	maxSecurityRequest = 6 << 20
	maxSecurityFinding = 240 << 10
)

// isSecurityHub tells a request of this service from S3's by what it was
// signed for: both name their operations by path.
func isSecurityHub(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Authorization"), "/securityhub/aws4_request")
}

func (s *Server) serveSecurityHub(w http.ResponseWriter, r *http.Request) {
	call := faulttest.Call{Service: "securityhub"}
	caller, known := s.caller(r)
	call.Caller = caller
	if r.Method == http.MethodPost && r.URL.Path == "/findings/import" {
		call.Op = "BatchImportFindings"
	}
	throttle := func(w http.ResponseWriter, _ time.Duration) {
		writeRESTFailure(w, fail(http.StatusTooManyRequests, "TooManyRequestsException", "Too Many Requests"))
	}
	s.faults.Serve(w, r, call, throttle, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reply, err := s.importFindings(r, call, caller, known)
		if err != nil {
			writeRESTFailure(w, asFailure(err))
			return
		}
		writeJSON(w, "application/json", reply)
	}))
}

type securityReply struct {
	FailedCount    int
	SuccessCount   int
	FailedFindings []securityFailure
}

type securityFailure struct {
	ID           string `json:"Id"`
	ErrorCode    string
	ErrorMessage string
}

func (s *Server) importFindings(r *http.Request, call faulttest.Call, caller string, known bool) (*securityReply, error) {
	switch {
	case !known:
		return nil, fail(http.StatusForbidden, "InvalidAccessException", "The security token included in the request is invalid.")
	case call.Op == "":
		s.noteUnknown("securityhub %s %s", r.Method, r.URL.Path)
		return nil, fail(http.StatusNotFound, "ResourceNotFoundException", "no such operation: %s %s", r.Method, r.URL.Path)
	}
	access := Access{Caller: caller, Action: "securityhub:BatchImportFindings", Resource: s.securityProduct()}
	if err := s.authorized(r.Context(), access); err != nil {
		return nil, fail(http.StatusForbidden, "AccessDeniedException", "%s", asFailure(err).message)
	}
	var request struct{ Findings []json.RawMessage }
	if err := decodeJSON(http.MaxBytesReader(nil, r.Body, maxSecurityRequest), &request); err != nil {
		return nil, fail(http.StatusBadRequest, "InvalidInputException", "%s", asFailure(err).message)
	}
	if n := len(request.Findings); n < 1 || n > maxSecurityBatch {
		return nil, fail(http.StatusBadRequest, "InvalidInputException", "%d findings, must be 1 to %d", n, maxSecurityBatch)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.securityDisabled {
		return nil, fail(http.StatusForbidden, "InvalidAccessException", "Account %s is not subscribed to AWS Security Hub", s.account)
	}
	reply := &securityReply{FailedFindings: []securityFailure{}}
	for _, raw := range request.Findings {
		var f SecurityFinding
		err := decodeJSON(strings.NewReader(string(raw)), &f)
		if err != nil {
			s.unknown = append(s.unknown, "securityhub BatchImportFindings: "+asFailure(err).message)
		} else {
			err = s.checkFinding(f, len(raw))
		}
		if err != nil {
			reply.FailedCount++
			reply.FailedFindings = append(reply.FailedFindings, securityFailure{f.ID, "InvalidInput", asFailure(err).message})
			continue
		}
		reply.SuccessCount++
		if s.security == nil {
			s.security = map[string]SecurityFinding{}
		}
		// One that is not newer than what is there changes nothing.
		if before, ok := s.security[f.ID]; !ok || f.UpdatedAt > before.UpdatedAt {
			s.security[f.ID] = f
		}
	}
	return reply, nil
}

// securityProduct is the product under which an account imports findings of
// its own.
func (s *Server) securityProduct() string {
	return fmt.Sprintf("arn:aws:securityhub:%s:%s:product/%s/default", s.region, s.account, s.account)
}

var securityType = regexp.MustCompile(`^(Software and Configuration Checks|TTPs|Effects|Unusual Behaviors|Sensitive Data Identifications)(/[^/]+){0,2}$`)

// checkFinding applies the format's rules to one finding.
func (s *Server) checkFinding(f SecurityFinding, size int) error {
	var faults []string
	fault := func(bad bool, what string) {
		if bad {
			faults = append(faults, what)
		}
	}
	length := func(name, value string, most int) {
		n := utf8.RuneCountInString(value)
		fault(n < 1 || n > most, fmt.Sprintf("%s has %d characters, must have 1 to %d", name, n, most))
	}
	fault(size > maxSecurityFinding, fmt.Sprintf("the finding has %d bytes, must have at most %d", size, maxSecurityFinding))
	fault(f.SchemaVersion != "2018-10-08", "SchemaVersion")
	fault(f.ProductArn != s.securityProduct(), "ProductArn")
	fault(f.AwsAccountID != s.account, "AwsAccountId")
	length("Id", f.ID, 512)
	length("GeneratorId", f.GeneratorID, 512)
	length("Title", f.Title, 256)
	length("Description", f.Description, 1024)
	if text := f.Remediation.Recommendation.Text; text != "" {
		length("Remediation.Recommendation.Text", text, 512)
	}
	for name, value := range map[string]string{"CreatedAt": f.CreatedAt, "UpdatedAt": f.UpdatedAt, "FirstObservedAt": f.FirstObservedAt, "LastObservedAt": f.LastObservedAt} {
		_, err := time.Parse(time.RFC3339Nano, value)
		fault(err != nil && (value != "" || name == "CreatedAt" || name == "UpdatedAt"), name)
	}
	fault(f.CreatedAt > f.UpdatedAt, "CreatedAt is after UpdatedAt")
	fault(!slices.Contains([]string{"INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL"}, f.FindingProviderFields.Severity.Label), "FindingProviderFields.Severity.Label")
	fault(len(f.FindingProviderFields.Types) > 50, "FindingProviderFields.Types")
	for _, kind := range f.FindingProviderFields.Types {
		fault(!securityType.MatchString(kind), "FindingProviderFields.Types: "+kind)
	}
	fault(f.RecordState != "ACTIVE" && f.RecordState != "ARCHIVED", "RecordState")
	fault(len(f.Resources) < 1 || len(f.Resources) > 32, "Resources")
	for _, resource := range f.Resources {
		length("Resources.Type", resource.Type, 256)
		length("Resources.Id", resource.ID, 512)
		checkFields("Resources.Details.Other", resource.Details.Other, 50, fault)
	}
	checkFields("ProductFields", f.ProductFields, 50, fault)
	if len(faults) > 0 {
		return fail(http.StatusBadRequest, "InvalidInput", "Invalid parameter value: %s", strings.Join(faults, "; "))
	}
	return nil
}

func checkFields(name string, fields map[string]string, most int, fault func(bool, string)) {
	fault(len(fields) > most, fmt.Sprintf("%s has %d entries, must have at most %d", name, len(fields), most))
	for k, v := range fields {
		fault(k == "" || utf8.RuneCountInString(k) > 128, name+": the length of key "+k)
		fault(v == "" || utf8.RuneCountInString(v) > 1024, name+": the length of the value of "+k)
	}
}

// writeRESTFailure is the shape of errors of services that name operations by
// path.
func writeRESTFailure(w http.ResponseWriter, f *failure) {
	body, _ := json.Marshal(map[string]string{"Code": f.code, "Message": f.message}) // strings always marshal
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", f.code)
	w.WriteHeader(f.status)
	_, _ = w.Write(body) // the client went away
}
