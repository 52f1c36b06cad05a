package awstest

import (
	"errors"
	"fmt"
	"net/http"
)

// codeAccessDenied is how Secrets Manager and SQS call it; the query protocol
// and S3 have names of their own.
const codeAccessDenied = "AccessDeniedException"

// failure is an error reply; the protocol gives it its shape.
type failure struct {
	status  int
	code    string
	message string
}

func (f *failure) Error() string { return f.code + ": " + f.message }

func fail(status int, code, format string, args ...any) *failure {
	return &failure{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

// asFailure makes an error of any kind a reply.
func asFailure(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return fail(http.StatusInternalServerError, "InternalFailure", "%v", err)
}

func invalidParameter(format string, args ...any) error {
	return fail(http.StatusBadRequest, "InvalidParameterException", format, args...)
}

func invalidRequest(message string) error {
	return fail(http.StatusBadRequest, "InvalidRequestException", "%s", message)
}

func notFound(format string, args ...any) error {
	return fail(http.StatusBadRequest, "ResourceNotFoundException", format, args...)
}

func exists(format string, args ...any) error {
	return fail(http.StatusBadRequest, "ResourceExistsException", format, args...)
}

func validation(format string, args ...any) error {
	return fail(http.StatusBadRequest, "ValidationException", format, args...)
}

// unsupported refuses what AWS has and the emulator has not, so that nobody
// takes silence for success.
func unsupported(format string, args ...any) error {
	return fail(http.StatusBadRequest, "ValidationException", "the emulator does not support "+format, args...)
}
