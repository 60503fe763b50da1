package client

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"indelible/checkpoint"
	"indelible/merkle"
)

// Checkpoint fetches the newest checkpoint, and opens it with the log's keys.
func (c *Client) Checkpoint(ctx context.Context) (checkpoint.Opened, error) {
	note, err := c.do(ctx, request{method: http.MethodGet, path: "/checkpoint", limit: maxCheckpoint})
	if err != nil {
		return checkpoint.Opened{}, err
	}
	return c.Open(note)
}

// Open verifies a checkpoint as a Config says, and keeps the note as it came: it may carry
// cosignatures of witnesses that we do not know and others do.
func (c *Client) Open(note []byte) (checkpoint.Opened, error) {
	var o checkpoint.Opened
	var err error
	if c.cfg.Policy != nil {
		o, err = c.cfg.Policy.Open(note)
	} else {
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
// compared with a checkpoint, as package fsck does. Together with Entries it
// makes a Client a source for package fsck.
func (c *Client) Tile(ctx context.Context, t merkle.Tile) ([]byte, error) {
	return c.do(ctx, request{method: http.MethodGet, path: "/" + t.Path(), limit: maxTile})
}

// Entries fetches the entries [start, end), which lie in one bundle and begin
// it. As with Tile, nothing vouches for them yet.
func (c *Client) Entries(ctx context.Context, start, end int64) ([][]byte, error) {
	b := merkle.Bundle{Index: start / merkle.TileWidth, Width: int(end - start)}
	if start%merkle.TileWidth != 0 || b.Width < 1 || b.Width > merkle.TileWidth {
		return nil, fmt.Errorf("entries [%d, %d) do not begin a bundle", start, end)
	}
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
