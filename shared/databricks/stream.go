package databricks

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/databricks/databricks-sdk-go/apierr"
	"github.com/databricks/databricks-sdk-go/common"
	"github.com/databricks/databricks-sdk-go/useragent"
)

// stream is [Client.call] for a reply that may be too long to be held: a list
// without pages. The SDK's client reads every JSON reply into memory, so the
// request goes past it, over the same transport. The reply is an object; each
// element of the array in its field list is decoded into a T and given to
// keep. start is called before each attempt, to forget what an attempt that
// broke off has given.
func stream[T any](ctx context.Context, c *Client, host Host, r request, list string, start func(), keep func(T) error) error {
	a, err := c.api(host)
	if err != nil {
		return err
	}
	attempt := func(renew bool) error {
		start()
		err := c.open(ctx, a, host, r, renew, func(body io.Reader) error { return decodeList(body, list, keep) })
		c.note(err)
		return err
	}
	return retry(ctx, c.patience(), func() error {
		err := attempt(false)
		var e *Error
		if errors.As(err, &e) && e.Status == http.StatusUnauthorized && !e.unsent {
			err = attempt(true)
		}
		return err
	})
}

// open sends a GET and has the body of a successful reply read.
func (c *Client) open(ctx context.Context, a *api, host Host, r request, renew bool, read func(io.Reader) error) error {
	if err := c.wait(ctx, r.op, host); err != nil {
		return err
	}
	// A long reply may take its time as long as something comes.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(callTimeout, func() { cancel(context.DeadlineExceeded) })
	defer idle.Stop()
	token, err := a.token(ctx, c, host, renew)
	if err != nil {
		return unauthenticated(host, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.target(), http.NoBody)
	if err != nil {
		return reduce(r.op, host, err)
	}
	token.SetAuthHeader(req)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", useragent.FromContext(ctx))
	reply, err := c.transport().RoundTrip(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = &noReplyError{cause: cause}
		}
		return reduce(r.op, host, err)
	}
	defer func() { _ = reply.Body.Close() }()
	if reply.StatusCode >= http.StatusBadRequest {
		wrapped, err := common.NewResponseWrapper(reply, common.RequestBody{})
		if err == nil {
			err = apierr.GetAPIError(ctx, wrapped)
		}
		return reduce(r.op, host, err)
	}
	if err := read(watched{reply.Body, idle}); err != nil {
		e := &Error{Op: r.op, Host: host.URL, kind: ErrUncertain, Message: unreadable}
		if cause := context.Cause(ctx); cause != nil {
			e.cause, e.Message = cause, "no reply: "+cause.Error()
		}
		return e
	}
	return nil
}

// watched puts a timer off whenever something is read.
type watched struct {
	io.Reader
	idle *time.Timer
}

func (w watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if n > 0 {
		w.idle.Reset(callTimeout)
	}
	return n, err
}

// decodeList reads a JSON object and hands out the elements of one array in
// it. What else the object has is skipped. An object without the array is an
// empty list: that is how Databricks writes one.
func decodeList[T any](body io.Reader, list string, keep func(T) error) error {
	d := json.NewDecoder(body)
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return errors.New("not an object")
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		if name != list {
			var skipped json.RawMessage
			if err := d.Decode(&skipped); err != nil {
				return err
			}
			continue
		}
		if open, err := d.Token(); err != nil {
			return err
		} else if open == nil {
			continue
		} else if open != json.Delim('[') {
			return errors.New("not an array")
		}
		for d.More() {
			var element T
			if err := d.Decode(&element); err != nil {
				return err
			}
			if err := keep(element); err != nil {
				return err
			}
		}
		if _, err := d.Token(); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}
