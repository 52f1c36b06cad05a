package databricks

import (
	"context"
	"net/url"
)

// Call is a request that this package has no method for, such as those by which
// an administrator sets something up once.
type Call struct {
	// Op is what is tried, for the reader of an error.
	Op     string
	Method string
	// Path begins with a slash.
	Path  string
	Query url.Values
	Body  any
	// Once forbids sending the request again when its outcome is unknown.
	Once bool
}

// Do carries out a call as the client's identity and decodes the reply, which
// must be a JSON object, into out. A nil out does not care for the reply. It is
// no method, so that a function that makes no such calls does not carry it.
func Do(ctx context.Context, c *Client, host Host, call Call, out any) error {
	return c.call(ctx, host, request{
		op: call.Op, method: call.Method, url: host.URL + call.Path, query: call.Query, body: call.Body, once: call.Once,
	}, out)
}
