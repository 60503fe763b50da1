package index

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"indelible/entry"
	translog "indelible/log"
	"indelible/merkle"
	"indelible/storage"
	"indelible/storage/faulty"
	"indelible/storage/memory"
)

// rebuilt is an index over all that is published.
func (w *world) rebuilt() *Index {
	w.t.Helper()
	if err := Rebuild(w.t.Context(), w.store, w.id, nil); err != nil {
		w.t.Fatal(err)
	}
	return w.open(nil)
}

func TestFind(t *testing.T) {
	w := memoryWorld(t)
	size := w.grow(5000)
	x := w.rebuilt()
	w.complete(x, size)
	for _, limit := range []int{1, 2, 3, MaxFind} {
		if got, _ := all(t, x, artifactKey(1234), limit); !slices.Equal(got, []int64{2468, 2469}) {
			t.Fatal(got)
		}
	}
	if got, to := all(t, x, artifactKey(9999), 10); len(got) != 0 || to != size {
		t.Fatal(got, to)
	}
	for _, limit := range []int{-1, 0, MaxFind + 1} {
		if _, err := x.Find(t.Context(), artifactKey(1), -1, limit); !errors.Is(err, translog.ErrOutOfRange) {
			t.Fatal(err)
		}
	}
	hits, err := x.Find(t.Context(), signerKey(3), -1, 2)
	if err != nil || len(hits.Records) != 2 || !hits.More {
		t.Fatal(hits, err)
	}
	if r := hits.Records[0]; r.Index != 3 || r.LeafHash != merkle.LeafHash(body(3)) || r.IntegratedAt.UnixMilli() != 1000 || string(r.Canonical) != string(body(3)) {
		t.Fatalf("%+v", r)
	}
}

// Every kind is found by what it says, and raw entries by nothing.
func TestKinds(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	sign := func(message []byte) []byte {
		digest := sha256.Sum256(message)
		sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	verifier := entry.Verifier{PublicKey: spki}
	digest := sha256.Sum256([]byte("artifact"))
	hashed, err := entry.NewHashedRekord(entry.HashedRekord{Digest: digest[:], Signature: sign([]byte("artifact")), Verifier: verifier})
	if err != nil {
		t.Fatal(err)
	}
	envelope := fmt.Appendf(nil, `{"payloadType":"t","payload":"YQ==","signatures":[{"sig":%q}]}`, base64Of(sign(entry.PAE("t", []byte("a")))))
	dsse, err := entry.NewDSSE(entry.DSSE{Envelope: envelope, Verifiers: []entry.Verifier{verifier}})
	if err != nil {
		t.Fatal(err)
	}
	w := memoryWorld(t)
	w.publish(w.append([]byte("raw"), hashed.Canonical(), []byte("{}"), dsse.Canonical(), hashed.Canonical()[:40]))
	x := w.rebuilt()
	for _, c := range []struct {
		by    entry.IndexBy
		value string
		want  []int64
	}{
		{entry.ByPublicKey, fmt.Sprintf("%x", sha256.Sum256(spki)), []int64{1, 3}},
		{entry.ByArtifact, fmt.Sprintf("sha256:%x", digest), []int64{1}},
		{entry.ByPayload, fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("a"))), []int64{3}},
		{entry.ByArtifact, fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("a"))), nil},
		{entry.BySubject, "a", nil},
	} {
		if got, to := all(t, x, entry.IndexKey{By: c.by, Value: c.value}, 10); !slices.Equal(got, c.want) || to != 5 {
			t.Errorf("%s %s: %v up to %d, not %v", c.by, c.value, got, to, c.want)
		}
	}
}

// Rows of other keys with the same hash, or of nothing at all, are never shown,
// and do not hide what is behind them.
func TestCollisions(t *testing.T) {
	w := memoryWorld(t)
	size := w.grow(1000)
	st, err := w.store.IndexReset(t.Context(), w.id, storage.IndexState{}, format)
	if err != nil {
		t.Fatal(err)
	}
	var rows []storage.IndexRow
	for i := range size { // all of them under the key of signer 3
		rows = append(rows, storage.IndexRow{Key: keyHash(signerKey(3)), Index: i})
	}
	if err := w.store.IndexAppend(t.Context(), w.id, st, size, rows); err != nil {
		t.Fatal(err)
	}
	x := w.open(nil)
	for _, limit := range []int{1, 2, 10, 142, 143, 144, MaxFind} {
		got, to := all(t, x, signerKey(3), limit)
		if len(got) != 143 || got[0] != 3 || got[142] != 997 || to != size {
			t.Fatalf("with pages of %d: %v up to %d", limit, got, to)
		}
	}
}

// An answer never promises more than was searched.
func TestCompleteTo(t *testing.T) {
	w := memoryWorld(t)
	x := w.open(nil)
	expect := func(key entry.IndexKey, size int64, want ...int64) {
		t.Helper()
		if got, to := all(t, x, key, 2); !slices.Equal(got, want) || to != size {
			t.Fatalf("%v up to %d; not %v up to %d", got, to, want, size)
		}
	}
	expect(signerKey(0), 0) // no index, no log
	w.grow(10)
	expect(signerKey(0), 0) // no index
	x = w.rebuilt()
	expect(signerKey(0), 10, 0, 7)
	if x.Known() != 10 {
		t.Fatal(x.Known())
	}
	w.grow(10)
	expect(signerKey(0), 10, 0, 7) // 14 is not indexed yet
	if err := Rebuild(t.Context(), w.store, w.id, nil); err != nil {
		t.Fatal(err)
	}
	expect(signerKey(0), 20, 0, 7, 14)
	// A replica that has not heard of the newest checkpoint.
	late := newFakeLog()
	late.publish(10)
	x = w.open(func(c *Config) { c.Log = late })
	expect(signerKey(0), 10, 0, 7)
	late.publish(7)
	expect(signerKey(0), 7, 0)
	late.publish(0)
	expect(signerKey(0), 0)
	late.publish(20)
	expect(signerKey(0), 20, 0, 7, 14)
	// An index in a format of which this program knows nothing.
	st, err := w.store.IndexState(t.Context(), w.id)
	if err != nil {
		t.Fatal(err)
	}
	if st, err = w.store.IndexReset(t.Context(), w.id, st, format+1); err != nil {
		t.Fatal(err)
	}
	if err := w.store.IndexAppend(t.Context(), w.id, st, 20, []storage.IndexRow{{Key: keyHash(signerKey(0)), Index: 7}}); err != nil {
		t.Fatal(err)
	}
	expect(signerKey(0), 0)
	if err := Rebuild(t.Context(), w.store, w.id, nil); err == nil || !strings.Contains(err.Error(), "use the newer program") {
		t.Fatal(err)
	}
}

func TestFindFails(t *testing.T) {
	var fail faulty.Op
	w := newWorld(t, faulty.Wrap(memory.New(), func(op faulty.Op) faulty.Fault {
		if op == fail {
			return faulty.Fail
		}
		return faulty.None
	}))
	w.grow(10)
	x := w.rebuilt()
	for _, fail = range []faulty.Op{faulty.IndexFind, faulty.EntriesAt} {
		if _, err := x.Find(t.Context(), signerKey(0), -1, 10); !errors.Is(err, translog.ErrUnavailable) {
			t.Errorf("%s: %v", fail, err)
		}
	}
	for _, fail = range []faulty.Op{faulty.IndexState, faulty.Published, faulty.IndexReset, faulty.Entries, faulty.IndexAppend, faulty.IndexSweep} {
		if err := Rebuild(t.Context(), w.store, w.id, nil); !errors.Is(err, faulty.ErrInjected) {
			t.Errorf("rebuild, %s: %v", fail, err)
		}
	}
	fail = ""
	w.complete(w.rebuilt(), 10)
}

func TestOpenRefuses(t *testing.T) {
	good := Config{Store: memory.New(), LogID: 1, Log: newFakeLog()}
	for says, change := range map[string]func(*Config){
		"no store": func(c *Config) { c.Store = nil },
		"no log":   func(c *Config) { c.Log = nil },
		"negative": func(c *Config) { c.Gather = -1 },
	} {
		c := good
		change(&c)
		if _, err := Open(c); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}
