package rekorv1_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/entry"
	"indelible/guard"
	translog "indelible/log"
	"indelible/merkle"
	"indelible/server/rekorv1"
	"indelible/storage"
	"indelible/storage/memory"
)

const (
	host         = "log.example.com"
	treeID       = 0x108f000000000001
	treeHex      = "108f000000000001"
	noCache      = "no-cache, no-store, no-transform, must-revalidate, private, max-age=0"
	entriesPath  = "/api/v1/log/entries"
	retrievePath = entriesPath + "/retrieve"
	maxBody      = 1 << 20
)

func v1Kinds() []entry.Kind {
	return []entry.Kind{entry.KindHashedRekord, entry.KindDSSE, entry.KindIntoto, entry.KindRekord}
}

// world is the API over a log.
type world struct {
	log    *translog.Log // nil over a fake one
	api    http.Handler
	key    *ecdsa.PrivateKey
	faults *faults
}

// faults are the errors that clients were not shown.
type faults struct {
	mu  sync.Mutex
	all []error
}

func (f *faults) add(_ context.Context, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, err)
}

func (f *faults) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.all)
}

// apiKey makes a P-256 key.
func apiKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// over makes the API over a log; set changes its configuration.
func over(tb testing.TB, log rekorv1.Log, set ...func(*rekorv1.Config)) *world {
	tb.Helper()
	w := &world{key: apiKey(tb), faults: &faults{}}
	cfg := rekorv1.Config{Log: log, Key: rekorv1.LocalKey(w.key), Host: host, TreeID: treeID, Kinds: v1Kinds(), MaxBody: maxBody, Fault: w.faults.add}
	for _, change := range set {
		change(&cfg)
	}
	api, err := rekorv1.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	w.api = api
	return w
}

// newWorld is the API over a log that runs until the test ends.
func newWorld(tb testing.TB, set ...func(*rekorv1.Config)) *world {
	tb.Helper()
	log := newLog(tb)
	w := over(tb, log, set...)
	w.log = log
	return w
}

func newLog(tb testing.TB) *translog.Log {
	tb.Helper()
	log, _ := newLogOn(tb, memory.New())
	return log
}

// newLogOn runs a new log until the test ends, and returns its id in the store.
func newLogOn(tb testing.TB, store storage.Store) (*translog.Log, int64) {
	tb.Helper()
	key, err := checkpoint.NewSigner(host, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		tb.Fatal(err)
	}
	reg, err := guard.CreateFile(filepath.Join(tb.TempDir(), "register"), host, guard.NewID())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { reg.Close() })
	record, err := store.CreateLog(tb.Context(), storage.Log{
		Instance: guard.NewID(), Origin: host, Keys: []string{key.Verifier().String()},
		Register: reg.ID(), CreatedAt: time.Now().UTC().Truncate(time.Millisecond),
	}, storage.Head{Root: merkle.EmptyRoot()})
	if err != nil {
		tb.Fatal(err)
	}
	log, err := translog.Open(translog.Config{Store: store, Record: record, Signers: []translog.Signer{key}, Register: reg})
	if err != nil {
		tb.Fatal(err)
	}
	run(tb, log.Run)
	if _, err := log.AwaitNewer(deadline(tb), -1); err != nil {
		tb.Fatal(err)
	}
	return log, record.ID
}

// run runs something until the test ends.
func run(tb testing.TB, it func(context.Context) error) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- it(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
}

// deadline is far beyond what any step takes; it only ends a test that hangs.
func deadline(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(tb.Context(), 3*time.Minute)
	tb.Cleanup(cancel)
	return ctx
}

// ask sends a request with a JSON body; with none if it is "".
func (w *world) ask(tb testing.TB, method, target, body string) *httptest.ResponseRecorder {
	tb.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body)).WithContext(deadline(tb))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return w.do(r)
}

func (w *world) do(r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	return rec
}

// refused expects an error in the one shape of errors.
func (w *world) refused(tb testing.TB, rec *httptest.ResponseRecorder, status, code int, contains string) {
	tb.Helper()
	var f struct {
		Code    *int    `json:"code"`
		Message *string `json:"message"`
	}
	d := json.NewDecoder(bytes.NewReader(rec.Body.Bytes()))
	d.DisallowUnknownFields()
	err := d.Decode(&f)
	if _, more := d.Token(); err != nil || more != io.EOF || f.Code == nil || f.Message == nil || rec.Header().Get("Content-Type") != "application/json" {
		tb.Fatalf("not the shape of an error: %v, %d %v %s", err, rec.Code, rec.Header(), rec.Body)
	}
	if rec.Code != status || *f.Code != code || !strings.Contains(*f.Message, contains) {
		tb.Errorf("%d, code %d, %q; and not %d, %d, with %q", rec.Code, *f.Code, *f.Message, status, code, contains)
	}
}

// logEntry is an entry as clients read it, strictly.
type logEntry struct {
	Body           []byte  `json:"body"`
	IntegratedTime *int64  `json:"integratedTime"`
	LogID          *string `json:"logID"`
	LogIndex       *int64  `json:"logIndex"`
	Verification   *struct {
		InclusionProof *struct {
			Checkpoint *string  `json:"checkpoint"`
			Hashes     []string `json:"hashes"`
			LogIndex   *int64   `json:"logIndex"`
			RootHash   *string  `json:"rootHash"`
			TreeSize   *int64   `json:"treeSize"`
		} `json:"inclusionProof"`
		SignedEntryTimestamp []byte `json:"signedEntryTimestamp"`
	} `json:"verification"`
}

// created expects a 201 with all that clients read of it.
func (w *world) created(tb testing.TB, rec *httptest.ResponseRecorder) (string, logEntry) {
	tb.Helper()
	if rec.Code != http.StatusCreated {
		tb.Fatalf("%d: %s", rec.Code, rec.Body)
	}
	id, e := w.only(tb, rec.Body.Bytes())
	if got := rec.Header()["Etag"]; len(got) != 1 || got[0] != id {
		tb.Errorf("ETag is %q, and not bare %s", got, id)
	}
	if got := rec.Header().Get("Location"); got != entriesPath+"/"+id {
		tb.Errorf("Location is %q", got)
	}
	return id, e
}

// found expects a read's answer.
func (w *world) found(tb testing.TB, rec *httptest.ResponseRecorder) (string, logEntry) {
	tb.Helper()
	if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != "application/json" || rec.Header().Get("Cache-Control") != noCache {
		tb.Fatalf("%d %v: %s", rec.Code, rec.Header(), rec.Body)
	}
	return w.only(tb, rec.Body.Bytes())
}

// missing expects a read's 404, which has no body and no type.
func missing(tb testing.TB, rec *httptest.ResponseRecorder) {
	tb.Helper()
	if rec.Code != http.StatusNotFound || rec.Body.Len() != 0 || rec.Header().Get("Content-Type") != "" {
		tb.Errorf("%d %v %q, and not an empty 404", rec.Code, rec.Header(), rec.Body)
	}
}

// only checks all that an entry's answer says, by code that shares nothing with
// what made it.
func (w *world) only(tb testing.TB, data []byte) (string, logEntry) {
	tb.Helper()
	var m map[string]logEntry
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil || len(m) != 1 || d.More() {
		tb.Fatalf("%v, %d entries: %s", err, len(m), data)
	}
	for id, e := range m {
		w.check(tb, id, e)
		return id, e
	}
	panic("unreachable")
}

func (w *world) check(tb testing.TB, id string, e logEntry) {
	tb.Helper()
	if e.LogIndex == nil || e.IntegratedTime == nil || e.LogID == nil || e.Verification == nil || e.Verification.InclusionProof == nil {
		tb.Fatalf("something is not there: %+v", e)
	}
	leaf := sha256.Sum256(append([]byte{0}, e.Body...))
	if id != treeHex+hex.EncodeToString(leaf[:]) {
		tb.Errorf("the id is %s, of the leaf %x", id, leaf)
	}
	if *e.LogID != w.logID(tb) {
		tb.Errorf("logID is %s", *e.LogID)
	}
	w.checkSET(tb, e)
	w.checkProof(tb, leaf, e)
}

func (w *world) logID(tb testing.TB) string {
	tb.Helper()
	spki, err := x509.MarshalPKIXPublicKey(w.key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	sum := sha256.Sum256(spki)
	return hex.EncodeToString(sum[:])
}

// checkSET verifies the signed entry timestamp over JSON that encoding/json
// wrote, which sorts a map's members.
func (w *world) checkSET(tb testing.TB, e logEntry) {
	tb.Helper()
	payload, err := json.Marshal(map[string]any{"body": e.Body, "integratedTime": *e.IntegratedTime, "logID": *e.LogID, "logIndex": *e.LogIndex})
	if err != nil {
		tb.Fatal(err)
	}
	digest := sha256.Sum256(payload)
	if !ecdsa.VerifyASN1(&w.key.PublicKey, digest[:], e.Verification.SignedEntryTimestamp) {
		tb.Errorf("the SET does not verify over %s", payload)
	}
}

func (w *world) checkProof(tb testing.TB, leaf merkle.Hash, e logEntry) {
	tb.Helper()
	p := e.Verification.InclusionProof
	if p.Checkpoint == nil || p.Hashes == nil || p.LogIndex == nil || p.RootHash == nil || p.TreeSize == nil {
		tb.Fatalf("something of the proof is not there: %+v", p)
	}
	size, root := w.checkNote(tb, *p.Checkpoint)
	if *p.TreeSize != size || *p.RootHash != hex.EncodeToString(root[:]) || *p.LogIndex != *e.LogIndex {
		tb.Errorf("proof of %d in %d, root %s; the note says %d, %x", *p.LogIndex, *p.TreeSize, *p.RootHash, size, root)
	}
	if err := merkle.VerifyInclusion(*p.LogIndex, size, leaf, unhex(tb, p.Hashes), root); err != nil {
		tb.Error(err)
	}
}

func unhex(tb testing.TB, list []string) []merkle.Hash {
	tb.Helper()
	out := make([]merkle.Hash, len(list))
	for i, s := range list {
		b, err := hex.DecodeString(s)
		if err != nil || len(b) != merkle.HashSize {
			tb.Fatalf("hash %q: %v", s, err)
		}
		out[i] = merkle.Hash(b)
	}
	return out
}

// checkNote verifies a note of Rekor v1's flavour, whose key is not called like
// its first line.
func (w *world) checkNote(tb testing.TB, note string) (int64, merkle.Hash) {
	tb.Helper()
	n, err := checkpoint.ParseNote([]byte(note))
	if err != nil {
		tb.Fatal(err)
	}
	c, err := checkpoint.ParseText(n.Text)
	if err != nil {
		tb.Fatal(err)
	}
	if want := fmt.Sprintf("%s - %d", host, int64(treeID)); c.Origin != want {
		tb.Errorf("the first line is %q, and not %q", c.Origin, want)
	}
	digest := sha256.Sum256(n.Text)
	s := n.Signatures[0]
	if len(n.Signatures) != 1 || s.Name != host || fmt.Sprintf("%08x", s.KeyID) != w.logID(tb)[:8] || !ecdsa.VerifyASN1(&w.key.PublicKey, digest[:], s.Blob) {
		tb.Errorf("not signed by %s: %q", host, note)
	}
	return c.Size, c.Root
}

// signer makes entries as clients propose them.
type signer struct {
	key *ecdsa.PrivateKey
	pem []byte
}

func newSigner(tb testing.TB) signer {
	tb.Helper()
	key := apiKey(tb)
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	return signer{key, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})}
}

// sign gives one signature to a message, always the same.
func (s signer) sign(tb testing.TB, message []byte) []byte {
	tb.Helper()
	digest := sha256.Sum256(message)
	sig, err := s.key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		tb.Fatal(err)
	}
	return sig
}

// hashedrekord is what cosign proposes for a blob.
func (s signer) hashedrekord(tb testing.TB, artifact string) string {
	tb.Helper()
	return proposal(tb, "hashedrekord", "0.0.1", map[string]any{
		"data":      map[string]any{"hash": map[string]any{"algorithm": "sha256", "value": hexSum(artifact)}},
		"signature": map[string]any{"content": s.sign(tb, []byte(artifact)), "publicKey": map[string]any{"content": s.pem}},
	})
}

const payloadType = "application/vnd.in-toto+json"

// dsse is what cosign proposes for an attestation.
func (s signer) dsse(tb testing.TB, payload string) string {
	tb.Helper()
	return proposal(tb, "dsse", "0.0.1", map[string]any{
		"proposedContent": map[string]any{"envelope": s.envelope(tb, payload), "verifiers": []any{s.pem}},
	})
}

// intoto is what older clients propose for one. Its members are base64 twice.
func (s signer) intoto(tb testing.TB, payload string) string {
	tb.Helper()
	twice := func(b []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(b)) }
	sig := s.sign(tb, entry.PAE(payloadType, []byte(payload)))
	return proposal(tb, "intoto", "0.0.2", map[string]any{"content": map[string]any{
		"envelope": map[string]any{
			"payloadType": payloadType, "payload": twice([]byte(payload)),
			"signatures": []any{map[string]any{"sig": twice(sig), "publicKey": s.pem}},
		},
		"hash": map[string]any{"algorithm": "sha256", "value": hexSum(s.envelope(tb, payload))},
	}})
}

// rekord is what rekor-cli proposes for an artifact, which comes with it.
func (s signer) rekord(tb testing.TB, artifact string) string {
	tb.Helper()
	return proposal(tb, "rekord", "0.0.1", map[string]any{
		"data":      map[string]any{"content": []byte(artifact)},
		"signature": map[string]any{"format": "x509", "content": s.sign(tb, []byte(artifact)), "publicKey": map[string]any{"content": s.pem}},
	})
}

func (s signer) envelope(tb testing.TB, payload string) string {
	tb.Helper()
	return toJSON(tb, map[string]any{
		"payloadType": payloadType, "payload": []byte(payload),
		"signatures": []any{map[string]any{"sig": s.sign(tb, entry.PAE(payloadType, []byte(payload)))}},
	})
}

func proposal(tb testing.TB, kind, version string, spec any) string {
	tb.Helper()
	return toJSON(tb, map[string]any{"apiVersion": version, "kind": kind, "spec": spec})
}

func hexSum(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func toJSON(tb testing.TB, v any) string {
	tb.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

// add logs an artifact's hashedrekord and returns its id and its entry.
func (w *world) add(tb testing.TB, s signer, artifact string) (string, logEntry) {
	tb.Helper()
	return w.created(tb, w.ask(tb, "POST", entriesPath, s.hashedrekord(tb, artifact)))
}
