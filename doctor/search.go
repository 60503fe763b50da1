package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"indelible/client"
	"indelible/internal/wait"
)

// askEvery is how often to ask for what may take its time.
const askEvery = 50 * time.Millisecond

// until asks again and again, until an answer is good or time is up. What ask
// returns says what is not good yet; errOff, and what does not verify, will
// never be.
func until(ctx context.Context, within time.Duration, ask func() error) error {
	deadline := time.Now().Add(within)
	for {
		err := ask()
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) || errors.Is(err, errOff) || errors.Is(err, client.ErrUntrusted) {
			return err
		}
		wait.For(ctx, askEvery)
	}
}

// errOff: the log does not serve what it was asked for.
var errOff = errors.New("the log does not serve it")

// search looks for what was added by the digest that it is of.
func (e *examination) search(ctx context.Context) {
	if len(e.added) == 0 {
		e.skipped("search", "", "it is tried with an entry that was added")
		return
	}
	var indexes, uuids []string
	for _, a := range e.added {
		indexes = append(indexes, strconv.FormatInt(a.index, 10))
		if a.uuid != "" {
			uuids = append(uuids, a.uuid)
		}
	}
	e.searchFor(ctx, "search", indexes, e.findNative)
	if len(uuids) > 0 {
		e.searchFor(ctx, "v1 search", uuids, e.findV1)
	}
}

func (e *examination) searchFor(ctx context.Context, name string, want []string, find func(context.Context) ([]string, error)) {
	err := until(ctx, e.cfg.Found, func() error {
		found, err := find(ctx)
		if err != nil {
			return err
		}
		for _, w := range want {
			if !slices.Contains(found, w) {
				return fmt.Errorf("entry %s is not found by its digest after %s; found: %d", w, e.cfg.Found, len(found))
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, errOff):
		e.skipped(name, "To search, let the log keep an index (logserver --search).", "%v", err)
	case err != nil:
		e.failed(name, "The server's log says how far its index is, and why; to rebuild it, run logserver index rebuild.", err)
	default:
		e.passed(name, "what was added is found by its digest")
	}
}

// findNative searches by the sample's digest, and returns indexes.
func (e *examination) findNative(ctx context.Context) ([]string, error) {
	got, err := e.foundBy(e.asker.ask(ctx, http.MethodGet, fmt.Sprintf("/v1/entries:search?artifact=sha256:%x", e.sample.digest), nil))
	if err != nil {
		return nil, err
	}
	var page struct {
		Entries []struct {
			Index string `json:"index"`
		} `json:"entries"`
	}
	if err := json.Unmarshal(got, &page); err != nil {
		return nil, err
	}
	var found []string
	for _, entry := range page.Entries {
		found = append(found, cmp.Or(entry.Index, "0"))
	}
	return found, nil
}

// findV1 searches as rekor-cli does, and returns UUIDs.
func (e *examination) findV1(ctx context.Context) ([]string, error) {
	got, err := e.foundBy(e.asker.ask(ctx, http.MethodPost, "/api/v1/index/retrieve", fmt.Appendf(nil, `{"hash":"sha256:%x"}`, e.sample.digest)))
	if err != nil {
		return nil, err
	}
	var found []string
	return found, json.Unmarshal(got, &found)
}

func (e *examination) foundBy(got answer, err error) ([]byte, error) {
	switch {
	case err != nil:
		return nil, err
	case got.status == http.StatusNotImplemented || got.status == http.StatusNotFound:
		return nil, errOff
	case got.status != http.StatusOK:
		return nil, errors.New(got.says())
	}
	return got.body, nil
}
