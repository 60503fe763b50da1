package source

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"indelible/client"
	"indelible/merkle"
)

// maxServed bounds what a Fault keeps of what was served.
const maxServed = 1 << 20

// Bounds of what is fetched, in bytes.
const (
	maxTile   = merkle.TileWidth * merkle.HashSize
	maxBundle = merkle.TileWidth * (2 + merkle.MaxBundleEntry)
)

// prefixes are the places that serve the same log. Requests are spread over them,
// and what one does not serve, or serves wrongly, the next is asked for.
type prefixes struct {
	clients []*client.Client
	next    atomic.Uint64
}

func newPrefixes(cfg Config) (*prefixes, error) {
	if len(cfg.URLs) == 0 {
		return nil, errors.New("a log needs a URL")
	}
	p := &prefixes{}
	for _, url := range cfg.URLs {
		own := cfg.Client
		own.URL = url
		c, err := client.New(own)
		if err != nil {
			return nil, err
		}
		p.clients = append(p.clients, c)
	}
	return p, nil
}

// each returns the prefixes one by one, beginning with the next.
func (p *prefixes) each() (list []*prefixes) {
	start := p.next.Add(1)
	for i := range uint64(len(p.clients)) {
		at := (start + i) % uint64(len(p.clients))
		list = append(list, &prefixes{clients: p.clients[at : at+1]})
	}
	return list
}

// fetch fetches a path of what kind, up to limit bytes. check says why what was
// served is false; index is the first entry that it is about. What may have changed
// on its way is fetched once more.
func (p *prefixes) fetch(ctx context.Context, what, path string, limit, index int64, check func([]byte) error) ([]byte, error) {
	get := func(c *client.Client) ([]byte, error) { return c.Fetch(ctx, path, limit) }
	return p.ask(ctx, get, what, path, index, check)
}

// post is fetch by a POST with a body, of a question that changes nothing.
func (p *prefixes) post(ctx context.Context, what, path string, body []byte, limit, index int64, check func([]byte) error) ([]byte, error) {
	get := func(c *client.Client) ([]byte, error) { return c.Post(ctx, path, body, limit) }
	return p.ask(ctx, get, what, path, index, check)
}

func (p *prefixes) ask(ctx context.Context, get func(*client.Client) ([]byte, error), what, path string, index int64, check func([]byte) error) ([]byte, error) {
	tries := max(2, len(p.clients))
	var first error
	start := p.next.Add(1)
	for try := range uint64(tries) {
		c := p.clients[(start+try)%uint64(len(p.clients))] // each once, whatever else is asked meanwhile
		data, err := get(c)
		if err == nil && check != nil {
			var u *unchecked
			var w *wrongEntryError
			switch err = check(data); {
			case errors.As(err, &u):
				return nil, u.error
			case errors.As(err, &w):
				err = fault(c, what, path, w.index, w.error, data)
			case err != nil:
				err = fault(c, what, path, index, err, data)
			}
		} else if errors.Is(err, client.ErrTooBig) {
			err = fault(c, what, path, index, client.ErrTooBig, nil)
		}
		if err == nil {
			return data, nil
		}
		// A fault says more than that something is not there.
		if first == nil || !errors.Is(first, ErrFalse) && errors.Is(err, ErrFalse) {
			first = err
		}
		if ctx.Err() != nil || len(p.clients) == 1 && !errors.Is(err, ErrFalse) {
			break // the client has tried again what may pass
		}
	}
	return nil, first
}

// unchecked is the error of a check that could not be made.
type unchecked struct{ error }

// tile fetches a tile. SPEC: tlog-tiles: a log may delete a partial one once it has
// become full, which then stands in for it.
func (p *prefixes) tile(ctx context.Context, name func(merkle.Tile) string, t merkle.Tile, check func([]byte) error) ([]byte, error) {
	first := t.Index << (merkle.TileHeight * (t.Level + 1))
	get := func(t merkle.Tile) ([]byte, error) {
		return p.fetch(ctx, "tile", name(t), maxTile, first, func(data []byte) error {
			if len(data) != t.Width*merkle.HashSize {
				return fmt.Errorf("it has %d bytes; %d hashes have %d", len(data), t.Width, t.Width*merkle.HashSize)
			}
			if check == nil {
				return nil
			}
			return check(data)
		})
	}
	data, err := get(t)
	if t.Width == merkle.TileWidth || !errors.Is(err, client.ErrNotFound) {
		return data, err
	}
	full, again := get(merkle.Tile{Level: t.Level, Index: t.Index, Width: merkle.TileWidth})
	switch {
	case errors.Is(again, client.ErrNotFound):
		return nil, err
	case again != nil:
		return nil, again
	}
	return full[:t.Width*merkle.HashSize], nil
}

// fault is one of whichever prefix.
func (p *prefixes) fault(what, path string, index int64, why error, served []byte) error {
	return fault(p.clients[0], what, path, index, why, served)
}

func fault(c *client.Client, what, path string, index int64, why error, served []byte) error {
	return &Fault{What: what, URL: c.URL(path), Index: index, Why: why, Served: served[:min(len(served), maxServed)]}
}
