package setup

import (
	"errors"
	"fmt"
	"net/http"

	"databricks-credential-rotation/shared/databricks"
)

// RightError is a right that whoever is logged in lacks.
type RightError struct {
	// To is what it would be for, Needs the right.
	To, Needs string
	// cause is Databricks' refusal, nil where it was not asked: there is
	// nothing to ask at this console.
	cause error
}

func (r *RightError) Error() string {
	s := fmt.Sprintf("you may not %s: it takes %s", r.To, r.Needs)
	var e *databricks.Error
	if errors.As(r.cause, &e) {
		s += fmt.Sprintf(" (Databricks: %d %s: %s)", e.Status, e.Code, e.Message)
	}
	return s
}

// Unwrap gives Databricks' refusal.
func (r *RightError) Unwrap() error { return r.cause }

// RequestError is something in what was asked for that does not fit what is there.
type RequestError struct{ why string }

func (w *RequestError) Error() string { return w.why }

func wrong(format string, args ...any) error { return &RequestError{fmt.Sprintf(format, args...)} }

const accountRight = "an account admin, logged in to the account's console"

// adminRight is what it takes to change who is in the console's directory.
func (s *seen) adminRight() string {
	if s.account {
		return accountRight
	}
	return "an admin of the workspace " + s.host
}

// managerRight is what it takes to say who manages a service principal.
func (s *seen) managerRight(p databricks.ServicePrincipal) string {
	if s.account {
		return accountRight
	}
	return fmt.Sprintf("an admin of the workspace %s who has the role service principal manager on %s, or an account admin", s.host, describe(p))
}

// right names the right that is missing where Databricks refused a call.
func right(err error, needs, to string) error {
	var e *databricks.Error
	if errors.As(err, &e) && e.Status == http.StatusForbidden {
		return &RightError{To: to, Needs: needs, cause: err}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", to, err)
	}
	return nil
}

func describe(p databricks.ServicePrincipal) string {
	if p.ApplicationID == "" {
		return "it"
	}
	return fmt.Sprintf("%q (%s)", p.DisplayName, p.ApplicationID)
}
