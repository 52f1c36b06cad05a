package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"databricks-credential-rotation/infra/sandbox/lambdahost"
)

// lambdaAPI is the beginning of every path of Lambda's API.
const lambdaAPI = "/2015-03-31/"

// maxEvent is Lambda's limit for a synchronous event, in bytes.
const maxEvent = 6 << 20

// front is one endpoint for clients outside: Lambda's Invoke goes to the
// functions, everything else to the AWS emulator.
type front struct {
	url    string
	server *http.Server
}

func (s *Stage) serve(ctx context.Context) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start the AWS endpoint: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+lambdaAPI+"functions/{function}/invocations", s.serveInvoke)
	mux.HandleFunc(lambdaAPI, func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotImplemented, "ServiceException", "the sandbox has no Lambda operation but Invoke")
	})
	mux.Handle("/", s.AWS)
	s.front = &front{
		url:    "http://" + listener.Addr().String(),
		server: &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second},
	}
	go func() { _ = s.front.server.Serve(listener) }() // until it is closed, which is its only error
	return nil
}

func (f *front) close() { _ = f.server.Close() } // nothing to save

// Endpoint is the URL of all AWS services, Lambda's Invoke included.
func (s *Stage) Endpoint() string { return s.front.url }

// Env is the environment of a client outside that calls [Stage.Endpoint] as a
// role, in the form of [os.Environ].
func (s *Stage) Env(role string) []string {
	env := s.AWS.Env(role)
	for i, entry := range env {
		if strings.HasPrefix(entry, "AWS_ENDPOINT_URL=") {
			env[i] = "AWS_ENDPOINT_URL=" + s.Endpoint()
		}
	}
	return env
}

// serveInvoke is Lambda's Invoke. A function's failure is a success of the
// service, told by a header.
func (s *Stage) serveInvoke(w http.ResponseWriter, r *http.Request) {
	name, err := functionName(r.PathValue("function"))
	if err != nil || s.host(name) == nil {
		refuse(w, http.StatusNotFound, "ResourceNotFoundException", "Function not found: "+r.PathValue("function"))
		return
	}
	caller, known := s.AWS.Caller(r)
	if !known {
		refuse(w, http.StatusForbidden, "UnrecognizedClientException", "The security token included in the request is invalid.")
		return
	}
	if err := s.mayInvoke(r.Context(), caller, name); err != nil {
		refuse(w, http.StatusForbidden, "AccessDeniedException", "User: "+err.Error())
		return
	}
	event, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, "RequestTooLargeException", "the event cannot be read, or is over 6 MB")
		return
	}
	if len(event) == 0 {
		event = []byte("{}")
	}
	if !json.Valid(event) {
		refuse(w, http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json")
		return
	}
	w.Header().Set("X-Amz-Executed-Version", "$LATEST")
	switch r.Header.Get("X-Amz-Invocation-Type") {
	case "", "RequestResponse":
		s.respond(r.Context(), w, name, event)
	case "Event":
		// It outlives the request, as a queued event does.
		ctx := context.WithoutCancel(r.Context())
		go s.invokeLater(ctx, name, event)
		w.WriteHeader(http.StatusAccepted)
	case "DryRun":
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(w, http.StatusBadRequest, "InvalidParameterValueException", "InvocationType must be RequestResponse, Event or DryRun")
	}
}

func (s *Stage) respond(ctx context.Context, w http.ResponseWriter, name string, event []byte) {
	reply, err := s.Invoke(ctx, name, event)
	var failure *lambdahost.FunctionError
	switch {
	case errors.As(err, &failure):
	case err != nil:
		failure = &lambdahost.FunctionError{Type: "Sandbox.Timedout", Message: err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	if failure != nil {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
		reply, _ = json.Marshal(failure) // strings always marshal
	}
	_, _ = w.Write(reply) //nolint:gosec // JSON by its type, for a client that is no browser
}

// functionName takes a name, an ARN, or either with a qualifier.
func functionName(id string) (string, error) {
	id, err := url.PathUnescape(id)
	if err != nil {
		return "", fmt.Errorf("function name: %w", err)
	}
	if _, name, ok := strings.Cut(id, ":function:"); ok {
		id = name
	}
	name, _, _ := strings.Cut(id, ":")
	return name, nil
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", code)
	w.WriteHeader(status)
	body, _ := json.Marshal(map[string]string{"Type": "User", "Message": message}) // strings always marshal
	_, _ = w.Write(body)                                                           // the client went away
}
