package lambdahost

import (
	"fmt"
	"io"
	"net/http"
	"sync"
)

const apiVersion = "/2018-06-01"

// runtimeAPI serves the Lambda Runtime API, version 2018-06-01, to one process.
func (i *instance) runtimeAPI(arn string) http.Handler {
	api := &runtimeAPI{instance: i, arn: arn}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+apiVersion+"/runtime/invocation/next", api.next)
	mux.HandleFunc("POST "+apiVersion+"/runtime/invocation/{id}/response", api.response)
	mux.HandleFunc("POST "+apiVersion+"/runtime/invocation/{id}/error", api.failure)
	mux.HandleFunc("POST "+apiVersion+"/runtime/init/error", api.initFailure)
	return mux
}

type runtimeAPI struct {
	instance *instance
	arn      string

	mu sync.Mutex
	// current is the id of the event in hand, empty when it is answered.
	current string
}

func (a *runtimeAPI) next(w http.ResponseWriter, r *http.Request) {
	a.instance.moments.polled()
	select {
	case a.instance.idle <- struct{}{}:
	case <-r.Context().Done():
		return
	}
	select {
	case event := <-a.instance.next:
		a.mu.Lock()
		a.current = event.id
		a.mu.Unlock()
		header := w.Header()
		header.Set("Content-Type", "application/json")
		header.Set("Lambda-Runtime-Aws-Request-Id", event.id)
		header.Set("Lambda-Runtime-Deadline-Ms", milliseconds(event.deadline))
		header.Set("Lambda-Runtime-Invoked-Function-Arn", a.arn)
		header.Set("Lambda-Runtime-Trace-Id", traceID(event))
		// A process that died meanwhile is seen by its exit.
		_, _ = w.Write(event.payload)
	case <-r.Context().Done():
	}
}

func (a *runtimeAPI) response(w http.ResponseWriter, r *http.Request) {
	body, ok := a.answer(w, r)
	if !ok {
		return
	}
	if len(body) > maxPayload {
		a.instance.outcome <- outcome{failure: &FunctionError{
			Type:    ResponseTooLarge,
			Message: fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", maxPayload),
		}}
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge")
		return
	}
	a.instance.outcome <- outcome{reply: body}
	w.WriteHeader(http.StatusAccepted)
}

func (a *runtimeAPI) failure(w http.ResponseWriter, r *http.Request) {
	body, ok := a.answer(w, r)
	if !ok {
		return
	}
	a.instance.outcome <- outcome{failure: parseFailure(body)}
	w.WriteHeader(http.StatusAccepted)
}

// answer reads the body of a reply to the event in hand and marks the event
// answered, so that the one place of the outcome channel is never taken twice.
// A body over the limit is read no further than one byte past it.
func (a *runtimeAPI) answer(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPayload+1))
	if err != nil {
		refuse(w, http.StatusBadRequest, "InvalidRequestBody")
		return nil, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current == "" || a.current != r.PathValue("id") {
		refuse(w, http.StatusBadRequest, "InvalidRequestID")
		return nil, false
	}
	a.current = ""
	a.instance.moments.replied()
	return body, true
}

func (a *runtimeAPI) initFailure(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPayload))
	if err != nil {
		refuse(w, http.StatusBadRequest, "InvalidRequestBody")
		return
	}
	select {
	case a.instance.initFailure <- parseFailure(body):
		w.WriteHeader(http.StatusAccepted)
	default:
		refuse(w, http.StatusForbidden, "InvalidStateTransition")
	}
}

func refuse(w http.ResponseWriter, status int, errorType string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The process may be gone; its exit says so.
	_, _ = fmt.Fprintf(w, `{"errorType":%q,"errorMessage":%q}`, errorType, http.StatusText(status))
}

// traceID is a well-formed X-Ray header that asks for no sampling.
func traceID(event delivery) string {
	hex := make([]byte, 0, 32)
	for _, c := range []byte(event.id) {
		if c != '-' {
			hex = append(hex, c)
		}
	}
	return fmt.Sprintf("Root=1-%s-%s;Parent=%s;Sampled=0", hex[:8], hex[8:], hex[:16])
}
