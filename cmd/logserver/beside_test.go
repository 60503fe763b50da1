package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"indelible/merkle"
	"indelible/storage"
)

// addMany adds raw entries by one request.
func addMany(t *testing.T, s *instance, name string, n int) {
	t.Helper()
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"raw":%q}`, base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s %d", name, i))))
	}
	if code, body := s.ask(t, http.MethodPost, "/v1/entries:batch", []byte(`{"entries":[`+strings.Join(list, ",")+`]}`)); code != http.StatusOK || strings.Count(body, `"entry":{`) != n {
		t.Errorf("%d: %.500s", code, body)
	}
}

// TestBesideAServer: what only reads works beside a server at work, whose log
// grows meanwhile, and finds nothing wrong. What changes something says what is
// to be stopped.
func TestBesideAServer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := start(t, dir, "--entry-kinds", "raw")
	addMany(t, s, "first", 250)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan bool)
	go func() {
		defer close(done)
		for i := 0; i < 200 && ctx.Err() == nil; i++ {
			addMany(t, s, fmt.Sprint("batch ", i), 20)
		}
	}()
	for range 5 {
		if out, err := command(t, dir, "guard", "status"); err != nil || !strings.Contains(out, "register   size ") || strings.Contains(out, "\n\n") {
			t.Errorf("%v: %s", err, out)
		}
		if out, err := command(t, dir, "fsck"); err != nil || !strings.Contains(out, " entries; every leaf hash, tile and root follows from them") {
			t.Errorf("%v: %s", err, out)
		}
	}
	stop()
	<-done
	for _, args := range [][]string{
		{"guard", "clear", "--reason", "x"},
		{"restore", "--from", s.url},
		{"index", "rebuild"},
		{"guard", "accept", "--size", "1", "--root", strings.Repeat("00", 32), "--by", "x", "--why", "x"},
	} {
		_, err := command(t, dir, args...)
		refusedBy(t, err, "another process uses the database", "no server may run beside it: stop that of "+dir, "guard status")
	}
	s.becomes(t, http.StatusOK, "SERVING")
	addMany(t, s, "last", 1)
}

// TestBesideAPoisonedServer: what is known is read while it serves its readers.
func TestBesideAPoisonedServer(t *testing.T) {
	dir, older := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "older")
	grows(t, dir, "a", "b")
	copyDir(t, dir, older)
	grows(t, dir, "c")
	data, err := os.ReadFile(filepath.Join(older, "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"log.db-wal", "log.db-shm"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "log.db"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir)
	poll(t, "the register says that the log is poisoned", func() bool {
		out, err := command(t, dir, "guard", "status")
		if code := exitCode(err); code != statusContradicts && code != statusPoisoned {
			t.Fatal(err)
		}
		return strings.Contains(out, "the database is behind: size 3 was signed") && strings.Contains(out, "Poisoned, says the register: rollback")
	})
	_, err = command(t, dir, "fsck")
	refusedBy(t, err, "the database is behind: size 3 was signed, as the register knows")
	if code, body := s.ask(t, http.MethodGet, "/checkpoint", nil); code != http.StatusOK {
		t.Errorf("%d: %s", code, body)
	}
	s.stop()
	if banner := start(t, dir).banner; !strings.Contains(banner, "The log is POISONED") || strings.Contains(banner, "logcli add") {
		t.Errorf("the banner of a poisoned log: %s", banner)
	}
}

// grownStore is a database whose log grew beyond a tile while it was audited.
type grownStore struct {
	storage.Store
	head int64
	tile []byte // nil: not yet full
	edge storage.Edge
}

func (g grownStore) Head(context.Context, int64) (storage.Head, error) {
	return storage.Head{Size: g.head}, nil
}

func (g grownStore) Tile(context.Context, int64, int, int64) ([]byte, error) {
	if g.tile == nil {
		return nil, storage.ErrNotFound
	}
	return g.tile, nil
}

func (g grownStore) Edge(context.Context, int64, int) (storage.Edge, error) {
	if g.edge.Hashes == nil {
		return storage.Edge{}, storage.ErrNotFound
	}
	return g.edge, nil
}

// TestTileThatGrew: of a tile that grew, the audit wants the beginning. Where the
// log did not grow, nothing but the very tile will do.
func TestTileThatGrew(t *testing.T) {
	want := strings.Repeat("a", 2*merkle.HashSize)
	full, longer := []byte(want+strings.Repeat("b", 254*merkle.HashSize)), []byte(want+strings.Repeat("b", merkle.HashSize))
	for name, test := range map[string]struct {
		store grownStore
		says  string
	}{
		"the very tile":          {grownStore{head: 512, edge: storage.Edge{Index: 0, Hashes: []byte(want)}}, ""},
		"it grew":                {grownStore{head: 800, edge: storage.Edge{Index: 0, Hashes: longer}}, ""},
		"full, the edge is next": {grownStore{head: 66000, tile: full, edge: storage.Edge{Index: 1, Hashes: []byte(want)}}, ""},
		"full, and no edge":      {grownStore{head: 65536, tile: full}, ""},
		"it is gone":             {grownStore{head: 66000, edge: storage.Edge{Index: 1, Hashes: []byte(want)}}, "neither full nor its level's edge"},
		"longer, without growth": {grownStore{head: 512, edge: storage.Edge{Index: 0, Hashes: longer}}, "96 bytes"},
		"another, without":       {grownStore{head: 512, edge: storage.Edge{Index: 1, Hashes: []byte(want)}}, "is of tile 1, not 0"},
		"none, without":          {grownStore{head: 512}, storage.ErrNotFound.Error()},
	} {
		src := source{store: test.store, size: 512}
		got, err := src.Tile(t.Context(), merkle.Tile{Level: 1, Index: 0, Width: 2})
		if err == nil && string(got) != want {
			err = fmt.Errorf("%d bytes", len(got))
		}
		if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%s: %v, want %q", name, err, test.says)
		}
	}
}
