// Package consumer is the applications: they read AWSCURRENT and authenticate
// with what they read, all the time, and count what goes wrong. They know
// nothing of the rotation, and share no code with it.
package consumer

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// Store is what applications call of Secrets Manager.
type Store interface {
	GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
}

// Config sets a group up.
type Config struct {
	Store Store
	// Pause is how long a reader rests between two authentications.
	Pause time.Duration
	// Cache is how long a caching reader keeps what it read.
	Cache time.Duration
	// OnFailure is told of each failure, from the reader's goroutine.
	OnFailure func(Failure)
}

// Failure is a read or an authentication that did not succeed.
type Failure struct {
	Secret string
	// Kind is the kind of reader: "direct" or "caching".
	Kind string
	// Age is how long ago the reader read the credential that it used; zero if
	// the read itself failed.
	Age time.Duration
	Err error
}

func (f Failure) String() string {
	if f.Age == 0 {
		return fmt.Sprintf("%s: a %s reader cannot read: %v", f.Secret, f.Kind, f.Err)
	}
	return fmt.Sprintf("%s: a %s reader is refused with what it read %v ago: %v", f.Secret, f.Kind, f.Age.Round(time.Millisecond), f.Err)
}

// Count is what a group has done so far.
type Count struct {
	// Secrets is how many secrets are read.
	Secrets int
	// Reads are reads of Secrets Manager, Authentications token requests to
	// Databricks, both with those that failed.
	Reads, Authentications, Failures int
}

// Group is any number of readers. It is safe for concurrent use.
type Group struct {
	config Config
	client *http.Client
	ctx    context.Context //nolint:containedctx // the lifetime of the readers, which outlive each call
	stop   context.CancelFunc

	running sync.WaitGroup
	// still is held for reading during each turn of a reader, and for writing
	// while nobody may move.
	still sync.RWMutex

	mu       sync.Mutex
	count    Count
	requests map[string]int
}

// New returns a group without readers, which end with ctx.
func New(ctx context.Context, cfg Config) *Group {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:errcheck // that is its documented type
	// Each reader keeps its own connection to the host that all of them use.
	transport.MaxIdleConnsPerHost = 256
	g := &Group{config: cfg, client: &http.Client{Transport: transport}, requests: map[string]int{}}
	g.ctx, g.stop = context.WithCancel(ctx)
	return g
}

// Add starts the readers of a secret: one that reads before each
// authentication, and one that caches.
func (g *Group) Add(secret string) {
	g.mu.Lock()
	g.count.Secrets++
	g.mu.Unlock()
	for _, r := range []*reader{
		{group: g, secret: secret, kind: "direct"},
		{group: g, secret: secret, kind: "caching", keep: g.config.Cache},
	} {
		g.running.Go(r.run)
	}
}

// Still runs f while no reader is in the middle of anything.
func (g *Group) Still(f func()) {
	g.still.Lock()
	defer g.still.Unlock()
	f()
}

// Count is what the readers have done so far.
func (g *Group) Count() Count {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count
}

// TokenRequests is how many token requests were sent so far, by client id.
func (g *Group) TokenRequests() map[string]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	requests := make(map[string]int, len(g.requests))
	for id, n := range g.requests {
		requests[id] = n
	}
	return requests
}

// Stop ends the readers and waits for them.
func (g *Group) Stop() {
	g.stop()
	g.running.Wait()
	g.client.CloseIdleConnections()
}
