package awstest

import (
	"net/http"
	"time"
)

// quotas counts calls against the request rates of Secrets Manager.
type quotas struct {
	read, write, rotate, batch, list window
	// throttled counts refusals.
	throttled int
}

// window is a rate counted over whole seconds of the server's clock.
type window struct {
	perSecond int
	second    int64
	used      int
}

func (q *window) take(now time.Time) error {
	if q == nil || q.perSecond == 0 {
		return nil
	}
	if second := now.Unix(); second != q.second {
		q.second, q.used = second, 0
	}
	if q.used >= q.perSecond {
		return throttled()
	}
	q.used++
	return nil
}

func throttled() *failure {
	return fail(http.StatusBadRequest, "ThrottlingException", "Rate exceeded")
}

// WriteQuota allows PutSecretValue, UpdateSecret and UpdateSecretVersionStage
// together that many times in a second of the server's clock (AWS: 50), and
// answers ThrottlingException beyond. Zero, the default, lifts the quota.
func (s *Server) WriteQuota(perSecond int) { s.setQuota(&s.quotas.write, perSecond) }

// ReadQuota is [Server.WriteQuota] for DescribeSecret and GetSecretValue
// together (AWS: 10,000).
func (s *Server) ReadQuota(perSecond int) { s.setQuota(&s.quotas.read, perSecond) }

// RotateQuota is [Server.WriteQuota] for RotateSecret and CancelRotateSecret
// together (AWS: 50).
func (s *Server) RotateQuota(perSecond int) { s.setQuota(&s.quotas.rotate, perSecond) }

// ListQuota is [Server.WriteQuota] for ListSecrets (AWS: 100).
func (s *Server) ListQuota(perSecond int) { s.setQuota(&s.quotas.list, perSecond) }

// Throttled counts the requests that were over a quota so far.
func (s *Server) Throttled() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.quotas.throttled
}

// BatchQuota is [Server.WriteQuota] for BatchGetSecretValue (AWS: 100).
func (s *Server) BatchQuota(perSecond int) { s.setQuota(&s.quotas.batch, perSecond) }

func (s *Server) setQuota(q *window, perSecond int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*q = window{perSecond: perSecond}
}
