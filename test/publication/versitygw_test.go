package publication

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/fsck"
	"indelible/internal/freeport"
	"indelible/internal/tiledir"
	translog "indelible/log"
	"indelible/merkle"
	"indelible/mirror/sourcetest"
	published "indelible/publication"
)

// gateway is versitygw over a folder: objects are files.
type gateway struct{ url, dir string }

// newGateway starts one with an empty bucket, and has the environment hold credentials
// for it.
func newGateway(t *testing.T) gateway {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "long-enough-secret")
	bin := filepath.Join(t.TempDir(), "versitygw")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "github.com/versity/versitygw/cmd/versitygw").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	addrs, err := freeport.Addrs(1)
	if err != nil {
		t.Fatal(err)
	}
	g := gateway{"http://" + addrs[0], t.TempDir()}
	if err := os.Mkdir(filepath.Join(g.dir, "bucket"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "--port", addrs[0], "--access", "key", "--secret", "long-enough-secret", "--region", "here", "--quiet", "posix", "--sidecar", t.TempDir(), g.dir)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	for {
		res, err := http.Get(g.url)
		if err == nil {
			res.Body.Close()
			return g
		}
		if t.Context().Err() != nil || cmd.ProcessState != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (g gateway) place() string {
	return "s3://bucket/logs/a?region=here&endpoint=" + url.QueryEscape(g.url)
}

// log is a log that grows.
type log struct {
	*sourcetest.Log
	mu  sync.Mutex
	now translog.Published
}

func (l *log) grow(size int64) {
	l.Grow(size)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = translog.Published{Size: size, Root: l.Root(size), Note: l.Note(size)}
}

// Published implements publication.Log.
func (l *log) Published() (translog.Published, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now, nil
}

// AwaitNewer implements publication.Log.
func (l *log) AwaitNewer(ctx context.Context, than int64) (translog.Published, error) {
	for {
		now, err := l.Published()
		if now.Size > than || err != nil {
			return now, err
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return now, ctx.Err()
		}
	}
}

// Tile implements publication.Log.
func (l *log) Tile(_ context.Context, t merkle.Tile) ([]byte, error) {
	return l.Resource(t.Path()), nil
}

// Bundle implements publication.Log.
func (l *log) Bundle(_ context.Context, b merkle.Bundle) ([]byte, error) {
	return l.Resource(b.Path()), nil
}

// Two replicas publish to one bucket: its checkpoint never goes back, and what it needs
// is there.
func TestVersitygw(t *testing.T) {
	g, l := newGateway(t), &log{Log: sourcetest.New(t, "log.example", 1)}
	l.grow(1)
	var running sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer running.Wait()
	defer stop()
	var all []*published.Publication
	for range 2 {
		p, err := published.New(published.Config{
			Log: l, Keys: []checkpoint.Verifier{l.Key}, Interval: time.Millisecond,
			Open: func(ctx context.Context) (published.Store, error) { return published.Open(ctx, g.place()) },
			Failing: func(err error) {
				if err != nil {
					t.Error(err)
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
		running.Go(func() { p.Run(ctx) })
	}
	dir, before := filepath.Join(g.dir, "bucket", "logs", "a"), int64(0)
	for size := int64(1); size <= 3000; size += 113 {
		l.grow(size)
		time.Sleep(20 * time.Millisecond)
		before = l.check(t, dir, before)
	}
	l.grow(3000)
	for _, p := range all {
		for end := time.Now().Add(2 * time.Minute); p.Status().Size < 3000 && !t.Failed(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("after two minutes size %d of 3000 is published", p.Status().Size)
			}
		}
	}
	if before = l.check(t, dir, before); before != 3000 {
		t.Errorf("size %d", before)
	}
	if _, err := fsck.Check(t.Context(), tiledir.Directory(dir), 3000, l.Root(3000), nil); err != nil {
		t.Error(err)
	}
}

// check looks at the gateway's files: the checkpoint does not go back, and all below it
// is there. It returns the size.
func (l *log) check(t *testing.T, dir string, before int64) int64 {
	t.Helper()
	note, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if os.IsNotExist(err) {
		return before
	}
	o, err := checkpoint.Open(note, []checkpoint.Verifier{l.Key})
	if err == nil && o.Size < before {
		err = fmt.Errorf("size %d after %d", o.Size, before)
	}
	for n := int64(0); n < o.Size/merkle.TileWidth; n++ {
		path := merkle.Bundle{Index: n, Width: merkle.TileWidth}.Path()
		data, missing := os.ReadFile(filepath.Join(dir, path))
		if missing == nil && string(data) != string(l.Resource(path)) {
			missing = fmt.Errorf("%s is another one", path)
		}
		err = errors.Join(err, missing)
	}
	if err != nil {
		t.Error(err)
	}
	return o.Size
}

// A write on a condition that is not met is refused, and a file may be removed twice.
func TestConditions(t *testing.T) {
	g := newGateway(t)
	s, err := published.Open(t.Context(), g.place())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := errors.Join(s.Put(t.Context(), "tile/0/000", []byte("tile")), s.Sync(t.Context())); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Swap(t.Context(), "checkpoint", []byte("note"), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Swap(t.Context(), "checkpoint", []byte("note"), ""); !errors.Is(err, published.ErrMoved) {
		t.Error(err)
	}
	if _, err := s.Swap(t.Context(), "checkpoint", []byte("note"), `"00000000000000000000000000000000"`); !errors.Is(err, published.ErrMoved) {
		t.Error(err)
	}
	if err := errors.Join(s.Remove(t.Context(), "tile/0/000"), s.Remove(t.Context(), "tile/0/000")); err != nil {
		t.Error(err)
	}
}
