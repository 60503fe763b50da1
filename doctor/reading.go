package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/merkle"
)

// trustFiles compares the URL that the log tells clients with the one they use.
func (e *examination) trustFiles(ctx context.Context) {
	const name, path = "trust files", "/trust/signing_config.json"
	got, err := e.asker.ask(ctx, http.MethodGet, path, nil)
	var said struct {
		RekorTlogURLs []struct {
			URL string `json:"url"`
		} `json:"rekorTlogUrls"`
	}
	switch {
	case err != nil:
		e.failed(name, "", err)
		return
	case got.status == http.StatusNotFound:
		e.skipped(name, "", "the log serves none at %s", path)
		return
	case got.status != http.StatusOK || json.Unmarshal(got.body, &said) != nil:
		e.failed(name, "", fmt.Errorf("GET %s%s: %s", e.asker.url, path, got.says()))
		return
	}
	for _, s := range said.RekorTlogURLs {
		if s.URL != strings.TrimRight(e.cfg.PublicURL, "/") {
			e.warn(name, "Tell the server the URL (logserver --public-url), or say here which one clients use (--public-url).",
				"the files at %s/trust/ send clients to %s, and not to %s", e.asker.url, s.URL, e.cfg.PublicURL)
			return
		}
	}
	e.passed(name, "%s/trust/ has them, for %s", e.asker.url, e.cfg.PublicURL)
}

// native looks an entry up by the native API.
func (e *examination) native(ctx context.Context) {
	const name, path = "native", "/v1/checkpoint"
	if len(e.keys) == 0 {
		e.skipped(name, "", "no key of the log is known")
		return
	}
	got, err := e.asker.ask(ctx, http.MethodGet, path, nil)
	switch {
	case err == nil && got.status == http.StatusNotFound:
		e.warn(name, "If it should, does the proxy in front let /v1/ through?", "the log does not serve it: logcli can read this log, and not add to it")
		return
	case err == nil && got.status != http.StatusOK:
		err = fmt.Errorf("GET %s%s: %s", e.asker.url, path, got.says())
	}
	if err == nil {
		err = e.proveNative(ctx, name)
	}
	if err != nil {
		e.failed(name, "Does the proxy in front let /v1/ through?", err)
	}
}

// proveNative has an entry proven: one that was added here, or the last.
func (e *examination) proveNative(ctx context.Context, name string) error {
	var logged client.Logged
	var err error
	switch {
	case len(e.added) > 0:
		logged, err = e.client.Lookup(ctx, merkle.LeafHash(e.added[0].canonical))
		if err == nil && logged.Index != e.added[0].index {
			err = fmt.Errorf("entry %d is found as %d", e.added[0].index, logged.Index)
		}
	case e.report.Size > 0:
		logged, err = e.client.Get(ctx, e.report.Size-1)
	case !e.headed:
		e.skipped(name, "", "it answers; there is no checkpoint to prove entries with")
		return nil
	default:
		e.passed(name, "answers; the log is empty")
		return nil
	}
	if err == nil {
		e.passed(name, "entry %d is proven", logged.Index)
	}
	return err
}

// fresh waits for the checkpoint that everybody is shown to cover what was
// added. A cache in front would keep an old one.
func (e *examination) fresh(ctx context.Context) {
	const name = "fresh"
	if len(e.added) == 0 || len(e.keys) == 0 {
		return // there is nothing to compare with
	}
	last := slices.Max(e.report.Wrote)
	err := until(ctx, e.cfg.Fresh, func() error {
		o, err := e.client.Checkpoint(ctx)
		if err == nil && o.Size <= last {
			err = fmt.Errorf("entry %d was logged %s ago, and the checkpoint that the log shows is of size %d still", last, e.cfg.Fresh, o.Size)
		}
		return err
	})
	if err != nil {
		e.failed(name, "Something in front of the log keeps /checkpoint: let it keep what has Cache-Control: immutable, and nothing else.", err)
		return
	}
	e.passed(name, "the checkpoint covers entry %d", last)
}

// tiles compares tiles and entry bundles with the entries that were added, or
// with each other.
func (e *examination) tiles(ctx context.Context) {
	const name = "tiles"
	if len(e.keys) == 0 {
		e.skipped(name, "", "no key of the log is known")
		return
	}
	o, err := e.client.Checkpoint(ctx)
	if err != nil {
		e.skipped(name, "", "there is no checkpoint to compare them with: %v", err)
		return
	}
	if o.Size == 0 {
		e.skipped(name, "", "the log is empty")
		return
	}
	list := e.added
	if len(list) == 0 {
		list = []addition{{index: o.Size - 1}}
	}
	for _, a := range list {
		if a.index >= o.Size {
			continue // said by fresh
		}
		if err := e.tile(ctx, o, a); err != nil {
			e.failed(name, "Does a cache in front keep tiles of another log? logcli fsck looks at all of them.", fmt.Errorf("entry %d: %w", a.index, err))
			return
		}
	}
	e.passed(name, "they have the entries (%d looked at)", len(list))
}

func (e *examination) tile(ctx context.Context, o checkpoint.Opened, a addition) error {
	start := a.index / merkle.TileWidth * merkle.TileWidth
	end := min(start+merkle.TileWidth, o.Size)
	entries, err := e.client.Entries(ctx, start, end)
	if err != nil {
		return err
	}
	got := entries[a.index-start]
	if a.canonical != nil && !bytes.Equal(got, a.canonical) {
		return fmt.Errorf("the entry bundle has another: %.300q", got)
	}
	data, err := e.client.Tile(ctx, merkle.Tile{Index: start / merkle.TileWidth, Width: int(end - start)})
	if err != nil {
		return err
	}
	leaf := merkle.LeafHash(got)
	if there := data[(a.index-start)*merkle.HashSize:][:merkle.HashSize]; !bytes.Equal(there, leaf[:]) {
		return fmt.Errorf("the tile has the hash %x, and the entry bundle's entry %x", there, leaf)
	}
	return nil
}

// browsers asks as a page of another site would.
func (e *examination) browsers(ctx context.Context) {
	const name = "browsers"
	got, err := e.asker.get(ctx, "/checkpoint")
	if err == nil && got.header.Get("Access-Control-Allow-Origin") == "" {
		e.warn(name, "Let the proxy in front pass the header on.", "/checkpoint has no Access-Control-Allow-Origin: web pages elsewhere cannot read the log")
		return
	}
	if err != nil {
		e.failed(name, "", err)
		return
	}
	e.passed(name, "web pages elsewhere may read the log")
}
