package mirror

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/evidence"
	"indelible/mirror/source"
	"indelible/mirror/sourcetest"
)

func openSource(t *testing.T, l *sourcetest.Log, change func(*client.Config)) source.Log {
	t.Helper()
	pace := NewPace(0)
	cfg := client.Config{
		Keys: []checkpoint.Verifier{l.Key}, Tries: 3, Stall: 10 * time.Second, MaxWait: 50 * time.Millisecond,
		Before: pace.Wait, Retrying: pace.Retrying,
	}
	if change != nil {
		change(&cfg)
	}
	log, err := source.Open(t.Context(), source.Tiles, source.Config{URLs: []string{l.URL}, Client: cfg})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func options(l *sourcetest.Log) Options { return Options{Keys: []checkpoint.Verifier{l.Key}} }

func mustRun(t *testing.T, c *Copy, l *sourcetest.Log) Report {
	t.Helper()
	report, err := Run(t.Context(), c, openSource(t, l, nil), options(l))
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	l := sourcetest.New(t, "log.example", 0)
	for _, size := range []int64{0, 1, 300, 300, 66000} {
		l.Grow(size)
		c := openCopy(t, dir)
		had := c.Next()
		report := mustRun(t, c, l)
		if root := l.Root(size); report.Size != size || !bytes.Equal(report.Root, root[:]) || report.Fetched != size-had {
			t.Errorf("size %d: %+v", size, report)
		}
		holds(t, c.Path(), l, size)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if l.Asked("tile/0/100") > 0 || l.Asked("tile/entries/000") != 1 {
		t.Error("more was fetched than is needed")
	}
}

// hostile is what a source serves, and what is said of it.
type hostile struct {
	name  string
	serve func(l *sourcetest.Log)
	want  string // in the error
	false bool   // the log is told to contradict what it signed
}

func flipped(path string, at int) func(*sourcetest.Log) {
	return func(l *sourcetest.Log) {
		l.Replace(path, func(w http.ResponseWriter, _ *http.Request) {
			data := l.Resource(path)
			data[at] ^= 1
			w.Write(data)
		})
	}
}

func serves(path string, h http.HandlerFunc) func(*sourcetest.Log) {
	return func(l *sourcetest.Log) { l.Replace(path, h) }
}

// bomb is small, and huge when it is uncompressed.
func bomb(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	zeros := make([]byte, 1<<20)
	for range 40 {
		z.Write(zeros)
	}
	z.Close()
}

// endless never ends.
func endless(w http.ResponseWriter, r *http.Request) {
	block := make([]byte, 1<<16)
	for {
		if _, err := w.Write(block); err != nil || r.Context().Err() != nil {
			return
		}
	}
}

func TestHostile(t *testing.T) {
	const size = 65536 + 700
	cut := func(l *sourcetest.Log) {
		l.Replace("tile/entries/100", func(w http.ResponseWriter, _ *http.Request) { w.Write(l.Resource("tile/entries/100")[:1000]) })
	}
	l := sourcetest.New(t, "log.example", size)
	for _, h := range []hostile{
		{"changed entry", flipped("tile/entries/100", 302), "/tile/entries/100: entry 25623 is not the one in the tree", true},
		{"changed entry at the end", flipped("tile/entries/258.p/188", 30), "/tile/entries/258.p/188: entry 66050 is not the one in the tree", true},
		{"changed tile of level 0", flipped("tile/0/258.p/188", 30), "/tile/0/258.p/188: the partial tiles", true},
		{"changed tile of level 1", flipped("tile/1/000", 30), "/tile/1/000: its root is", true},
		{"changed partial tile of level 1", flipped("tile/1/001.p/2", 40), "/tile/1/001.p/2: its hash 1 is not that of the tile below it", true},
		{"changed tile of level 2", flipped("tile/2/000.p/1", 3), "/tile/2/000.p/1: its hash 0 is not that of the tile below it", true},
		{"changed checkpoint", flipped("checkpoint", 15), "/checkpoint: ", true},
		{"truncated bundle", cut, "/tile/entries/100: entry ", true},
		{"gzip bomb", serves("tile/entries/100", bomb), "/tile/entries/100: the answer is too big", true},
		{"endless bundle", serves("tile/entries/100", endless), "/tile/entries/100: the answer is too big", true},
		{"endless tile", serves("tile/1/000", endless), "/tile/1/000: the answer is too big", true},
		{"no bundle", serves("tile/entries/100", http.NotFound), "/tile/entries/100: ", false},
		{"a redirect elsewhere", serves("tile/entries/100", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.2:1/tile/entries/100", http.StatusFound)
		}), `a redirect to "http://127.0.0.2:1/tile/entries/100", which is not followed`, false},
		{"unavailable", serves("tile/entries/100", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }), "/tile/entries/100: ", false},
	} {
		t.Run(h.name, func(t *testing.T) {
			h.serve(l)
			c := openCopy(t, t.TempDir())
			_, err := Run(t.Context(), c, openSource(t, l, nil), options(l))
			if err == nil || errors.Is(err, source.ErrFalse) != h.false || !strings.Contains(err.Error(), h.want) {
				t.Fatalf("%v", err)
			}
			if c.Head().Size != 0 {
				t.Error("a head was committed")
			}
			onlyTrue(t, c.Path(), l)
			for path := range strings.FieldsSeq("tile/entries/100 tile/entries/258.p/188 tile/0/258.p/188 tile/1/000 tile/1/001.p/2 tile/2/000.p/1 checkpoint") {
				l.Replace(path, nil)
			}
			mustRun(t, c, l) // and it goes on when the log is well again
			holds(t, c.Path(), l, size)
		})
	}
}

// onlyTrue compares every file that there is.
func onlyTrue(t *testing.T, tree string, l *sourcetest.Log) {
	t.Helper()
	err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(tree, path)
		data, err := os.ReadFile(path)
		if err == nil && !bytes.Equal(data, l.Resource(filepath.ToSlash(name))) {
			err = fmt.Errorf("%s is not what the log has", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// What passes is waited for: bursts of failures, requests to slow down, and partial
// files that are gone.
func TestPassing(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"seconds": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"date": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", time.Now().Add(time.Second).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusServiceUnavailable)
		},
		"500":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"502":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"hangs up":   func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"wrong once": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("x")) },
	} {
		t.Run(name, func(t *testing.T) {
			l := sourcetest.New(t, "log.example", 1000)
			for _, path := range []string{"tile/entries/001", "tile/0/003.p/232"} {
				var asked atomic.Int32
				l.Replace(path, func(w http.ResponseWriter, r *http.Request) {
					if asked.Add(1) == 1 {
						h(w, r)
						return
					}
					w.Write(l.Resource(path))
				})
			}
			c := openCopy(t, t.TempDir())
			mustRun(t, c, l)
			holds(t, c.Path(), l, 1000)
		})
	}
}

// A log that sends a byte now and then is given up, and not stored.
func TestSlowDrip(t *testing.T) {
	for _, path := range []string{"checkpoint", "tile/entries/001", "tile/0/003.p/232"} {
		l := sourcetest.New(t, "log.example", 1000)
		l.Replace(path, func(w http.ResponseWriter, r *http.Request) {
			for tick := time.NewTicker(5 * time.Millisecond); r.Context().Err() == nil; <-tick.C {
				w.Write([]byte{0})
				http.NewResponseController(w).Flush()
			}
		})
		c := openCopy(t, t.TempDir())
		o := options(l)
		o.Patience = 200 * time.Millisecond
		if _, err := Run(t.Context(), c, openSource(t, l, nil), o); !errors.Is(err, context.DeadlineExceeded) || c.Head().Size > 0 {
			t.Errorf("%s: %v, head %d", path, err, c.Head().Size)
		}
		onlyTrue(t, c.Path(), l)
	}
}

// While a log asks to wait, no request is made.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := func(p *Pace) time.Duration {
			began := time.Now()
			if err := p.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		p := NewPace(0)
		p.Retrying(errors.New("no answer"), time.Minute)
		if got := waits(p); got != 0 {
			t.Errorf("after a failure of one request, another waits %s", got)
		}
		p.Retrying(fmt.Errorf("x: %w", &client.StatusError{Status: http.StatusTooManyRequests}), time.Minute)
		p.Retrying(fmt.Errorf("x: %w", &client.StatusError{Status: http.StatusServiceUnavailable}), time.Second)
		if got := waits(p); got != time.Minute {
			t.Errorf("told to wait a minute, it waits %s", got)
		}
		p = NewPace(10)
		for range 10 {
			waits(p)
		}
		if got := waits(p); got < 90*time.Millisecond || got > 110*time.Millisecond {
			t.Errorf("the eleventh request of ten a second waits %s", got)
		}
	})
}

func TestGrownMeanwhile(t *testing.T) {
	l := sourcetest.New(t, "log.example", 1000)
	log := openSource(t, l, nil)
	l.Replace("tile/entries/003.p/232", http.NotFound)
	l.Replace("tile/0/003.p/232", http.NotFound)
	l.Replace("checkpoint", func(w http.ResponseWriter, _ *http.Request) { w.Write(l.Note(1000)) })
	l.Grow(1024)
	c := openCopy(t, t.TempDir())
	if _, err := Run(t.Context(), c, log, options(l)); err != nil {
		t.Fatal(err)
	}
	holds(t, c.Path(), l, 1000)
}

// fork is a log of the same key, with another entry at an index.
func fork(t *testing.T, at, size int64) *sourcetest.Log {
	other := sourcetest.New(t, "log.example", at)
	other.Add([]byte("another entry"))
	other.Grow(size)
	return other
}

func TestForked(t *testing.T) {
	const had = 1000
	for _, at := range []int64{255, 256, 300, 767, 768, 999} { // at the edge of a block, and inside
		for _, size := range []int64{at + 1, had, had + 500} {
			t.Run(fmt.Sprintf("%d of %d", at, size), func(t *testing.T) {
				l := sourcetest.New(t, "log.example", had)
				c := openCopy(t, t.TempDir())
				mustRun(t, c, l)
				report, err := Run(t.Context(), c, openSource(t, fork(t, at, size), nil), options(l))
				if !errors.Is(err, ErrForked) || !errors.Is(err, source.ErrFalse) && size > had {
					t.Fatalf("%v", err)
				}
				file, err := os.ReadFile(report.Evidence)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := evidence.Verify(file, []checkpoint.Verifier{l.Key}); err != nil {
					t.Error(err)
				}
				holds(t, c.Path(), l, had)
				if c.Head().Size != had {
					t.Errorf("head %d", c.Head().Size)
				}
			})
		}
	}
}

func TestStale(t *testing.T) {
	l := sourcetest.New(t, "log.example", 1000)
	c := openCopy(t, t.TempDir())
	mustRun(t, c, l)
	l.Grow(700)
	if report, err := Run(t.Context(), c, openSource(t, l, nil), options(l)); !errors.Is(err, ErrStale) || report.Size != 1000 {
		t.Errorf("%v, %+v", err, report)
	}
	// While it is followed, a cache may be behind for a while.
	o := options(l)
	o.Follow, o.Poll, o.MaxPause = true, 10*time.Millisecond, 10*time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	o.Event = func(text string) {
		if !strings.Contains(text, "older head") {
			t.Error(text)
		}
		l.Grow(1200)
	}
	o.Progress = func(p Progress) {
		if p.Done == 1200 {
			cancel()
		}
	}
	if _, err := Run(ctx, c, openSource(t, l, nil), o); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	mustRun(t, c, l)
	holds(t, c.Path(), l, 1200)
	// But not for ever.
	l.Grow(700)
	o.StaleAfter = time.Nanosecond
	o.Event = nil
	if _, err := Run(t.Context(), c, openSource(t, l, nil), o); !errors.Is(err, ErrStale) {
		t.Error(err)
	}
}

// A block whose size was not expected is fetched again, and the memory of others is
// not used for it.
func TestBigBlocks(t *testing.T) {
	l := sourcetest.New(t, "log.example", 0)
	for i := range int64(256 * 6) {
		l.Add(bytes.Repeat([]byte{byte(i)}, int(i/256%2)*20000+10))
	}
	c := openCopy(t, t.TempDir())
	o := options(l)
	o.Memory, o.Parallel = 256<<10, 4
	if _, err := Run(t.Context(), c, openSource(t, l, nil), o); err != nil {
		t.Fatal(err)
	}
	holds(t, c.Path(), l, 256*6)
}

func TestPartialsWithoutEnd(t *testing.T) {
	l := sourcetest.New(t, "log.example", 0)
	c := openCopy(t, t.TempDir())
	for size := int64(250); size < 270; size++ {
		l.Grow(size)
		mustRun(t, c, l)
		holds(t, c.Path(), l, size)
	}
	names, err := filepath.Glob(c.path("tile/entries/*.p/*"))
	if err != nil || len(names) > 2 {
		t.Errorf("%q, %v", names, err)
	}
}
