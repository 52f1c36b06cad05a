package databrickstest

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"
)

// failure is an error reply; the route's dialect gives it its shape.
type failure struct {
	status  int
	code    string // error_code, or OAuth's error
	message string
	scim    string // scimType, which few SCIM errors have
	wait    time.Duration
}

func (f *failure) Error() string { return fmt.Sprintf("%d %s: %s", f.status, f.code, f.message) }

func fail(status int, code, format string, args ...any) *failure {
	return &failure{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

func malformed(format string, args ...any) *failure {
	return fail(http.StatusBadRequest, "MALFORMED_REQUEST", format, args...)
}

func invalid(format string, args ...any) *failure {
	return fail(http.StatusBadRequest, "INVALID_PARAMETER_VALUE", format, args...)
}

func denied(format string, args ...any) *failure {
	return fail(http.StatusForbidden, "PERMISSION_DENIED", format, args...)
}

func missing(format string, args ...any) *failure {
	return fail(http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", format, args...)
}

func unauthenticated(format string, args ...any) *failure {
	return fail(http.StatusUnauthorized, "UNAUTHENTICATED", format, args...)
}

func throttled(wait time.Duration) *failure {
	f := fail(http.StatusTooManyRequests, "REQUEST_LIMIT_EXCEEDED", "too many requests: the limit of requests per second is reached")
	f.wait = wait
	return f
}

// dialect is the shape of a route's error bodies.
type dialect int

const (
	apiDialect dialect = iota
	scimDialect
	oauthDialect
)

const scimErrorSchema = "urn:ietf:params:scim:api:messages:2.0:Error"

func (d dialect) body(f *failure) any {
	// Throttling and unknown routes are answered before any API sees the
	// request, hence in one shape for all.
	if f.status == http.StatusTooManyRequests || f.status == http.StatusNotImplemented {
		d = apiDialect
	}
	switch d {
	case scimDialect:
		return struct {
			Schemas []string `json:"schemas"`
			Detail  string   `json:"detail"`
			Status  string   `json:"status"`
			Type    string   `json:"scimType,omitempty"`
		}{[]string{scimErrorSchema}, f.message, strconv.Itoa(f.status), f.scim}
	case oauthDialect:
		return struct {
			Error       string `json:"error"`
			Description string `json:"error_description"`
		}{f.code, f.message}
	default:
		return struct {
			Code    string `json:"error_code"`
			Message string `json:"message"`
			Details []any  `json:"details"`
		}{f.code, f.message, []any{}}
	}
}

// reply is a success; a nil body is sent as nothing at all.
type reply struct {
	status int
	body   any
}

func write(w http.ResponseWriter, d dialect, ok reply, err *failure) {
	if err != nil {
		ok = reply{err.status, d.body(err)}
		if err.wait > 0 {
			seconds := int64(math.Ceil(err.wait.Seconds()))
			w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
		}
		if err.status == http.StatusUnauthorized && d == oauthDialect {
			w.Header().Set("WWW-Authenticate", "Basic")
		}
	}
	if ok.body == nil {
		w.WriteHeader(ok.status)
		return
	}
	body, e := json.Marshal(ok.body)
	if e != nil {
		// Every body is a struct of this package that encodes.
		http.Error(w, e.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if d == oauthDialect {
		w.Header().Set("Cache-Control", "no-store")
	}
	w.WriteHeader(ok.status)
	_, _ = w.Write(body)
}
