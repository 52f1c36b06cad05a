package databrickstest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// cursor is where a listing of a register stands; a page token is one in
// writing.
type cursor struct {
	listing string
	size    int
	after   int64 // the number of the last thing shown
	stale   bool  // the listing began with the state before a write
	gap     bool  // this is the page that is empty on purpose
}

func (c cursor) token() string {
	text := fmt.Sprintf("%d/%d/%t/%t/%s", c.size, c.after, c.stale, c.gap, c.listing)
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

func parseCursor(token string) (cursor, error) {
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return cursor{}, err
	}
	part := strings.SplitN(string(text), "/", 5)
	if len(part) != 5 {
		return cursor{}, errors.New("not a page token")
	}
	c := cursor{listing: part[4]}
	var errs [4]error
	c.size, errs[0] = strconv.Atoi(part[0])
	c.after, errs[1] = strconv.ParseInt(part[1], 10, 64)
	c.stale, errs[2] = strconv.ParseBool(part[2])
	c.gap, errs[3] = strconv.ParseBool(part[3])
	return c, errors.Join(errs[:]...)
}

// page answers one page of a register: what is on it and the token of the
// next. As with OAuth secrets, a full page always has a next one and the
// second page is empty.
func page[T, W any](r *request, listing string, size int, g *register[T], wire func(*T) W) ([]W, string, *failure) {
	c := cursor{listing: listing, size: size}
	if text := r.query.Get("page_token"); text != "" {
		from, err := parseCursor(text)
		if err != nil || from.listing != listing {
			return nil, "", invalid("page_token %q is not one of this listing", text)
		}
		if from.size != size {
			return nil, "", invalid("the page's size differs from the previous page's")
		}
		c = from
	} else {
		c.stale = g.beginListing()
	}
	var rows []W
	last := c.after
	for seq, value := range g.after(c.after, c.stale || r.stale) {
		if c.gap {
			c.gap = false
			return nil, c.token(), nil
		}
		if len(rows) == size {
			break
		}
		rows = append(rows, wire(value))
		last = seq
	}
	if len(rows) < size {
		return rows, "", nil
	}
	c.gap = c.after == 0
	c.after = last
	return rows, c.token(), nil
}

// pageSize is how long a page of the listing is that the query asks for.
func (r *request) pageSize() (int, *failure) {
	size := r.server.config.PageSize
	if text := r.query.Get("page_size"); text != "" {
		asked, err := strconv.Atoi(text)
		if err != nil || asked <= 0 {
			return 0, invalid("page_size %q is not a positive number", text)
		}
		size = min(size, asked)
	}
	return size, nil
}
