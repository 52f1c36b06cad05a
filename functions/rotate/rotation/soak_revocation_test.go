package rotation_test

import (
	"context"
	"errors"
	"strings"
	"time"

	"databricks-credential-rotation/functions/revoke/revocation"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/managedsecret"
)

// revoke is a responder at work, in a process of its own, at the same time as
// whatever else is going on.
func (s *stage) revoke(p *process, m *estatetest.Managed, what deedKind) error {
	client, ok := p.engine.Databricks.(*databricks.Client)
	if !ok {
		return errors.New("the process has no client")
	}
	client.Patience = 6 * time.Second
	revoker := &revocation.Revoker{
		Store: p.engine.Store, Databricks: client, Engine: p.engine, Allowed: p.engine.Allowed, Trail: p.engine.Trail, Log: p.engine.Log,
		Rotator: func(context.Context) (string, error) { return s.Rotator.ApplicationID, nil },
	}
	req := revocation.Request{
		Secret: m.Name, Reason: "soak",
		Mode: map[deedKind]revocation.Mode{
			replaceAll: revocation.Replace, revokeAll: revocation.Revoke, lockOut: revocation.Lockout, release: revocation.Release, releaseAll: revocation.Release,
		}[what],
		IncludeForeign: what == releaseAll,
	}
	values := s.Values(m)
	switch what {
	case replaceAll:
		s.Releasing(m)
		s.Replacing(m)
	case release, releaseAll:
		s.Releasing(m)
	default:
		s.Revoking(m)
	}
	reply, err := revoker.Revoke(p.Ctx, req)
	if err == nil && len(reply.Failures) > 0 {
		err = errors.New(reply.Text())
	}
	if err == nil && what != release && what != releaseAll {
		s.Killed(m, what != replaceAll, values...)
	}
	return err
}

// releaseAll ends what revocations have left, once it is certain that sweeps
// have not undone it.
func (s *stage) releaseAll() (found []estatetest.Violation) {
	for range 2 {
		time.Sleep(31 * time.Minute)
		_ = s.inProcess(func(p *process) error { return p.sweep(true) })
	}
	for _, m := range s.Managed() {
		if _, held := s.AWS.Tags(m.Name)[managedsecret.HoldKey]; !held {
			s.Releasing(m) // the hold was never set, or a replacement has ended it
			continue
		}
		found = append(found, s.Undone(m)...)
		err := s.inProcess(func(p *process) error { return s.revoke(p, m, release) })
		if err != nil && strings.Contains(err.Error(), "would be alive again") {
			// Nor may a person switch the principal on before that is gone.
			s.MayGo(m)
			err = s.inProcess(func(p *process) error { return s.revoke(p, m, releaseAll) })
		}
		if err != nil {
			// People have switched the principal off, or left it no room.
			s.SetActive(m, true)
			if s.inProcess(func(p *process) error { return s.revoke(p, m, release) }) == nil {
				continue
			}
			// What somebody stored by hand would be alive again.
			s.MayGo(m)
			_ = s.inProcess(func(p *process) error { return s.revoke(p, m, releaseAll) })
		}
	}
	return found
}
