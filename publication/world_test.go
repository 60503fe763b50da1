package publication

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"sync"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/internal/testkit"
	translog "indelible/log"
	"indelible/merkle"
	"indelible/mirror/sourcetest"
)

// growing is a log that is published, and that grows when it is told to.
type growing struct {
	*sourcetest.Log

	mu    sync.Mutex
	now   translog.Published
	grown chan struct{}
	wrong string // a path of which it returns other bytes
}

func newGrowing(t testing.TB, origin string, size int64) *growing {
	g := &growing{Log: sourcetest.New(t, origin, size), grown: make(chan struct{})}
	g.grow(size)
	return g
}

func (g *growing) grow(size int64) {
	g.Grow(size)
	g.show(translog.Published{Size: size, Root: g.Root(size), Note: g.Note(size)})
}

// show makes a checkpoint the newest one.
func (g *growing) show(p translog.Published) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now = p
	close(g.grown)
	g.grown = make(chan struct{})
}

func (g *growing) keys() []checkpoint.Verifier { return []checkpoint.Verifier{g.Key} }

// Published implements Log.
func (g *growing) Published() (translog.Published, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now, nil
}

// AwaitNewer implements Log.
func (g *growing) AwaitNewer(ctx context.Context, than int64) (translog.Published, error) {
	for {
		g.mu.Lock()
		now, grown := g.now, g.grown
		g.mu.Unlock()
		if now.Size > than {
			return now, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return now, ctx.Err()
		}
	}
}

func (g *growing) resource(path string) ([]byte, error) {
	data := g.Resource(path)
	if data == nil {
		return nil, fmt.Errorf("%w: %s", translog.ErrNotFound, path)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if path == g.wrong {
		data[len(data)-1] ^= 1
	}
	return data, nil
}

// Tile implements Log.
func (g *growing) Tile(_ context.Context, t merkle.Tile) ([]byte, error) { return g.resource(t.Path()) }

// Bundle implements Log.
func (g *growing) Bundle(_ context.Context, b merkle.Bundle) ([]byte, error) {
	return g.resource(b.Path())
}

// place is a store in memory, which several sessions may write at the same time. What
// was put is there at once or only after Sync, by chance, as in a crash.
type place struct {
	mu    sync.Mutex
	files map[string][]byte
	steps int // that are left before everything fails; below 0: it never does
	watch func(path string, files map[string][]byte)
}

var errCrashed = errors.New("crashed")

func newPlace() *place { return &place{files: make(map[string][]byte), steps: -1} }

func (p *place) open(context.Context) (Store, error) {
	return &placed{place: p, coming: make(map[string][]byte)}, nil
}

// do does a step under the lock, unless there are none left.
func (p *place) do(path string, f func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.steps == 0 {
		return errCrashed
	}
	if p.steps > 0 {
		p.steps--
	}
	err := f()
	if err == nil && p.watch != nil {
		p.watch(path, p.files)
	}
	return err
}

// placed is an open place.
type placed struct {
	*place
	coming map[string][]byte
}

// Put implements Store.
func (p *placed) Put(_ context.Context, path string, data []byte) error {
	return p.do(path, func() error {
		p.coming[path] = data
		if len(p.coming)%3 == 0 { // it was quick
			p.files[path] = data
		}
		return nil
	})
}

// Sync implements Store.
func (p *placed) Sync(context.Context) error {
	return p.do("", func() error {
		maps.Copy(p.files, p.coming)
		clear(p.coming)
		return nil
	})
}

// Get implements Store.
func (p *placed) Get(_ context.Context, path string) (data []byte, tag string, err error) {
	err = p.do("", func() error {
		data = p.files[path]
		if data == nil {
			return fs.ErrNotExist
		}
		tag = tagOf(data)
		return nil
	})
	return data, tag, err
}

// Swap implements Store.
func (p *placed) Swap(_ context.Context, path string, data []byte, tag string) (string, error) {
	err := p.do(path, func() error {
		has := ""
		if old := p.files[path]; old != nil {
			has = tagOf(old)
		}
		if has != tag {
			return ErrMoved
		}
		p.files[path] = data
		return nil
	})
	return tagOf(data), err
}

// Remove implements Store.
func (p *placed) Remove(_ context.Context, path string) error {
	return p.do(path, func() error {
		delete(p.files, path)
		return nil
	})
}

// Close implements Store.
func (p *placed) Close() error { return nil }

// required are the paths of all that a checkpoint of a size needs.
func required(size int64) (paths []string) {
	for level := 0; merkle.HashesAt(level, size) > 0; level++ {
		for n := range merkle.TilesAt(level, size) {
			paths = append(paths, merkle.Tile{Level: level, Index: n, Width: merkle.TileWidth}.Path())
			if level == 0 {
				paths = append(paths, merkle.Bundle{Index: n, Width: merkle.TileWidth}.Path())
			}
		}
	}
	return append(paths, partialPaths(size)...)
}

// holds checks that a place has all that its checkpoint needs, as the log has it, and
// returns the checkpoint's size; -1 if there is none.
func (g *growing) holds(read func(path string) []byte) (int64, error) {
	note := read(checkpointName)
	if note == nil {
		return -1, nil
	}
	o, err := checkpoint.Open(note, g.keys())
	if err != nil {
		return -1, err
	}
	if o.Root != g.Root(o.Size) {
		return -1, fmt.Errorf("size %d with another root", o.Size)
	}
	for _, path := range required(o.Size) {
		if got, want := read(path), g.Resource(path); string(got) != string(want) {
			return -1, fmt.Errorf("the checkpoint has size %d, and %s has %d bytes, and not %d as they are in the log", o.Size, path, len(got), len(want))
		}
	}
	return o.Size, nil
}

// run runs a publication until the place has a size, or it failed in a way that until
// wants.
func run(t *testing.T, cfg Config, until func(Status) bool) Status {
	t.Helper()
	cfg.Interval = time.Millisecond
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	for !until(p.Status()) {
		select {
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return p.Status()
}

// reaches is that the place has a size.
func reaches(size int64) func(Status) bool {
	return func(s Status) bool { return s.Known && s.Size >= size && s.Due.IsZero() }
}

// fails is that there was an error.
func fails(s Status) bool { return s.Err != nil }

// another is the same log with another history, under the same key.
func another(t *testing.T, g *growing, size int64) translog.Published {
	t.Helper()
	leaves := make([]merkle.Hash, size)
	edge, _ := merkle.Edge{}.Append(leaves)
	p := translog.Published{Size: size, Root: edge.Root()}
	seed := sha256.Sum256([]byte(g.Origin)) // as sourcetest has it
	signer, err := checkpoint.NewSigner(g.Origin, ed25519.NewKeyFromSeed(seed[:]))
	if err == nil {
		p.Note, err = checkpoint.Sign(checkpoint.Checkpoint{Origin: g.Origin, Size: p.Size, Root: p.Root}, signer)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// poll waits until a condition holds.
func poll(t testing.TB, what string, holds func() bool) {
	t.Helper()
	testkit.Eventually(t, what, func() error {
		if !holds() {
			return errors.New("not yet")
		}
		return nil
	})
}
