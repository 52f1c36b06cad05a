// Package awstest is an AWS account in memory: Secrets Manager, STS, SQS, SNS,
// S3 and Security Hub by their wire protocols, under the real SDKs, the AWS CLI
// and boto3.
//
// It is small and strict. Only what the product calls is there, and what is
// there refuses what AWS refuses: an operation or a request field that the
// server does not know is an error, kept in [Server.Unknown]. It serves one
// endpoint for all services, in memory by [Server.Transport] or on loopback
// after [Server.Listen].
//
// Time comes from [Config.Now] alone: the server never sleeps and starts
// nothing by itself, so a run with one seed and one sequence of calls gives
// one result. (Signing keys are the exception: see [Server.JWKS].)
//
// What it does not do: signatures are not verified, the access key id alone
// says who calls; policies are stored and not enforced, unless a decision is
// plugged in with [Server.SetAuthorizer]; nothing is replicated or encrypted,
// though the use of a customer-managed key is decided on.
package awstest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"databricks-credential-rotation/shared/faulttest"
)

const memoryHost = "aws.test"

// Config sets a [Server] up. The zero value is usable.
type Config struct {
	// AccountID defaults to 123456789012.
	AccountID string
	// Region defaults to eu-west-1.
	Region string
	// Now is the server's clock; nil is [time.Now]. It is read with
	// millisecond precision, which is what the wire carries, and must not
	// call the server.
	Now func() time.Time
	// Seed makes ids and the suffixes of ARNs.
	Seed uint64
	// MaxLag is the age from which a write is visible to every read, also to
	// one that is made stale. Zero lets a stale read miss the last write
	// however long ago it was.
	MaxLag time.Duration
}

// Server is one account in one region. It is safe for concurrent use.
type Server struct {
	account string
	region  string
	clock   func() time.Time
	maxLag  time.Duration
	faults  faulttest.Injector

	// mu guards everything below. It is never held while a hook, an
	// authorizer or a rotation function runs.
	mu         sync.Mutex
	random     *rand.Rand
	listener   net.Listener
	http       *http.Server
	identities map[string]string // access key id to role ARN
	authorizer Authorizer
	unknown    []string
	quotas     quotas

	secrets      secretStore
	rotations    rotationQueue
	identity     webIdentity
	queues       map[string]*queue // by name
	topics       map[string]*topic // by ARN
	bucketServer bucketServer

	security         map[string]SecurityFinding // by id
	securityDisabled bool
}

// New returns a server with nothing in it.
func New(cfg Config) *Server {
	s := &Server{
		account:    cfg.AccountID,
		region:     cfg.Region,
		clock:      cfg.Now,
		maxLag:     cfg.MaxLag,
		random:     rand.New(rand.NewPCG(cfg.Seed, 0x6177732e74657374)),
		identities: map[string]string{},
		queues:     map[string]*queue{},
		topics:     map[string]*topic{},
	}
	if s.account == "" {
		s.account = "123456789012"
	}
	if s.region == "" {
		s.region = "eu-west-1"
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	s.secrets.init()
	s.rotations.init()
	return s
}

// Faults is the injector that every request passes. Calls carry the service
// ("secretsmanager", "sts", "sqs", "sns", "s3", "securityhub"), the API's name of the
// operation, the role's ARN as Caller, and as Target the secret's name (also
// when the request named it by ARN), the queue's or topic's name, or
// bucket/key. A batch read of several secrets has no target.
func (s *Server) Faults() *faulttest.Injector { return &s.faults }

// Transport serves requests in memory, in the caller's goroutine.
func (s *Server) Transport() http.RoundTripper {
	return faulttest.Transport{Route: func(host string) http.Handler {
		if host == memoryHost || strings.HasSuffix(host, "."+memoryHost) {
			return s
		}
		return nil
	}}
}

// Listen serves on a free port of the loopback interface until [Server.Close].
func (s *Server) Listen() error {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the AWS emulator: %w", err)
	}
	srv := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	s.mu.Lock()
	s.listener, s.http = l, srv
	s.mu.Unlock()
	go func() { _ = srv.Serve(l) }() // ends with Close
	return nil
}

// Close stops listening and waits for rotations in the background. The server
// goes on in memory.
func (s *Server) Close() {
	s.mu.Lock()
	srv := s.http
	s.listener, s.http = nil, nil
	s.rotations.cancelAll() // under the lock, so that none starts after
	s.mu.Unlock()
	if srv != nil {
		_ = srv.Close() // nothing to save: the state is in memory
	}
	s.rotations.running.Wait()
}

// URL is the endpoint of all services.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return "https://" + memoryHost
	}
	return "http://" + s.listener.Addr().String()
}

// Config is ready for the SDK's NewFromConfig functions: region, endpoint,
// credentials of the role "test" and an HTTP client, which works in memory
// unless the server listens. The retryer is the SDK's default.
func (s *Server) Config() aws.Config {
	url := s.URL()
	client := &http.Client{}
	if url == "https://"+memoryHost {
		client.Transport = s.Transport()
	}
	return aws.Config{
		Region:       s.region,
		Credentials:  s.Role("test"),
		BaseEndpoint: &url,
		HTTPClient:   client,
	}
}

// Unknown lists the requests that the server did not understand, as
// "service Operation" or "service Operation: field". A test that finds it
// other than empty found a gap in the emulator or a mistake in the product.
func (s *Server) Unknown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.unknown...)
}

func (s *Server) noteUnknown(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unknown = append(s.unknown, fmt.Sprintf(format, args...))
}

// now is the clock at the precision of the wire.
func (s *Server) now() time.Time { return s.clock().Truncate(time.Millisecond) }

// ServeHTTP implements [http.Handler]: one endpoint for all services.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch target := r.Header.Get("X-Amz-Target"); {
	case strings.HasPrefix(target, "secretsmanager."):
		s.serveSecretsManager(w, r, strings.TrimPrefix(target, "secretsmanager."))
	case strings.HasPrefix(target, "AmazonSQS."):
		s.serveSQS(w, r, strings.TrimPrefix(target, "AmazonSQS."))
	case target != "":
		s.noteUnknown("%s", target)
		writeJSONFailure(w, jsonVersion11, fail(http.StatusBadRequest, "UnknownOperationException", "no such service: %s", target))
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		s.serveQuery(w, r)
	case isSecurityHub(r):
		s.serveSecurityHub(w, r)
	default:
		s.serveS3(w, r)
	}
}

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// letters draws n letters and digits. The caller holds mu.
func (s *Server) letters(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphanumeric[s.random.IntN(len(alphanumeric))]
	}
	return string(b)
}

// uuid draws a random UUID of version 4. The caller holds mu.
func (s *Server) uuid() string {
	hi := s.random.Uint64()&^0xf000 | 0x4000
	lo := s.random.Uint64()&^(3<<62) | 1<<63
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", hi>>32, hi>>16&0xffff, hi&0xffff, lo>>48, lo&0xffffffffffff)
}
