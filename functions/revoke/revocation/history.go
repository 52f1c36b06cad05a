package revocation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/managedsecret"
)

// version is a version of a managed secret with its value read.
type version struct {
	id         string
	createdAt  time.Time
	credential credential.Credential
}

// managed is a managed secret with what is known of its past.
type managed struct {
	secret  managedsecret.Secret
	current version
	// versions are all that could be read, newest first; nil before [Revoker.remember].
	versions []version
}

// readers is how many calls to Secrets Manager are made at once. It bears
// thousands a second.
const readers = 24

// fleet reads AWSCURRENT of every managed secret. What could not be read is
// returned beside the rest.
func (r *Revoker) fleet(ctx context.Context) (all []*managed, unread []error, err error) {
	var arns []string
	secrets := map[string]managedsecret.Secret{}
	for s, err := range r.Store.List(ctx) {
		if err != nil {
			return nil, nil, err
		}
		if s.PrimaryRegion != "" || s.Deleted {
			continue
		}
		arns, secrets[s.ARN] = append(arns, s.ARN), s
	}
	versions, errs := r.Store.CurrentVersions(ctx, arns)
	for _, arn := range arns {
		err := errs[arn]
		if err == nil {
			var m *managed
			if m, err = r.parse(secrets[arn], versions[arn]); err == nil {
				all = append(all, m)
				continue
			}
		}
		unread = append(unread, fmt.Errorf("%s: %w", secrets[arn].Name, err))
	}
	return all, unread, nil
}

// read gets one managed secret by name or ARN. It reads again while a rotation
// at the same time makes the answers disagree.
func (r *Revoker) read(ctx context.Context, id string) (*managed, error) {
	for n := 0; ; n++ {
		m, err := r.readOnce(ctx, id)
		if n == 3 || !errors.Is(err, errDisagree) {
			return m, err
		}
		if err := sleep(ctx, 300*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func (r *Revoker) readOnce(ctx context.Context, id string) (*managed, error) {
	s, err := r.Store.Describe(ctx, id)
	if errors.Is(err, managedsecret.ErrNotFound) {
		return nil, fmt.Errorf("there is no secret %s in this account and region", id)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case !s.Managed:
		return nil, fmt.Errorf("secret %s is not managed: it lacks the tag %s = %s; name its service_principal, with include_foreign", s.Name, managedsecret.TagKey, managedsecret.TagValue)
	case s.Deleted:
		return nil, fmt.Errorf("secret %s is scheduled for deletion: restore it first, or name its service_principal, with include_foreign", s.Name)
	case s.PrimaryRegion != "":
		return nil, fmt.Errorf("secret %s is a replica: revoke it in %s", s.Name, s.PrimaryRegion)
	}
	holder := s.Holder(managedsecret.Current)
	if holder == "" {
		return nil, fmt.Errorf("secret %s has no %s version", s.Name, managedsecret.Current)
	}
	v, err := r.Store.Version(ctx, s.ARN, holder)
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", s.Name, err)
	}
	if !slices.Contains(v.Labels, managedsecret.Current) {
		return nil, fmt.Errorf("secret %s: %w", s.Name, errDisagree)
	}
	m, err := r.parse(s, v)
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", s.Name, err)
	}
	return m, nil
}

// errDisagree means that two answers are of different moments.
var errDisagree = errors.New("the answers of Secrets Manager disagree about which version is current; try again")

func (r *Revoker) parse(s managedsecret.Secret, v managedsecret.Version) (*managed, error) {
	c, err := credential.Parse(v.Value)
	if err != nil {
		return nil, fmt.Errorf("the value of version %s is malformed: %w", v.ID, err)
	}
	if err := r.Allowed.Check(c.Host); err != nil {
		return nil, fmt.Errorf("%s: %w", credential.KeyHost, err)
	}
	if s.BoundTo != "" && !strings.EqualFold(s.BoundTo, c.ClientID) {
		// Whoever can write a value must not have another principal revoked.
		return nil, fmt.Errorf("%s is %s, but the tag %s binds the secret to %s: correct the one that is wrong, or name the service_principal",
			credential.KeyClientID, c.ClientID, managedsecret.BindingKey, s.BoundTo)
	}
	return &managed{secret: s, current: version{v.ID, v.CreatedAt, c}}, nil
}

// remember reads every version of some managed secrets that was not read yet.
// The error names what could not be read; the rest is there.
func (r *Revoker) remember(ctx context.Context, secrets ...*managed) error {
	var (
		mu    sync.Mutex
		errs  []error
		slots = make(chan struct{}, readers)
		group sync.WaitGroup
	)
	inSlot := func(work func() error) {
		group.Go(func() {
			slots <- struct{}{}
			err := work()
			<-slots
			if err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	for _, m := range secrets {
		inSlot(func() error {
			listed, err := r.Store.Versions(ctx, m.secret.ARN)
			if err != nil {
				return fmt.Errorf("%s: %w", m.secret.Name, err)
			}
			known := map[string]version{m.current.id: m.current}
			for _, v := range m.versions {
				known[v.id] = v
			}
			found := make([]*version, len(listed))
			m.versions = nil
			var reading sync.WaitGroup
			for n, v := range listed {
				if k, ok := known[v.ID]; ok {
					found[n] = &k
					continue
				}
				reading.Add(1)
				inSlot(func() error {
					defer reading.Done()
					full, err := r.Store.Version(ctx, m.secret.ARN, v.ID)
					if errors.Is(err, managedsecret.ErrNotFound) {
						return nil // made without a value, or just dropped
					}
					if err != nil {
						return fmt.Errorf("%s: %w", m.secret.Name, err)
					}
					if c, err := credential.Parse(full.Value); err == nil {
						found[n] = &version{v.ID, v.CreatedAt, c}
					} // a value of some other kind records nothing
					return nil
				})
			}
			group.Go(func() {
				reading.Wait()
				for _, v := range found {
					if v != nil {
						m.versions = append(m.versions, *v)
					}
				}
			})
			return nil
		})
	}
	group.Wait()
	return errors.Join(errs...)
}
