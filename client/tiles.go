package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"indelible/checkpoint"
	"indelible/merkle"
)

// Fetch fetches any resource below the log's URL, such as "checkpoint". Nothing
// vouches for what it returns, which has at most limit bytes uncompressed.
func (c *Client) Fetch(ctx context.Context, path string, limit int64) ([]byte, error) {
	return c.do(ctx, request{method: http.MethodGet, path: "/" + path, limit: limit})
}

// Post is Fetch by a POST with a JSON body, which must be a question: like every
// request, it may be made twice.
func (c *Client) Post(ctx context.Context, path string, body []byte, limit int64) ([]byte, error) {
	return c.do(ctx, request{method: http.MethodPost, path: "/" + path, body: body, limit: limit})
}

// URL is where Fetch fetches a path from, without what may be secret.
func (c *Client) URL(path string) string { return c.shown + "/" + path }

// Checkpoint fetches the newest checkpoint, and opens it with the log's keys.
func (c *Client) Checkpoint(ctx context.Context) (checkpoint.Opened, error) {
	note, err := c.do(ctx, request{method: http.MethodGet, path: "/checkpoint", limit: maxCheckpoint})
	if err != nil {
		return checkpoint.Opened{}, err
	}
	return c.openShown(ctx, note)
}

// openShown opens a checkpoint that the log answered with.
func (c *Client) openShown(ctx context.Context, note []byte) (checkpoint.Opened, error) {
	o, err := c.Open(note)
	if err == nil && c.cfg.Shown != nil {
		err = c.cfg.Shown(ctx, o)
	}
	if err != nil {
		return checkpoint.Opened{}, err
	}
	return o, nil
}

// Open verifies a checkpoint as a Config says, and keeps the note as it came: it
// may carry cosignatures of witnesses that we do not know and others do.
func (c *Client) Open(note []byte) (checkpoint.Opened, error) {
	var o checkpoint.Opened
	var err error
	switch {
	case c.cfg.Policy != nil:
		o, err = c.cfg.Policy.Open(note)
	case c.cfg.Extended && len(c.cfg.Keys) > 0:
		o, err = checkpoint.OpenExtended(cmp.Or(c.cfg.Origin, c.cfg.Keys[0].Name()), note, c.cfg.Keys)
	case c.cfg.Origin != "":
		o, err = checkpoint.OpenAs(c.cfg.Origin, note, c.cfg.Keys)
	default:
		o, err = checkpoint.Open(note, c.cfg.Keys)
	}
	if err != nil {
		return o, fmt.Errorf("%w: checkpoint: %w", ErrUntrusted, err)
	}
	o.Note = note
	return o, nil
}

// Keys fetches the vkeys that the log says are its own. Nobody vouches for
// them: they are for the first use, to be remembered and compared.
func (c *Client) Keys(ctx context.Context) ([]checkpoint.Verifier, error) {
	text, err := c.do(ctx, request{method: http.MethodGet, path: "/log.vkey", limit: maxError})
	if err != nil {
		return nil, err
	}
	var keys []checkpoint.Verifier
	for line := range strings.Lines(string(text)) {
		k, err := checkpoint.ParseVerifier(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, fmt.Errorf("%w: /log.vkey: %w", ErrUntrusted, err)
		}
		if len(keys) > 0 && k.Name() != keys[0].Name() {
			return nil, fmt.Errorf("%w: /log.vkey holds keys of %q and of %q; a log has one name", ErrUntrusted, keys[0].Name(), k.Name())
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: /log.vkey is empty", ErrUntrusted)
	}
	return keys, nil
}

// Tile fetches a tile. Nothing vouches for its hashes until they have been
// compared with a checkpoint, as package fsck does.
func (c *Client) Tile(ctx context.Context, t merkle.Tile) ([]byte, error) {
	data, err := c.do(ctx, request{method: http.MethodGet, path: "/" + t.Path(), limit: maxTile})
	if err == nil && len(data) != t.Width*merkle.HashSize {
		return nil, fmt.Errorf("%w: %s has %d bytes; %d hashes have %d", ErrUntrusted, t.Path(), len(data), t.Width, t.Width*merkle.HashSize)
	}
	if !errors.Is(err, ErrNotFound) || t.Width == merkle.TileWidth {
		return data, err
	}
	full, again := c.Tile(ctx, merkle.Tile{Level: t.Level, Index: t.Index, Width: merkle.TileWidth})
	if again != nil {
		return nil, notThere(err, again)
	}
	return full[:t.Width*merkle.HashSize], nil
}

// notThere is the error of a partial tile or bundle that is not there when the
// full one was not there either. SPEC: tlog-tiles: a log may delete what is
// partial once it has become full.
func notThere(partial, full error) error {
	if errors.Is(full, ErrNotFound) {
		return partial
	}
	return full
}

// Entries fetches the entries [start, end), which lie in one bundle and begin
// it. As with Tile, nothing vouches for them yet.
func (c *Client) Entries(ctx context.Context, start, end int64) ([][]byte, error) {
	b := merkle.Bundle{Index: start / merkle.TileWidth, Width: int(end - start)}
	if start%merkle.TileWidth != 0 || b.Width < 1 || b.Width > merkle.TileWidth {
		return nil, fmt.Errorf("entries [%d, %d) do not begin a bundle", start, end)
	}
	entries, err := c.bundle(ctx, b)
	if !errors.Is(err, ErrNotFound) || b.Width == merkle.TileWidth {
		return entries, err
	}
	full, again := c.bundle(ctx, merkle.Bundle{Index: b.Index, Width: merkle.TileWidth})
	if again != nil {
		return nil, notThere(err, again)
	}
	return full[:b.Width], nil
}

func (c *Client) bundle(ctx context.Context, b merkle.Bundle) ([][]byte, error) {
	data, err := c.do(ctx, request{method: http.MethodGet, path: "/" + b.Path(), limit: maxBundle})
	if err != nil {
		return nil, err
	}
	entries, err := merkle.ParseBundle(data, b.Width)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrUntrusted, b.Path(), err)
	}
	return entries, nil
}
