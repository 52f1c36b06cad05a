// Package ledger counts the calls that the rotate function makes, from the
// simulators' own records.
package ledger

import (
	"strings"

	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/faulttest"
)

// Book says whose calls to count.
type Book struct {
	Databricks, AWS *faulttest.Injector
	// Role is the ARN of the function's role, Rotator the application id of
	// the rotator's service principal.
	Role, Rotator string
	// Readers tells how many token requests applications have sent, by client
	// id. Databricks cannot tell them from the function's, so they are taken
	// off.
	Readers func() map[string]int
}

// Page is the time between two looks at the records. Both looks must be taken
// while no application is in the middle of a call.
type Page struct {
	book            Book
	databricks, aws int
	readers         map[string]int
}

// Open begins a page.
func (b Book) Open() Page {
	return Page{book: b, databricks: len(b.Databricks.Calls()), aws: len(b.AWS.Calls()), readers: b.Readers()}
}

// Close ends the page and counts what is on it.
func (p Page) Close() Count {
	c := Count{
		rotator: p.book.Rotator,
		targets: map[string]*Calls{},
	}
	for _, call := range p.book.AWS.Calls()[p.aws:] {
		if call.Caller == p.book.Role {
			c.aws(call)
		}
	}
	for _, call := range p.book.Databricks.Calls()[p.databricks:] {
		if call.Caller == p.book.Rotator || isToken(call) {
			c.databricks(call)
		}
	}
	for id, n := range p.book.Readers() {
		if n -= p.readers[id]; n > 0 {
			c.of(id).Proofs -= n
		}
	}
	return c
}

// Calls are what one managed secret cost, or what all of them share.
type Calls struct {
	// Lists, Creates and Deletes are of OAuth secrets.
	Lists, Creates, Deletes int
	// Directory are lookups of service principals.
	Directory int
	// Proofs are token requests with a credential of the principal.
	Proofs int
	// Reads and Writes are of Secrets Manager.
	Reads, Writes int
}

// BeforeRetirement is how many calls to Databricks it took to replace a
// credential. The predecessor's delete comes a grace period later.
func (c Calls) BeforeRetirement() int { return c.Lists + c.Creates + c.Directory + c.Proofs }

func (c Calls) plus(o Calls) Calls {
	return Calls{
		Lists: c.Lists + o.Lists, Creates: c.Creates + o.Creates, Deletes: c.Deletes + o.Deletes,
		Directory: c.Directory + o.Directory, Proofs: c.Proofs + o.Proofs,
		Reads: c.Reads + o.Reads, Writes: c.Writes + o.Writes,
	}
}

// Count is what is on a page.
type Count struct {
	// Shared are the calls that serve a whole run: SharedReads those to Secrets
	// Manager that list, or read many secrets at once, Exchanges the web
	// identity tokens from STS and the access tokens they were exchanged for,
	// Directory the listings of principals.
	SharedReads, Exchanges, Directory int
	// Mutations are the calls that change something in either cloud.
	Mutations []string

	rotator string
	// targets are by a secret's name, a principal's numeric id, or a client id.
	targets map[string]*Calls
}

// Of is what was spent on one managed secret, by all the names that it and its
// principal go by.
func (c Count) Of(names ...string) Calls {
	var sum Calls
	for _, name := range names {
		if calls := c.targets[name]; calls != nil {
			sum = sum.plus(*calls)
		}
	}
	return sum
}

func (c *Count) of(target string) *Calls {
	if c.targets[target] == nil {
		c.targets[target] = &Calls{}
	}
	return c.targets[target]
}

func (c *Count) aws(call faulttest.Call) {
	if !call.Read {
		c.Mutations = append(c.Mutations, call.Op+" "+call.Target)
	}
	switch {
	case call.Service == "sts":
		c.Exchanges++
	case call.Target == "":
		c.SharedReads++
	case call.Read:
		c.of(call.Target).Reads++
	default:
		c.of(call.Target).Writes++
	}
}

func (c *Count) databricks(call faulttest.Call) {
	if !call.Read {
		c.Mutations = append(c.Mutations, call.Op+" "+call.Target)
	}
	calls := c.of(call.Target)
	switch call.Op {
	case databrickstest.OpAccountToken, databrickstest.OpWorkspaceToken:
		if call.Target == c.rotator {
			c.Exchanges++
			return
		}
		calls.Proofs++
	case databrickstest.OpAccountListSecrets, databrickstest.OpWorkspaceListSecrets:
		calls.Lists++
	case databrickstest.OpAccountCreateSecret, databrickstest.OpWorkspaceCreateSecret:
		calls.Creates++
	case databrickstest.OpAccountDeleteSecret, databrickstest.OpWorkspaceDeleteSecret:
		calls.Deletes++
	case databrickstest.OpAccountListPrincipals, databrickstest.OpWorkspaceListPrincipals:
		// About the account or a workspace, whatever the target says.
		c.Directory++
	default:
		calls.Directory++
	}
}

func isToken(call faulttest.Call) bool {
	return strings.HasSuffix(call.Op, "/v1/token")
}
