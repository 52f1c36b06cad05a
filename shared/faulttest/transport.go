package faulttest

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
)

// Transport serves requests from handlers in memory, in the caller's own
// goroutine: no sockets, so a run is deterministic and fits a
// [testing/synctest] bubble. A handler that aborts looks to the caller like a
// closed connection.
type Transport struct {
	// Route finds the handler for a request's host; nil is a host that does
	// not exist.
	Route func(host string) http.Handler
}

// RoundTrip implements [http.RoundTripper].
func (t Transport) RoundTrip(r *http.Request) (reply *http.Response, err error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	handler := t.Route(r.URL.Host)
	if handler == nil {
		return nil, &hostError{r.URL.Host}
	}
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	in.Host = r.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	} else {
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, err
		}
		in.Body = io.NopCloser(bytes.NewReader(body))
	}
	rec := httptest.NewRecorder()
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if aborted, ok := p.(error); !ok || !errors.Is(aborted, http.ErrAbortHandler) {
			panic(p)
		}
		reply = nil
		if err = r.Context().Err(); err == nil {
			err = io.ErrUnexpectedEOF
		}
	}()
	handler.ServeHTTP(rec, in)
	reply = rec.Result()
	reply.Request = r
	return reply, nil
}

type hostError struct{ host string }

func (e *hostError) Error() string { return "no such host: " + e.host }
