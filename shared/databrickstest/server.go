package databrickstest

import (
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"databricks-credential-rotation/shared/faulttest"
)

// DefaultAccountID is the account of a server whose [Config] names none.
const DefaultAccountID = "6d1c2a4e-9f30-4b57-8f0e-2b7c51d8a930"

// MaxLifetime is the longest life of an OAuth secret, and the one that it gets
// when none is asked for: 730 days.
const MaxLifetime = 63072000 * time.Second

// Config describes a simulated account. The zero value is a usable one.
type Config struct {
	// AccountID is the account's UUID, [DefaultAccountID] when empty.
	AccountID string
	// Now is the clock by which secrets and tokens expire and rate limits
	// refill, [time.Now] when nil. It is called without the server's lock.
	Now func() time.Time
	// Seed determines every id, secret value and token: two servers with one
	// seed that see the same calls in the same order issue the same ones.
	Seed uint64
	// PageSize is the longest page of a list that is paged by token, 2 when
	// zero, so that every test meets paging.
	PageSize int
	// SCIMPageSize is the longest page of a SCIM list, 100 when zero.
	SCIMPageSize int
	// ChunkRows is the longest chunk of a statement's result, 3 rows when zero,
	// so that every test meets chunks.
	ChunkRows int
	// MaxSecrets is how many live secrets a service principal may have, 5 when
	// zero.
	MaxSecrets int
	// AccessTokenTTL is the life of an access token, one hour when zero.
	AccessTokenTTL time.Duration
}

// Server is one simulated Databricks account with its workspaces. It is safe
// for concurrent use.
type Server struct {
	config Config
	faults faulttest.Injector

	// mu guards everything below. It is never held while a caller's function
	// runs: the clock, a key set, an injector's hook.
	mu         sync.Mutex
	source     source
	behaviour  behaviour
	account    *site
	workspaces []*Workspace
	sites      map[string]*site // by host name, in memory and on loopback
	listening  bool

	principals     map[int64]*principal
	order, people  []*principal // in the order of creation, deleted ones too
	byApplication  map[string]*principal
	byUserName     map[string]*principal
	groups         map[int64]*group
	groupOrder     []*group
	rosters        int64 // counts changes of who is where
	apps           register[CustomApp]
	publishedApps  register[PublishedApp]
	policies       register[FederationPolicy] // the account's own
	issuers        map[string]func() jose.JSONWebKeySet
	securables     map[string]*register[Grant]
	evaluate       Statements
	polls          int
	tokens         map[string]*accessToken
	issued         []string
	unknown        []string
	calls, creates limiter
	throttled      int
}

// New returns an account without workspaces or service principals.
func New(cfg Config) *Server {
	if cfg.AccountID == "" {
		cfg.AccountID = DefaultAccountID
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.PageSize <= 0 {
		cfg.PageSize = 2
	}
	if cfg.SCIMPageSize <= 0 {
		cfg.SCIMPageSize = 100
	}
	if cfg.ChunkRows <= 0 {
		cfg.ChunkRows = 3
	}
	if cfg.MaxSecrets <= 0 {
		cfg.MaxSecrets = 5
	}
	if cfg.AccessTokenTTL <= 0 {
		cfg.AccessTokenTTL = time.Hour
	}
	s := &Server{
		config:        cfg,
		source:        newSource(cfg.Seed),
		sites:         map[string]*site{},
		principals:    map[int64]*principal{},
		byApplication: map[string]*principal{},
		byUserName:    map[string]*principal{},
		groups:        map[int64]*group{},
		securables:    map[string]*register[Grant]{},
		issuers:       map[string]func() jose.JSONWebKeySet{},
		polls:         2,
		tokens:        map[string]*accessToken{},
	}
	s.account = &site{server: s, name: accountHostName}
	s.sites[s.account.name] = s.account
	return s
}

// AccountID is the account's UUID, which account-level paths carry.
func (s *Server) AccountID() string { return s.config.AccountID }

// Faults is the injector that every request passes through. [faulttest.Call]
// has service "databricks" and one of the Op constants; its target is the
// service principal's numeric id, or the client id of a token request; its
// caller is the application id that the bearer token belongs to.
func (s *Server) Faults() *faulttest.Injector { return &s.faults }

// Issued returns every secret value and access token that the server ever
// gave out, whether or not it still works: what must not turn up in anyone's
// output.
func (s *Server) Issued() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.issued...)
}

// Unknown returns the requests to routes, or with methods, that the server
// does not have, in order of arrival, as method and path. A test that leaves
// any has met the simulator's edge, not Databricks.
func (s *Server) Unknown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.unknown...)
}
