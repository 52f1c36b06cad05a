package awstest

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"databricks-credential-rotation/shared/faulttest"
)

// form is a request of the Query protocol. What an operation does not take is
// left over, and refused.
type form struct {
	values url.Values
	taken  map[string]bool
}

func (f *form) take(name string) string {
	f.taken[name] = true
	return f.values.Get(name)
}

// list takes name.member.1, name.member.2 and so on. An empty list is sent as
// the bare name.
func (f *form) list(name string) []string {
	if f.values.Get(name) == "" {
		f.taken[name] = true
	}
	var values []string
	for i := 1; ; i++ {
		key := name + ".member." + strconv.Itoa(i)
		if !f.values.Has(key) {
			return values
		}
		values = append(values, f.take(key))
	}
}

// leftover names the parameters that nobody took.
func (f *form) leftover() []string {
	var names []string
	for name := range f.values {
		if !f.taken[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// queryOperation has a request checked before it is performed, since the
// check tells the injector and the authorizer what it is about.
type queryOperation struct {
	service string
	xmlns   string
	read    bool
	// prepare decodes the request and returns what to do, under the lock.
	prepare func(s *Server, f *form) (queryAction, error)
}

type queryAction struct {
	target  string // for faults
	access  Access // resource and conditions for the authorizer
	key     keyUse
	perform func(c queryCall) ([]element, error)
}

type queryCall struct {
	caller string
	now    time.Time
}

const (
	stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"
	snsNamespace = "http://sns.amazonaws.com/doc/2010-03-31/"
)

// queryOperations are told apart by version and action, which is how the
// services that speak this protocol differ on one endpoint.
var queryOperations = map[string]queryOperation{
	"2011-06-15 GetCallerIdentity":   {"sts", stsNamespace, true, prepareGetCallerIdentity},
	"2011-06-15 GetWebIdentityToken": {"sts", stsNamespace, true, prepareGetWebIdentityToken},
	"2010-03-31 CreateTopic":         {"sns", snsNamespace, false, prepareCreateTopic},
	"2010-03-31 ListTopics":          {"sns", snsNamespace, true, prepareListTopics},
	"2010-03-31 Publish":             {"sns", snsNamespace, false, preparePublish},
	"2010-03-31 Subscribe":           {"sns", snsNamespace, false, prepareSubscribe},
}

func (s *Server) serveQuery(w http.ResponseWriter, r *http.Request) {
	call := faulttest.Call{Service: "query"}
	caller, known := s.caller(r)
	call.Caller = caller
	refuse := func(err error) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { writeXMLFailure(w, asFailure(err)) }
	}
	throttle := func(w http.ResponseWriter, _ time.Duration) {
		writeXMLFailure(w, fail(http.StatusBadRequest, "Throttling", "Rate exceeded"))
	}

	r.Body = http.MaxBytesReader(w, r.Body, 8<<20)
	if err := r.ParseForm(); err != nil {
		s.faults.Serve(w, r, call, throttle, refuse(fail(http.StatusBadRequest, "MalformedQueryString", "%v", err)))
		return
	}
	f := &form{values: r.PostForm, taken: map[string]bool{}}
	op := f.take("Action")
	operation, ok := queryOperations[f.take("Version")+" "+op]
	if !ok {
		s.noteUnknown("query %s %s", f.take("Version"), op)
		call.Op = op
		s.faults.Serve(w, r, call, throttle, refuse(fail(http.StatusBadRequest, "InvalidAction", "no such operation: %s", op)))
		return
	}
	call.Service, call.Op, call.Read = operation.service, op, operation.read
	action, err := operation.prepare(s, f)
	if left := f.leftover(); len(left) > 0 {
		s.noteUnknown("%s %s: %s", operation.service, op, strings.Join(left, ", "))
		err = fail(http.StatusBadRequest, "ValidationError", "unknown parameters: %s", strings.Join(left, ", "))
	}
	call.Target = action.target
	if !known {
		err = fail(http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	if err != nil {
		s.faults.Serve(w, r, call, throttle, refuse(err))
		return
	}
	s.faults.Serve(w, r, call, throttle, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		access := action.access
		access.Caller, access.Action = caller, operation.service+":"+op
		if err := s.authorized(r.Context(), access); err != nil {
			writeXMLFailure(w, fail(http.StatusForbidden, map[string]string{"sts": "AccessDenied", "sns": "AuthorizationError"}[operation.service], "%s", asFailure(err).message))
			return
		}
		if err := s.useKey(r.Context(), caller, action.key); err != nil {
			writeXMLFailure(w, fail(http.StatusBadRequest, "KMSAccessDenied", "%s", asFailure(err).message))
			return
		}
		result, err := action.perform(queryCall{caller, s.now()})
		if err != nil {
			writeXMLFailure(w, asFailure(err))
			return
		}
		writeXML(w, op, operation.xmlns, result)
	}))
}

// element is one element of an XML reply: text or children.
type element struct {
	name     string
	text     string
	children []element
}

func (e element) write(b *bytes.Buffer) {
	b.WriteString("<" + e.name + ">")
	_ = xml.EscapeText(b, []byte(e.text)) // a buffer takes everything
	for _, child := range e.children {
		child.write(b)
	}
	// An attribute is no part of the closing tag.
	name, _, _ := strings.Cut(e.name, " ")
	b.WriteString("</" + name + ">")
}

// requestID is the same for every reply: nothing here is traced by it.
const requestID = "00000000-0000-0000-0000-000000000000"

func writeXML(w http.ResponseWriter, op, xmlns string, result []element) {
	writeElement(w, http.StatusOK, element{
		name: op + `Response xmlns="` + xmlns + `"`,
		children: []element{
			{name: op + "Result", children: result},
			{name: "ResponseMetadata", children: []element{{name: "RequestId", text: requestID}}},
		},
	})
}

func writeXMLFailure(w http.ResponseWriter, f *failure) {
	side := "Sender"
	if f.status >= http.StatusInternalServerError {
		side = "Receiver"
	}
	writeElement(w, f.status, element{name: "ErrorResponse", children: []element{
		{name: "Error", children: []element{
			{name: "Type", text: side}, {name: "Code", text: f.code}, {name: "Message", text: f.message},
		}},
		{name: "RequestId", text: requestID},
	}})
}

func writeElement(w http.ResponseWriter, status int, e element) {
	var body bytes.Buffer
	e.write(&body)
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the client went away
}
