package rekorv1_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"indelible/entry"
	translog "indelible/log"
	"indelible/server/rekorv1"
)

// remoteKey stands for a key that is elsewhere. sign may be changed while it is
// in use.
type remoteKey struct {
	local rekorv1.Key
	sign  atomic.Pointer[func(context.Context, [sha256.Size]byte) ([]byte, error)]
	asked atomic.Int64
}

func (k *remoteKey) Public() *ecdsa.PublicKey { return k.local.Public() }

func (k *remoteKey) Sign(ctx context.Context, digest [sha256.Size]byte) ([]byte, error) {
	k.asked.Add(1)
	if sign := k.sign.Load(); sign != nil {
		return (*sign)(ctx, digest)
	}
	return k.local.Sign(ctx, digest)
}

func (k *remoteKey) is(sign func(context.Context, [sha256.Size]byte) ([]byte, error)) {
	k.sign.Store(&sign)
}

// newRemote is a world whose key is elsewhere.
func newRemote(t *testing.T, set ...func(*rekorv1.Config)) (*world, *remoteKey) {
	t.Helper()
	key := &remoteKey{}
	set = append(set, func(c *rekorv1.Config) { key.local, c.Key = c.Key, key })
	return newWorld(t, set...), key
}

// questions are those that take a signature of a log with one entry, which is
// added by the first.
func (w *world) questions(t *testing.T, s signer) []func() *httptest.ResponseRecorder {
	return []func() *httptest.ResponseRecorder{
		func() *httptest.ResponseRecorder { return w.ask(t, "POST", entriesPath, s.hashedrekord(t, "a")) },
		func() *httptest.ResponseRecorder { return w.ask(t, "GET", "/api/v1/log", "") },
		func() *httptest.ResponseRecorder { return w.ask(t, "GET", entriesPath+"?logIndex=0", "") },
		func() *httptest.ResponseRecorder {
			return w.ask(t, "POST", entriesPath+"/retrieve", `{"logIndexes":[0]}`)
		},
	}
}

// TestKeyAway: 503 and when to come back, without a host's name; the entry is
// logged. Then the key is back.
func TestKeyAway(t *testing.T) {
	w, key := newRemote(t)
	s := newSigner(t)
	key.is(func(context.Context, [sha256.Size]byte) ([]byte, error) {
		return nil, errors.New("KMS at kms.internal does not answer")
	})
	for _, ask := range w.questions(t, s) {
		rec := ask()
		w.refused(t, rec, 503, 503, "cannot sign at present: what is logged stays logged")
		if strings.Contains(rec.Body.String(), "kms") || rec.Header().Get("Retry-After") == "" {
			t.Errorf("%v %s", rec.Header(), rec.Body)
		}
	}
	if p, err := w.log.Published(); err != nil || p.Size != 1 {
		t.Errorf("published: %+v, %v", p, err)
	}
	key.sign.Store(nil)
	if _, e := w.created(t, w.ask(t, "POST", entriesPath, s.hashedrekord(t, "a"))); *e.LogIndex != 0 {
		t.Errorf("index %d", *e.LogIndex)
	}
}

// TestKeySlow: 504 when the time is over, which the key is told; what was signed
// before is answered meanwhile, and so is what needs no signature.
func TestKeySlow(t *testing.T) {
	s := newSigner(t)
	synctest.Test(t, func(t *testing.T) {
		w, key := newRemote(t, func(c *rekorv1.Config) { c.Timeout = 200 * time.Millisecond })
		w.add(t, s, "before")
		var told atomic.Int64
		key.is(func(ctx context.Context, _ [sha256.Size]byte) ([]byte, error) {
			<-ctx.Done()
			told.Add(1)
			return nil, ctx.Err()
		})
		w.found(t, w.ask(t, "GET", entriesPath+"?logIndex=0", ""))
		if rec := w.ask(t, "GET", "/api/v1/log/publicKey", ""); rec.Code != 200 {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
		w.refused(t, w.ask(t, "POST", entriesPath, s.hashedrekord(t, "a")), 504, 504, "did not sign in time")
		synctest.Wait() // the caller does not wait until the key knows
		if told.Load() == 0 {
			t.Error("the key was not told")
		}
		if p, err := w.log.Published(); err != nil || p.Size != 2 {
			t.Errorf("published: %+v, %v", p, err)
		}
	})
}

// TestKeySignsOnce: those who ask for an entry at the same time get one SET.
func TestKeySignsOnce(t *testing.T) {
	w, key := newRemote(t)
	s := newSigner(t)
	w.add(t, s, "a")
	_, first := w.found(t, w.ask(t, "GET", entriesPath+"?logIndex=0", ""))
	asked := key.asked.Load()
	if asked != 2 {
		t.Errorf("%d signatures of one entry and one head", asked)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, e := w.found(t, w.ask(t, "GET", entriesPath+"?logIndex=0", "")); !reflect.DeepEqual(e.Verification.SignedEntryTimestamp, first.Verification.SignedEntryTimestamp) {
				t.Error("another SET")
			}
		})
	}
	all.Wait()
	if n := key.asked.Load(); n != asked {
		t.Errorf("%d signatures more", n-asked)
	}
}

// endless is a log that has an entry at every index, and takes one more.
type endless struct{ *fakeLog }

func (endless) EntryWithProof(_ context.Context, index int64) (translog.Record, translog.Proof, translog.Published, error) {
	r := translog.Record{Index: index, LeafHash: sha256.Sum256(fmt.Append(nil, index)), Canonical: fmt.Append(nil, index)}
	return r, translog.Proof{Size: 1000}, translog.Published{}, nil
}

func (endless) Add(_ context.Context, e entry.Entry) (translog.Receipt, error) {
	return translog.Receipt{Index: 999, LeafHash: e.LeafHash(), Proof: translog.Proof{Size: 1000}}, nil
}

// TestAddsBeforeReads: however many entries are read that are to be signed, an
// add's signature is made at once. Those who waited too long are told to come back.
func TestAddsBeforeReads(t *testing.T) {
	s := newSigner(t)
	synctest.Test(t, func(t *testing.T) {
		key := &remoteKey{}
		w := over(t, endless{&fakeLog{}}, func(c *rekorv1.Config) { key.local, c.Key = c.Key, key })
		if rec := w.ask(t, "GET", entriesPath+"?logIndex=0", ""); rec.Code != 200 { // the head is signed
			t.Fatal(rec.Code, rec.Body)
		}
		release, before := make(chan struct{}), key.asked.Load()
		key.is(func(ctx context.Context, digest [sha256.Size]byte) ([]byte, error) {
			<-release
			return key.local.Sign(ctx, digest)
		})
		const readers, most = 40, 8
		answers := make(chan *httptest.ResponseRecorder, readers)
		for i := range readers {
			go func() { answers <- w.ask(t, "GET", fmt.Sprintf("%s?logIndex=%d", entriesPath, i+1), "") }()
		}
		synctest.Wait()
		if n := key.asked.Load() - before; n != most {
			t.Errorf("%d signatures for readers at a time", n)
		}
		key.sign.Store(nil)
		if rec := w.ask(t, "POST", entriesPath, s.hashedrekord(t, "a")); rec.Code != 201 {
			t.Errorf("an add: %d %s", rec.Code, rec.Body)
		}
		if rec := w.ask(t, "GET", entriesPath+"?logIndex=999", ""); rec.Code != 200 { // it is signed already
			t.Errorf("what was added: %d %s", rec.Code, rec.Body)
		}
		for range readers - most {
			rec := <-answers
			w.refused(t, rec, 503, 503, "too many entries are to be signed for readers")
			if rec.Header().Get("Retry-After") == "" {
				t.Error(rec.Header())
			}
		}
		close(release)
		for range most {
			if rec := <-answers; rec.Code != 200 {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
		}
	})
}

// TestKeyIsWrong: a note that does not verify is not given away.
func TestKeyIsWrong(t *testing.T) {
	w, key := newRemote(t)
	other := rekorv1.LocalKey(apiKey(t))
	key.is(func(ctx context.Context, digest [sha256.Size]byte) ([]byte, error) { return other.Sign(ctx, digest) })
	w.refused(t, w.ask(t, "GET", "/api/v1/log", ""), 503, 503, "cannot sign")
}

// TestLocalKeyIsHedged: no two signatures are alike, so that two of one message,
// of which a fault spoiled one, do not betray the key.
func TestLocalKeyIsHedged(t *testing.T) {
	key := rekorv1.LocalKey(apiKey(t))
	digest, seen := sha256.Sum256([]byte("a message")), map[string]bool{}
	for range 8 {
		sig, err := key.Sign(t.Context(), digest)
		if err != nil || !ecdsa.VerifyASN1(key.Public(), digest[:], sig) {
			t.Fatal(err, fmt.Sprintf("%x", sig))
		}
		seen[string(sig)] = true
	}
	if len(seen) != 8 {
		t.Errorf("%d of 8 differ", len(seen))
	}
}
