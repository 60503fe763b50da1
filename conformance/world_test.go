package conformance_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/mldsa"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"indelible/checkpoint"
	"indelible/conformance"
	"indelible/witness"
)

// memory is a witness's State and Register, which forget with the process.
type memory struct {
	mu    sync.Mutex
	logs  []witness.Log
	heads map[string]witness.Head
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
	return m.Head(context.Background(), origin)
}

func (m *memory) Advance(context.Context, string, witness.Head) error { return nil }

// world is a witness, and the log that it was told of.
type world struct {
	log       *conformance.Log
	cosigners []*checkpoint.Cosigner
	handler   http.Handler
	url       string
	mu        sync.Mutex
}

// turn lets one request through at a time; the result ends the turn.
func (w *world) turn() func() {
	w.mu.Lock()
	return w.mu.Unlock
}

func newWorld(t testing.TB) *world {
	t.Helper()
	ml, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), bytes.Repeat([]byte{4}, 32))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{log: newLog(t)}
	if w.cosigners, err = cosignersOf("witness.example/w1", ed25519.NewKeyFromSeed(bytes.Repeat([]byte{5}, 32)), ml); err != nil {
		t.Fatal(err)
	}
	logs, _, err := witness.ParseLogList([]byte("logs/v0\n" + w.log.LogList()))
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{logs: logs, heads: make(map[string]witness.Head)}
	own, err := witness.New(t.Context(), witness.Config{State: m, Register: m, Cosigners: w.cosigners})
	if err != nil {
		t.Fatal(err)
	}
	w.handler = own.Handler("https://witness.example", func(_ context.Context, err error) { t.Errorf("the witness: %v", err) })
	w.serve(t, w.handler)
	return w
}

func (w *world) serve(t testing.TB, h http.Handler) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	w.url = server.URL
}

func cosignersOf(name string, ed ed25519.PrivateKey, ml *mldsa.PrivateKey) ([]*checkpoint.Cosigner, error) {
	a, err := checkpoint.NewCosigner(name, ed)
	if err != nil {
		return nil, err
	}
	b, err := checkpoint.NewCosigner(name, ml)
	return []*checkpoint.Cosigner{a, b}, err
}

func newLog(t testing.TB) *conformance.Log {
	t.Helper()
	log, err := conformance.NewLog(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)), "")
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func (w *world) keys() []checkpoint.Verifier {
	var keys []checkpoint.Verifier
	for _, c := range w.cosigners {
		keys = append(keys, c.Verifier())
	}
	return keys
}

// run tries the world's witness.
func (w *world) run(t testing.TB) conformance.Report {
	t.Helper()
	log, err := conformance.NewLog(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)), "")
	if err != nil {
		t.Fatal(err)
	}
	report, err := conformance.Witness(t.Context(), conformance.Config{Submission: w.url, Log: log, Keys: w.keys()}, func(conformance.Result) {})
	if err != nil {
		t.Fatal(err)
	}
	return report
}
