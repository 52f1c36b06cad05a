package databricks

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/databricks/databricks-sdk-go/apierr"
	"golang.org/x/oauth2"
)

var (
	// ErrHost means that the host may not be talked to; nothing was sent.
	ErrHost = errors.New("host refused")
	// ErrNotFound means that the principal or the OAuth secret does not exist.
	ErrNotFound = errors.New("not found")
	// ErrDenied means that the rotator itself lacks a right or is not let in.
	ErrDenied = errors.New("the rotator was denied")
	// ErrRefused means that the token endpoint does not accept a credential.
	ErrRefused = errors.New("credential refused")
	// ErrRejected means that Databricks understood the request and will not
	// carry it out.
	ErrRejected = errors.New("request rejected")
	// ErrUncertain means that nobody knows whether the request was carried out.
	ErrUncertain = errors.New("outcome unknown")
	// ErrBusy means that Databricks asked to come back later; nothing was done.
	ErrBusy = errors.New("too many requests")
)

// Error is a failed call, reduced to what may be shown: no URL, no header, no
// body. Its kind is one of the sentinels of this package.
type Error struct {
	// Op is what was tried, for a reader: "create an OAuth secret".
	Op   string
	Host string
	// Status is the HTTP status, zero if there was no reply.
	Status int
	// Code and Message are Databricks' own, scrubbed.
	Code, Message string

	kind       error
	cause      error
	retryAfter time.Duration
	unsent     bool
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s at %s: %v", e.Op, e.Host, e.kind)
	if e.Status != 0 {
		s += fmt.Sprintf(" (%d", e.Status)
		if e.Code != "" {
			s += " " + e.Code
		}
		s += ")"
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// Unwrap gives the kind and, where the caller's own context ended the call,
// the context's error.
func (e *Error) Unwrap() []error {
	errs := []error{e.kind}
	if errors.Is(e.cause, context.Canceled) || errors.Is(e.cause, context.DeadlineExceeded) {
		errs = append(errs, e.cause)
	}
	if e.retryAfter > 0 {
		errs = append(errs, &backoff.RetryAfterError{Duration: e.retryAfter})
	}
	return errs
}

// retryable tells whether an idempotent call may be sent again.
func (e *Error) retryable() bool {
	return errors.Is(e.kind, ErrUncertain) || errors.Is(e.kind, ErrBusy)
}

// reduce turns whatever the SDK or the OAuth library returned into an Error.
func reduce(op string, host Host, err error) *Error {
	e := &Error{Op: op, Host: host.URL, kind: ErrUncertain}
	var (
		reduced  *Error
		api      *apierr.APIError
		token    *oauth2.RetrieveError
		silence  *noReplyError
		identity *identityError
		response *http.Response
	)
	switch {
	case errors.As(err, &reduced):
		return reduced
	case errors.As(err, &api):
		e.Status, e.Code, e.Message = api.StatusCode, api.ErrorCode, api.Message
		if api.ResponseWrapper != nil {
			response = api.ResponseWrapper.Response
		}
		e.kind = kindOf(e.Status)
	case errors.As(err, &token):
		response = token.Response
		if response != nil {
			e.Status = response.StatusCode
		}
		e.Code, e.Message = token.ErrorCode, token.ErrorDescription
		e.kind = tokenKind(e.Status, e.Code)
	case errors.As(err, &identity):
		e.kind, e.cause, e.Message = ErrDenied, identity.error, identity.Error()
	case errors.As(err, &silence):
		e.cause = silence.cause
		e.Message = "no reply: " + silence.cause.Error()
	default:
		// Decoders quote their input, and the input may be a secret.
		e.Message = "the reply could not be read"
		e.cause = err
	}
	if response != nil {
		if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
			e.retryAfter = min(time.Duration(seconds)*time.Second, maxRetryAfter)
		}
	}
	e.Code, e.Message = scrub(e.Code), scrub(e.Message)
	return e
}

func kindOf(status int) error {
	switch {
	case status == http.StatusNotFound:
		return ErrNotFound
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return ErrDenied
	case status == http.StatusTooManyRequests:
		return ErrBusy
	case status >= 400 && status < 500 && status != http.StatusRequestTimeout:
		return ErrRejected
	default:
		return ErrUncertain
	}
}

func tokenKind(status int, code string) error {
	switch {
	case code == "invalid_client" || code == "unauthorized_client" || code == "invalid_grant" || status == http.StatusUnauthorized:
		return ErrRefused
	default:
		return kindOf(status)
	}
}

// secretPattern matches what a credential of Databricks looks like: OAuth
// secrets, personal access tokens, refresh tokens and JSON web tokens.
var secretPattern = regexp.MustCompile(`\b(dose|dapi|dkea|doau|eyJ)[A-Za-z0-9._~+/-]{6,}`)

const maxMessage = 300

// scrub makes a message of the other side fit to be shown.
func scrub(s string) string {
	s = secretPattern.ReplaceAllString(s, "[secret]")
	if len(s) > maxMessage {
		s = s[:maxMessage] + "…"
	}
	return s
}

// noReplyError is a failed round trip. Its own text is bland on purpose: the
// SDK retries errors whose text looks like a lost connection.
type noReplyError struct{ cause error }

func (e *noReplyError) Error() string { return "no reply" }
func (e *noReplyError) Unwrap() error { return e.cause }

// noRetry is the transport below the SDK and the OAuth library. It marks the
// failures of the wire, so that nothing above sends a request twice.
type noRetry struct{ next http.RoundTripper }

func (t noRetry) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, &noReplyError{cause: wireError(err)}
	}
	return resp, nil
}

// wireError keeps a wire failure's cause but not the URL in its text.
func wireError(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		if errors.Is(next, context.DeadlineExceeded) {
			return context.DeadlineExceeded
		}
		err = next
	}
}
