package databrickstest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"databricks-credential-rotation/shared/faulttest"
)

// maxBody is far above any body that the API takes.
const maxBody = 1 << 20

// request is one call on its way through the server.
type request struct {
	*http.Request
	server *Server
	site   *site
	route  *route
	path   []string
	body   []byte
	form   url.Values // of a token request, nil when it does not parse

	now     time.Time
	stale   bool
	query   url.Values
	caller  *principal
	token   *accessToken
	subject *failure // what is wrong with a token exchange's subject token
	outcome outcome  // of a statement that was submitted
}

// ServeHTTP implements [http.Handler] for one host.
func (h *site) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	s := h.server
	// The body is read before anything else, also because net/http notices
	// only then that a client has gone, which ends a call that never answers.
	var body []byte
	if in.Body != http.NoBody {
		var err error
		if body, err = io.ReadAll(http.MaxBytesReader(w, in.Body, maxBody)); err != nil {
			write(w, apiDialect, reply{}, malformed("the body cannot be read: %v", err))
			return
		}
	}
	s.mu.Lock()
	down := h.down
	s.mu.Unlock()
	if down {
		panic(http.ErrAbortHandler)
	}
	r := &request{Request: in, server: s, site: h, body: body, path: strings.Split(in.URL.Path, "/")}
	table := accountRoutes
	if h.workspace != nil {
		table = workspaceRoutes
	}
	var allow []string
	r.route, allow = find(table, in.Method, r.path)
	if r.route == nil {
		h.serveUnknown(w, in, allow)
		return
	}
	call := faulttest.Call{
		Service: "databricks",
		Op:      r.route.op,
		Target:  h.target(r),
		Caller:  h.callerOf(in),
		Read:    r.route.read(),
	}
	if r.route.dialect == oauthDialect {
		r.form = parseForm(body)
		call.Target, _, _ = r.clientCredentials()
	}
	//nolint:contextcheck // the request carries its context
	s.faults.Serve(w, in, call, throttle, http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		r.Request = in
		ok, err := r.serve()
		if r.site.workspace != nil {
			// By it a client learns which workspace it talks to.
			w.Header().Set("X-Databricks-Org-Id", strconv.FormatInt(r.site.workspace.ID, 10))
		}
		write(w, r.route.dialect, ok, err)
	}))
}

// target is what a call is about: the first thing that its path names, and
// where it names none, the workspace.
func (h *site) target(r *request) string {
	if target := r.route.target(r.path); target != "" || h.workspace == nil {
		return target
	}
	return strconv.FormatInt(h.workspace.ID, 10)
}

// serve answers the request, or says why not.
func (r *request) serve() (reply, *failure) {
	s := r.server
	r.now = s.config.Now()
	r.stale = r.route.read() && faulttest.IsStale(r.Context())
	if err := r.checkShape(); err != nil {
		return reply{}, err
	}
	if r.route.prepare != nil {
		r.route.prepare(r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !r.route.free {
		if wait, ok := s.calls.take(r.now); !ok {
			s.throttled++
			return reply{}, throttled(wait)
		}
	}
	if r.route.create {
		if wait, ok := s.creates.take(r.now); !ok {
			s.throttled++
			return reply{}, throttled(wait)
		}
	}
	if account := r.param("account"); account != "" && account != s.config.AccountID {
		return reply{}, missing("account %s does not exist", account)
	}
	if !r.route.public {
		if err := r.authenticate(); err != nil {
			return reply{}, err
		}
	}
	return r.route.serve(r)
}

func (r *request) param(name string) string { return r.route.param(r.path, name) }

// checkShape refuses what the API does not define, which a lenient server
// would let a client get away with.
func (r *request) checkShape() *failure {
	var err error
	if r.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return malformed("the query cannot be parsed: %v", err)
	}
	for name, values := range r.query {
		if !slices.Contains(r.route.query, name) {
			return invalid("unknown query parameter %q", name)
		}
		if len(values) > 1 {
			return invalid("query parameter %q is given %d times", name, len(values))
		}
	}
	if len(r.body) > 0 && (r.method() == http.MethodGet || r.method() == http.MethodDelete) {
		return malformed("a %s takes no body", r.method())
	}
	if w := r.site.workspace; w != nil {
		id := r.Header.Get("X-Databricks-Workspace-Id")
		if id != "" && id != strconv.FormatInt(w.ID, 10) {
			return invalid("X-Databricks-Workspace-Id %s is not this workspace, %d", id, w.ID)
		}
	}
	return nil
}

func (r *request) method() string { return r.route.method }

// decode reads a JSON body into v and refuses fields that v does not have.
func (r *request) decode(v any) *failure {
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return invalid("unknown field %s", field)
		}
		if errors.Is(err, io.EOF) {
			return malformed("the body is empty")
		}
		return malformed("the body is not the JSON that is wanted: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return malformed("the body goes on after its JSON value")
	}
	return nil
}

// serveUnknown answers a request that no route takes, loudly.
func (h *site) serveUnknown(w http.ResponseWriter, in *http.Request, allow []string) {
	s := h.server
	op := in.Method + " " + in.URL.Path
	s.mu.Lock()
	s.unknown = append(s.unknown, op)
	s.mu.Unlock()
	call := faulttest.Call{Service: "databricks", Op: op, Caller: h.callerOf(in), Read: in.Method == http.MethodGet}
	s.faults.Serve(w, in, call, throttle, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if allow != nil {
			w.Header().Set("Allow", strings.Join(allow, ", "))
			write(w, apiDialect, reply{}, fail(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED",
				"%s on %s: only %s", in.Method, in.URL.Path, strings.Join(allow, ", ")))
			return
		}
		write(w, apiDialect, reply{}, fail(http.StatusNotImplemented, "NOT_IMPLEMENTED",
			"the simulator has no route %s on host %s", op, in.Host))
	}))
}

// throttle is what an injected throttle looks like: just as a real one.
func throttle(w http.ResponseWriter, retryAfter time.Duration) {
	write(w, apiDialect, reply{}, throttled(retryAfter))
}
