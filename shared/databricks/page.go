package databricks

import (
	"context"
	"net/http"
	"net/url"
)

// maxListPages ends a list that does not end by itself. The longest, an
// account's OAuth apps, has a few hundred entries.
const maxListPages = 1000

// pages reads a list that is paged by token to its end. A page's length says
// nothing: the list ends where there is no next page, and has too many after
// most of them. take keeps what a page holds and returns the token of the next
// one.
func pages[R any](ctx context.Context, c *Client, host Host, op, target string, query url.Values, most int, take func(R) (next string, err error)) error {
	q := url.Values{}
	for name, values := range query {
		q[name] = values
	}
	for range most {
		var reply R
		if err := c.call(ctx, host, request{op: op, method: http.MethodGet, url: target, query: q}, &reply); err != nil {
			return err
		}
		next, err := take(reply)
		if err != nil {
			return &Error{Op: op, Host: host.URL, kind: ErrRejected, Message: err.Error()}
		}
		if next == "" {
			return nil
		}
		q.Set("page_token", next)
	}
	return &Error{Op: op, Host: host.URL, kind: ErrRejected, Message: endless}
}
