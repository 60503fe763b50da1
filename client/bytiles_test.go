package client_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/merkle"
	"indelible/mirror/sourcetest"
)

func reader(t *testing.T, l *sourcetest.Log, others ...string) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{URL: l.URL, Others: others, Keys: []checkpoint.Verifier{l.Key}, Tries: 1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Everything about entries and proofs works with a log that has tiles alone.
func TestTilesAlone(t *testing.T) {
	l := sourcetest.New(t, "log.example", 300)
	c := reader(t, l)
	older, err := c.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.Grow(70_000)
	for _, index := range []int64{0, 299, 69_999} {
		e, err := c.Get(t.Context(), index)
		if err != nil || !bytes.Equal(e.Canonical, sourcetest.Entry(index)) || e.Index != index {
			t.Fatalf("entry %d: %q, %v", index, e.Canonical, err)
		}
		if err := merkle.VerifyInclusion(index, 70_000, e.LeafHash, e.Hashes, l.Root(70_000)); err != nil {
			t.Error(err)
		}
		if proof, err := c.Included(t.Context(), index, e.LeafHash, e.Checkpoint.Checkpoint); err != nil || !slices.Equal(proof, e.Hashes) {
			t.Errorf("%d hashes, %v", len(proof), err)
		}
		if _, err := c.Included(t.Context(), index, merkle.LeafHash(nil), e.Checkpoint.Checkpoint); !errors.Is(err, client.ErrUntrusted) {
			t.Errorf("another leaf: %v", err)
		}
	}
	if _, err := c.Get(t.Context(), 70_000); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("an entry beyond the end: %v", err)
	}
	newer, err := c.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	asked := l.Asked("v1/entries")
	for start := int64(250); start < 600; {
		list, err := c.ListAt(t.Context(), start, 100, newer)
		if err != nil || len(list) == 0 || list[0].Index != start || !bytes.Equal(list[len(list)-1].Canonical, sourcetest.Entry(list[len(list)-1].Index)) {
			t.Fatalf("%d entries from %d on, %v", len(list), start, err)
		}
		start += int64(len(list))
	}
	if n := l.Asked("v1/entries"); n > asked+1 {
		t.Errorf("the API that is not there was asked for %d times", n-asked)
	}
	if list, err := c.List(t.Context(), 69_990, 0); err != nil || len(list) != 10 {
		t.Errorf("%d entries, %v", len(list), err)
	}
	if _, err := c.Consistent(t.Context(), older.Checkpoint, newer.Checkpoint); err != nil {
		t.Error(err)
	}
	if root, _, err := c.RootAt(t.Context(), 300, newer.Checkpoint); err != nil || root != older.Root {
		t.Errorf("%x, %v", root, err)
	}
	fork := older.Checkpoint
	fork.Root[0] ^= 1
	if _, err := c.Consistent(t.Context(), fork, newer.Checkpoint); !errors.Is(err, client.ErrUntrusted) {
		t.Errorf("a fork: %v", err)
	}
}

// What the tiles of a log say is believed as little as its API.
func TestTilesAloneFalse(t *testing.T) {
	l := sourcetest.New(t, "log.example", 700)
	c := reader(t, l)
	for _, path := range []string{"tile/entries/000", "tile/0/000", "tile/1/000.p/2"} {
		l.Replace(path, func(w http.ResponseWriter, _ *http.Request) {
			data := bytes.Clone(l.Resource(path))
			data[5], data[len(data)-1] = data[5]^1, data[len(data)-1]^1
			w.Write(data)
		})
		if _, err := c.Get(t.Context(), 0); !errors.Is(err, client.ErrUntrusted) {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := c.ListAt(t.Context(), 0, 0, checkpoint.Opened{Checkpoint: checkpoint.Checkpoint{Size: 700, Root: l.Root(700)}}); !errors.Is(err, client.ErrUntrusted) {
			t.Errorf("%s, listed: %v", path, err)
		}
		l.Replace(path, nil)
	}
}

// What one URL does not answer another one is asked for.
func TestOthers(t *testing.T) {
	l := sourcetest.New(t, "log.example", 700)
	empty, down := httptest.NewServer(http.NotFoundHandler()), httptest.NewServer(nil)
	t.Cleanup(empty.Close)
	down.Close()
	c := reader(t, l, empty.URL, down.URL)
	for range 6 {
		if e, err := c.Get(t.Context(), 5); err != nil || e.Index != 5 {
			t.Fatal(err)
		}
	}
	if _, err := client.New(client.Config{URL: l.URL, Others: []string{"nonsense"}}); err == nil {
		t.Error("an invalid URL was accepted")
	}
}

// Whoever asks to be shown each checkpoint decides.
func TestShown(t *testing.T) {
	l := sourcetest.New(t, "log.example", 7)
	refused := errors.New("refused")
	shown := int64(0)
	c, err := client.New(client.Config{URL: l.URL, Keys: []checkpoint.Verifier{l.Key}, Shown: func(_ context.Context, o checkpoint.Opened) error {
		shown = o.Size
		return refused
	}})
	if err != nil {
		t.Fatal(err)
	}
	for what, ask := range map[string]func() error{
		"checkpoint": func() error { _, err := c.Checkpoint(t.Context()); return err },
		"get":        func() error { _, err := c.Get(t.Context(), 3); return err },
	} {
		if err := ask(); !errors.Is(err, refused) || shown != 7 {
			t.Errorf("%s: %v, %d", what, err, shown)
		}
		shown = 0
	}
}
