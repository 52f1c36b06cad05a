package databricks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/databricks/databricks-sdk-go/apierr"
	"golang.org/x/oauth2"

	"databricks-credential-rotation/shared/pattern"
	"databricks-credential-rotation/shared/secret"
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

// Unwrap gives the kind and, where a cancellation or a deadline ended the call,
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
		redirect *redirectError
		response *http.Response
	)
	switch {
	case errors.As(err, &reduced):
		return reduced
	case errors.As(err, &api):
		e.Status, e.Code, e.Message = api.StatusCode, api.ErrorCode, api.Message
		if e.Code == wholeBody {
			e.Code, e.Message = "", ""
		}
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
	case errors.As(err, &redirect):
		e.kind, e.Status, e.Message = ErrRejected, redirect.status, redirect.Error()
	case errors.As(err, &silence):
		e.cause = silence.cause
		e.Message = "no reply: " + silence.cause.Error()
	default:
		// Decoders quote their input, and the input may be a secret.
		e.Message = unreadable
		e.cause = err
	}
	if response != nil {
		e.retryAfter = announced(response.Header.Get("Retry-After"))
	}
	hide := credentialsIn(response)
	e.Code, e.Message = scrub(e.Code, hide...), scrub(e.Message, hide...)
	if !codePattern.MatchString(e.Code) {
		e.Code = ""
	}
	return e
}

// announced is how long a reply asks to be waited for, by Retry-After's seconds
// or its date; zero if it does not say.
func announced(retryAfter string) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.Atoi(retryAfter); err == nil {
		wait = time.Duration(max(0, min(seconds, int(maxRetryAfter/time.Second)))) * time.Second
	} else if at, err := http.ParseTime(retryAfter); err == nil {
		wait = time.Until(at)
	}
	return max(0, min(wait, maxRetryAfter))
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

const (
	unreadable = "the reply could not be read"
	endless    = "the pages do not end"
	// wholeBody is the SDK's code for an error in no known form. The message
	// is then the body, of a gateway perhaps, and no message to anybody.
	wholeBody = "UNKNOWN"
)

// codePattern is what an error's code looks like. The SDK makes text of
// whatever stands in its place.
var codePattern = pattern.New(`^[A-Za-z0-9_.-]{1,64}$`)

// secretPattern matches what a credential of Databricks looks like, wherever
// in a word it begins: OAuth secrets, personal access tokens, refresh tokens
// and JSON web tokens.
var secretPattern = pattern.New(`(dose|dapi|dkea|doau|eyJ)[A-Za-z0-9._~+/-]{6,}`)

// valuePattern matches a credential's whole value, and no word of a name: what
// somebody pasted into a comment.
var valuePattern = pattern.New(`(dose|dapi|dkea|doau)[0-9a-f]{16,}|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_.-]{10,}`)

// redact makes what people typed fit to be kept: comments and descriptions
// have been seen to hold the credential that they are about.
func redact(s string) string { return valuePattern.ReplaceAllString(s, secret.Placeholder) }

const maxMessage = 300

// scrub makes a message of the other side fit to be shown: without what looks
// like a credential, and without those that it is told to hide.
func scrub(s string, hide ...string) string {
	for _, credential := range hide {
		s = strings.ReplaceAll(s, credential, secret.Placeholder)
	}
	s = secretPattern.ReplaceAllString(s, secret.Placeholder)
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + "…"
	}
	return s
}

// credentialsIn returns what the request behind a reply carried to
// authenticate itself, in each form in which a server could repeat it.
func credentialsIn(reply *http.Response) []string {
	if reply == nil || reply.Request == nil {
		return nil
	}
	r := reply.Request
	_, header, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	found := []string{header}
	if _, password, ok := r.BasicAuth(); ok {
		plain, _ := url.QueryUnescape(password)
		found = append(found, password, plain)
	}
	if r.GetBody != nil && r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
		if body, err := r.GetBody(); err == nil {
			text, _ := io.ReadAll(body)
			form, _ := url.ParseQuery(string(text))
			for _, field := range []string{"subject_token", "client_secret"} {
				found = append(found, form.Get(field), url.QueryEscape(form.Get(field)))
			}
		}
	}
	return slices.DeleteFunc(found, func(s string) bool { return s == "" })
}

// noReplyError is a failed round trip. Its own text is bland on purpose: the
// SDK retries errors whose text looks like a lost connection.
type noReplyError struct{ cause error }

func (e *noReplyError) Error() string { return "no reply" }
func (e *noReplyError) Unwrap() error { return e.cause }

// redirectError is a reply that points elsewhere.
type redirectError struct{ status int }

func (e *redirectError) Error() string {
	return "it redirects to another address, which the rotator does not follow"
}

// wire is the transport below the SDK and the OAuth library. It marks failed
// round trips, so that nothing above sends a request twice, and follows no
// redirect: that would be a second request, to a host that nobody allowed.
type wire struct{ next http.RoundTripper }

func (t wire) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, &noReplyError{cause: wireError(err)}
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		_ = resp.Body.Close()
		return nil, &redirectError{resp.StatusCode}
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
