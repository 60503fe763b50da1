package object

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"indelible/guard"
	"indelible/guard/guardtest"
)

func options() Options {
	return Options{Credentials: credentials.NewStaticV4("key", "top-secret", ""), Timeout: time.Minute}
}

func TestObjectConforms(t *testing.T) {
	guardtest.Run(t, func(t *testing.T) guardtest.Place {
		s := newStore(t)
		return &place{s, s.place(t)}
	})
}

type place struct {
	store *store
	at    Place
}

func (p *place) Create(ctx context.Context, origin, id string) (guardtest.Register, error) {
	r, err := Create(ctx, p.at, guard.NewText(origin, id), options())
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (p *place) Open(ctx context.Context, _ string) (guardtest.Register, error) {
	r, err := Open(ctx, p.at, options())
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (p *place) locked(f func(*store)) error {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	f(p.store)
	return nil
}

const key = "/bucket/logs/a/register"

func (p *place) Content() (content []byte, err error) {
	err = p.locked(func(s *store) { content = s.objects[key] })
	return content, err
}

func (p *place) Put(content []byte) error {
	return p.locked(func(s *store) { s.objects[key] = content })
}

func (p *place) Cut() error { return p.locked(func(s *store) { s.deaf = true }) }

func (p *place) Mend() error {
	return p.locked(func(s *store) { s.deaf, s.answer, s.hang = false, 0, nil })
}

func (p *place) Lose() {
	p.locked(func(s *store) { s.answer, s.after = http.StatusInternalServerError, true })
}

func (p *place) Refuse() {
	p.locked(func(s *store) { s.answer, s.after = http.StatusServiceUnavailable, false })
}

func create(t *testing.T, s *store, o Options) *guard.Shared {
	t.Helper()
	r, err := Create(t.Context(), s.place(t), guard.NewText(guardtest.Origin, guard.NewID()), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// Whatever a store answers to a write that it did, it is known to be done; and
// one that it did not do is never taken for done.
func TestAnswers(t *testing.T) {
	for _, status := range []int{408, 409, 412, 429, 500, 502, 503, 504, 403} {
		s := newStore(t)
		r := create(t, s, options())
		s.answer, s.after = status, true
		if err := r.Advance(t.Context(), guard.Empty(), guardtest.Head(1)); err != nil {
			t.Errorf("%d after it was done: %v", status, err)
		}
		s.answer, s.after = status, false
		err := r.Advance(t.Context(), guardtest.Head(1), guardtest.Head(2))
		again := status == 409 || status == 412 // which ask to look again
		if (err == nil) != again || errors.Is(err, guard.ErrMoved) {
			t.Errorf("%d without its being done: %v", status, err)
		}
		want := guardtest.Head(1)
		if again {
			want = guardtest.Head(2)
		}
		if got, err := r.Read(t.Context()); err != nil || got.Newest != want {
			t.Errorf("%d: it knows %v, %v", status, got, err)
		}
	}
}

// The other answers come in time, on a machine that is slow as well: if not, all
// is tried again with more of it.
func TestAnswerThatDoesNotCome(t *testing.T) {
	for timeout := 200 * time.Millisecond; ; timeout *= 5 {
		err := notAnswered(t, timeout)
		if err == nil {
			return
		}
		if timeout > 20*time.Second {
			t.Fatal(err)
		}
	}
}

func notAnswered(t *testing.T, timeout time.Duration) error {
	t.Helper()
	s := newStore(t)
	create(t, s, options())
	o := options()
	o.Timeout = timeout
	r, err := Open(t.Context(), s.place(t), o)
	if err != nil {
		return err
	}
	defer r.Close()
	hang := make(chan struct{})
	defer close(hang)
	s.hang = hang
	if err := r.Advance(t.Context(), guard.Empty(), guardtest.Head(1)); err != nil {
		return fmt.Errorf("it was written: %w", err)
	}
	if got, err := r.Read(t.Context()); err != nil || got.Newest != guardtest.Head(1) {
		return fmt.Errorf("it knows %v, %w", got, err)
	}
	return nil
}

// A publication's cost: one GET to read, one PUT to advance.
func TestRoundTrips(t *testing.T) {
	s := newStore(t)
	r := create(t, s, options())
	s.gets, s.puts = 0, 0
	for size := int64(1); size <= 10; size++ {
		state, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Advance(t.Context(), state.Newest, guardtest.Head(size)); err != nil {
			t.Fatal(err)
		}
	}
	if s.gets != 10 || s.puts != 10 {
		t.Fatalf("%d GETs and %d PUTs for ten publications", s.gets, s.puts)
	}
}

func TestStoresThatCannotHoldARegister(t *testing.T) {
	for name, spoil := range map[string]func(*store){
		"ignores conditions": func(s *store) { s.unguarded = true },
		"gives no ETag":      func(s *store) { s.withoutETags = true },
	} {
		s := newStore(t)
		spoil(s)
		_, err := Create(t.Context(), s.place(t), guard.NewText(guardtest.Origin, guard.NewID()), options())
		if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestObjectThatIsGone(t *testing.T) {
	s := newStore(t)
	r := create(t, s, options())
	delete(s.objects, key)
	if _, err := r.Read(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := r.Advance(t.Context(), guard.Empty(), guardtest.Head(1)); err == nil {
		t.Fatal("a register that is gone was advanced")
	}
	if len(s.objects[key]) > 0 {
		t.Fatal("it was made anew")
	}
}

func TestObjectThatIsTooBig(t *testing.T) {
	s := newStore(t)
	create(t, s, options())
	s.objects[key] = make([]byte, 100<<20)
	if _, err := Open(t.Context(), s.place(t), options()); !errors.Is(err, guard.ErrCorrupt) {
		t.Fatal(err)
	}
}

func TestNoSecretIsRepeated(t *testing.T) {
	s := newStore(t)
	r := create(t, s, options())
	s.deaf = true
	_, err := r.Read(t.Context())
	if err == nil || strings.Contains(err.Error(), "top-secret") {
		t.Fatal(err)
	}
	for _, place := range []string{"s3://key:top-secret@bucket/a", "s3://b/a?endpoint=https://key:top-secret@host", "s3://key:top-secret%zz@b"} {
		if _, err := ParsePlace(place); err == nil || strings.Contains(err.Error(), "top-secret") {
			t.Errorf("%v", err)
		}
	}
}

func TestPlaces(t *testing.T) {
	for text, want := range map[string]string{
		"s3://b":                     "s3://b/register",
		"s3://b/":                    "s3://b/register",
		"s3://b/x/y":                 "s3://b/x/y/register",
		"s3://b/x/?region=eu-west-1": "s3://b/x/register",
		"s3://b/x?endpoint=http://127.0.0.1:9000":                 "s3://b/x/register at 127.0.0.1:9000",
		"s3://b/x?endpoint=https%3A%2F%2Fs3.example.com&region=r": "s3://b/x/register at s3.example.com",
	} {
		if p, err := ParsePlace(text); err != nil || p.String() != want {
			t.Errorf("%s: %s, %v", text, p, err)
		}
	}
	for _, text := range []string{
		"", "s3:", "s3://", "s3:///x", "https://b/x", "s3://b/x#f", "s3://b?zone=1", "s3://b?region=", "s3://b?region=a&region=b",
		"s3://b?endpoint=host:9000", "s3://b?endpoint=https://h/path", "s3://b?endpoint=ftp://h", "s3://b?endpoint=https://",
	} {
		if p, err := ParsePlace(text); err == nil {
			t.Errorf("%q was taken for %v", text, p)
		}
	}
}
