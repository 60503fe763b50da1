package feeder

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"indelible/checkpoint"
	"indelible/evidence"
	"indelible/merkle"
	"indelible/witness"
)

// memory is a witness's State and Register that forget with the process.
type memory struct {
	mu         sync.Mutex
	logs       []witness.Log
	heads      map[string]witness.Head
	registered map[string]witness.Head
}

func (m *memory) Logs(context.Context) ([]witness.Log, error) { return m.logs, nil }

func (m *memory) AddLogs(context.Context, []witness.Log) error { return nil }

func (m *memory) Head(_ context.Context, origin string) (witness.Head, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.heads[origin], nil
}

func (m *memory) Swap(_ context.Context, origin string, from, to witness.Head) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if have := m.heads[origin]; have.Size != from.Size || have.Root != from.Root || have.Time != from.Time {
		return witness.ErrMoved
	}
	m.heads[origin] = to
	return nil
}

func (m *memory) Newest(origin string) (witness.Head, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.registered[origin], nil
}

func (m *memory) Advance(_ context.Context, origin string, to witness.Head) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.registered[origin] = to
	return nil
}

// history is a list of entries; two of them are equal up to where they part.
type history []merkle.Hash

func newHistory(name string, size, parts int) history {
	h := make(history, size)
	for i := range h {
		who := name
		if i < parts {
			who = "both"
		}
		h[i] = merkle.LeafHash(fmt.Appendf(nil, "%s %d", who, i))
	}
	return h
}

func (h history) root() merkle.Hash {
	edge, _ := merkle.Edge{}.Append(h)
	return edge.Root()
}

// fakeLog is a tiled log that shows what it is told to. It serves the tiles of
// its entries, which need not be those that it signs.
type fakeLog struct {
	origin  string
	signers []checkpoint.Signer
	keys    []checkpoint.Verifier
	mu      sync.Mutex
	signed  history // what the checkpoint says
	tiles   history // what the tiles are of
	asked   []string
	extend  string // extension lines
	slow    bool
	status  int // of every answer, if not 0
}

func newLog(t testing.TB, origin string, seed byte) *fakeLog {
	t.Helper()
	s, err := checkpoint.NewSigner(origin, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return &fakeLog{origin: origin, signers: []checkpoint.Signer{s}, keys: []checkpoint.Verifier{s.Verifier()}}
}

// show makes the log sign and serve a history.
func (l *fakeLog) show(h history) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.signed, l.tiles = h, h
}

func (l *fakeLog) note() ([]byte, error) {
	c := checkpoint.Checkpoint{Origin: l.origin, Size: int64(len(l.signed)), Root: l.signed.root()}
	if l.extend == "" && l.signers[0].Name() == l.origin {
		return checkpoint.Sign(c, l.signers...)
	}
	text := append(c.Text(), l.extend...)
	blob, err := l.signers[0].Sign(text)
	line := checkpoint.Signature{Name: l.signers[0].Name(), KeyID: l.signers[0].KeyHash(), Blob: blob}
	return checkpoint.Note{Text: text, Signatures: []checkpoint.Signature{line}}.Marshal(), err
}

func (l *fakeLog) get(ctx context.Context, path string) (int, []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, path)
	if l.slow {
		l.mu.Unlock()
		<-ctx.Done()
		l.mu.Lock()
		return 0, nil
	}
	if l.status != 0 {
		return l.status, nil
	}
	if path == "checkpoint" {
		note, err := l.note()
		if err != nil {
			panic(err)
		}
		return http.StatusOK, note
	}
	return l.tile(path)
}

// tile serves the full tiles of the tree, and its partial ones at no other width
// than they have.
func (l *fakeLog) tile(path string) (int, []byte) {
	t, err := merkle.ParseTilePath(path)
	if err != nil {
		panic(err)
	}
	hashes := l.tiles
	for range t.Level {
		var above history
		for full := range slices.Chunk(hashes, merkle.TileWidth) {
			if len(full) == merkle.TileWidth {
				above = append(above, full.root())
			}
		}
		hashes = above
	}
	from := int(t.Index) * merkle.TileWidth
	if from >= len(hashes) || min(len(hashes)-from, merkle.TileWidth) != t.Width {
		return http.StatusNotFound, nil
	}
	return http.StatusOK, merkle.EncodeTile(hashes[from : from+t.Width])
}

// world is a witness, logs, and who feeds them to it.
type world struct {
	t        *testing.T
	logs     map[string]*fakeLog
	state    *memory
	witness  *witness.Witness
	evidence string
}

// RoundTrip answers for the logs, without a network.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	l := w.logs[r.URL.Host]
	status, body := l.get(r.Context(), strings.TrimPrefix(r.URL.Path, "/"))
	if status == 0 {
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

func newWorld(t *testing.T, logs ...*fakeLog) *world {
	t.Helper()
	w := &world{t: t, logs: make(map[string]*fakeLog), evidence: t.TempDir(), state: &memory{heads: make(map[string]witness.Head), registered: make(map[string]witness.Head)}}
	for _, l := range logs {
		w.logs[l.origin] = l
		w.state.logs = append(w.state.logs, witness.Log{Origin: l.origin, Keys: l.keys})
	}
	key, err := checkpoint.NewCosigner("witness.example/w1", ed25519.NewKeyFromSeed(bytes.Repeat([]byte{99}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	if w.witness, err = witness.New(t.Context(), witness.Config{State: w.state, Register: w.state, Cosigners: []*checkpoint.Cosigner{key}}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) feeder(events Events) *Feeder {
	w.t.Helper()
	cfg := Config{Witness: w.witness, Evidence: w.evidence, HTTP: &http.Client{Transport: w}, Events: events}
	for _, l := range w.logs {
		cfg.Logs = append(cfg.Logs, Log{Origin: l.origin, Keys: l.keys, URL: "http://" + l.origin + "/"})
	}
	f, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

// look looks at the only log once.
func (w *world) look() error {
	w.t.Helper()
	return w.feeder(Events{}).feeds[0].look(w.t.Context())
}

func (w *world) head(l *fakeLog) witness.Head {
	h, _ := w.state.Head(w.t.Context(), l.origin)
	return h
}

// proven demands as many files of evidence against a log, and that each holds.
func (w *world) proven(l *fakeLog, kinds ...evidence.Kind) {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.evidence, "*"))
	if err != nil {
		w.t.Fatal(err)
	}
	var found []evidence.Kind
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			w.t.Fatal(err)
		}
		e, err := evidence.Verify(data, l.keys)
		if err != nil {
			w.t.Errorf("%s: %v\n%s", name, err, data)
		}
		if info, err := os.Stat(name); err != nil || info.Mode() != 0o644 {
			w.t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
		found = append(found, e.Kind)
	}
	if slices.Sort(found); !slices.Equal(found, kinds) {
		w.t.Errorf("evidence of %q; want %q", found, kinds)
	}
}

// logNumber is the key of one of many logs.
func logNumber(t testing.TB, seed merkle.Hash) checkpoint.Verifier {
	t.Helper()
	s, err := checkpoint.NewSigner(fmt.Sprintf("%x.example", seed[:4]), ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		t.Fatal(err)
	}
	return s.Verifier()
}
