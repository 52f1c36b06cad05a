package databrickstest

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"databricks-credential-rotation/shared/faulttest"
)

const accountHostName = "accounts.cloud.databricks.com"

// Workspace is one workspace of the account.
type Workspace struct {
	ID   int64
	Name string
	site *site

	// Below here under the server's lock.
	tokens     register[token]
	conf       map[string]string
	objects    map[string][]Access
	statements []*statement
	status     string

	created time.Time
}

// Host is the workspace's URL without a path: an https one in memory, a
// loopback one while the server listens.
func (w *Workspace) Host() string { return w.site.url() }

// AddWorkspace adds an empty workspace. It panics when the server listens and
// the machine has no port left for it: the workspace's name in memory could
// resolve to a stranger's host.
func (s *Server) AddWorkspace(name string) *Workspace {
	created := s.config.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &Workspace{ID: s.source.id(), Name: name, status: "RUNNING", created: created}
	w.site = &site{
		server:    s,
		workspace: w,
		name:      "dbc-" + s.source.hex(4) + "-" + s.source.hex(2) + ".cloud.databricks.com",
	}
	s.workspaces = append(s.workspaces, w)
	s.sites[w.site.name] = w.site
	if s.listening {
		if err := w.site.listen(); err != nil {
			panic(err)
		}
	}
	return w
}

// AccountHost is the account console's URL without a path.
func (s *Server) AccountHost() string { return s.account.url() }

// Transport serves requests in memory, in the caller's goroutine, by host
// name. It knows the loopback names as well while the server listens.
func (s *Server) Transport() http.RoundTripper {
	return faulttest.Transport{Route: func(host string) http.Handler {
		s.mu.Lock()
		defer s.mu.Unlock()
		if h, ok := s.sites[host]; ok {
			return h
		}
		return nil
	}}
}

// Listen serves the account and each workspace, also those added later, on a
// loopback port of its own. From then on the hosts are plain http URLs. Note
// that Go's own transport repeats a GET when a connection that it reuses is
// closed under it, which is what a lost request or reply looks like.
func (s *Server) Listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listening {
		return nil
	}
	for _, h := range s.allSites() {
		if err := h.listen(); err != nil {
			s.stop()
			return err
		}
	}
	s.listening = true
	return nil
}

// Close ends listening and every open connection; the hosts are the ones in
// memory again and the state stays. It may be called at any time.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
}

func (s *Server) stop() {
	for _, h := range s.allSites() {
		if h.http == nil {
			continue
		}
		_ = h.http.Close()
		delete(s.sites, h.address)
		h.http, h.address = nil, ""
	}
	s.listening = false
}

func (s *Server) allSites() []*site {
	all := []*site{s.account}
	for _, w := range s.workspaces {
		all = append(all, w.site)
	}
	return all
}

// site is one host: the account's, or a workspace's.
type site struct {
	server    *Server
	workspace *Workspace // nil on the account's
	name      string
	address   string // on loopback, while listening
	roster    *roster
	down      bool
	http      *http.Server
}

func (h *site) url() string {
	h.server.mu.Lock()
	defer h.server.mu.Unlock()
	return h.urlLocked()
}

func (h *site) urlLocked() string {
	if h.address != "" {
		return "http://" + h.address
	}
	return "https://" + h.name
}

func (h *site) listen() error {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for %s: %w", h.name, err)
	}
	h.address = l.Addr().String()
	h.server.sites[h.address] = h
	h.http = &http.Server{
		Handler:           h,
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	server := h.http
	go func() { _ = server.Serve(l) }() // until it is closed, which is its only error
	return nil
}
