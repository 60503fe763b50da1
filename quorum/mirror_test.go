package quorum

import (
	"context"
	"crypto/mldsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/merkle"
	"indelible/mirror"
	"indelible/mirror/push"
	"indelible/mirror/sourcetest"
)

// pushed is the tree of a log's size, as a log has it.
type pushed struct {
	l    *sourcetest.Log
	size int64
}

func (p pushed) compute(plan merkle.Plan, err error) ([]merkle.Hash, error) {
	if err != nil {
		return nil, err
	}
	leaves := make([]merkle.Hash, p.size)
	for i := range leaves {
		leaves[i] = merkle.LeafHash(sourcetest.Entry(int64(i)))
	}
	edge, full := merkle.Edge{}.Append(leaves)
	return plan.Compute(func(t merkle.Tile) (*merkle.Nodes, error) {
		for _, f := range full {
			if f.Level == t.Level && f.Index == t.Index {
				return merkle.Expand(f.Hashes)
			}
		}
		return merkle.Expand(edge.Partial(t.Level))
	})
}

func (p pushed) Consistency(_ context.Context, from int64) ([]merkle.Hash, error) {
	return p.compute(merkle.PlanConsistency(from, p.size))
}

func (p pushed) Subtree(_ context.Context, start, end int64) ([]merkle.Hash, error) {
	return p.compute(merkle.PlanSubtree(start, end, p.size))
}

func (p pushed) Entries(_ context.Context, start, end int64) (all [][]byte, err error) {
	for i := start; i < end; i++ {
		all = append(all, sourcetest.Entry(i))
	}
	return all, nil
}

// A mirror counts in the quorum once it has everything. While it is away nothing
// is published; when it is back, it catches up.
func TestMirrorInTheQuorum(t *testing.T) {
	l := sourcetest.New(t, "log.example", 0)
	copied, err := mirror.Open(mirror.Config{Dir: t.TempDir(), Origin: l.Origin, Keys: []checkpoint.Verifier{l.Key}})
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	seed := sha256.Sum256([]byte("mirror"))
	key, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), seed[:])
	if err != nil {
		t.Fatal(err)
	}
	by, err := checkpoint.NewCosigner("mirror.example", key)
	if err != nil {
		t.Fatal(err)
	}
	server, err := push.NewServer(t.Context(), push.Config{
		Logs: []push.Log{{Origin: l.Origin, Keys: []checkpoint.Verifier{l.Key}, Copy: copied}}, Cosigners: []*checkpoint.Cosigner{by}, TicketKey: push.TicketKey{1},
		Fault: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	var away atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if away.Load() {
			http.Error(rw, "away", http.StatusBadGateway)
			return
		}
		server.ServeHTTP(rw, r)
	}))
	defer s.Close()
	text := fmt.Sprintf("witness m %s %s\ngroup g all m\nquorum g\n", by.Verifier(), s.URL)
	policy, err := checkpoint.ParsePolicy([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Policy: policy, Log: []checkpoint.Verifier{l.Key}, Mirrors: []string{"n"}}); err == nil || !strings.Contains(err.Error(), `the mirror "n" is not a witness`) {
		t.Error(err)
	}
	plain, err := New(Config{Policy: policy, Log: []checkpoint.Verifier{l.Key}, Wait: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	l.Grow(3)
	if _, err := plain.Cosign(t.Context(), l.Note(3), pushed{l, 3}); !errors.Is(err, ErrQuorum) || !strings.Contains(err.Error(), "--mirrors") {
		t.Errorf("a mirror that was taken for a witness: %v", err)
	}
	w, err := New(Config{Policy: policy, Log: []checkpoint.Verifier{l.Key}, Mirrors: []string{"m"}, Wait: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	has := func(size int64) {
		t.Helper()
		note, err := w.Cosign(t.Context(), l.Note(size), pushed{l, size})
		if err != nil {
			t.Fatal(err)
		}
		if head := copied.Head(); head.Size != size || head.Root != l.Root(size) {
			t.Errorf("the mirror has size %d of %d", head.Size, size)
		}
		if o, err := checkpoint.Open(note, []checkpoint.Verifier{l.Key}, by.Verifier()); err != nil || !o.VerifiedBy(by.Verifier()) {
			t.Errorf("%v\n%s", err, note)
		}
	}
	has(3)
	l.Grow(700)
	has(700)
	if err := w.Confirm(t.Context(), l.Note(700), pushed{l, 700}, func(context.Context) (int64, error) { return 700, nil }); err != nil {
		t.Errorf("confirm: %v", err)
	}
	away.Store(true)
	l.Grow(9000)
	if _, err := w.Cosign(t.Context(), l.Note(9000), pushed{l, 9000}); !errors.Is(err, ErrQuorum) {
		t.Errorf("without its mirror: %v", err)
	}
	away.Store(false)
	deadline := time.Now().Add(30 * time.Second)
	for poll := time.NewTicker(50 * time.Millisecond); ; <-poll.C { // it rests for a second or two
		if _, err := w.Cosign(t.Context(), l.Note(9000), pushed{l, 9000}); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if copied.Head().Size != 9000 {
		t.Errorf("the mirror has size %d", copied.Head().Size)
	}
}
