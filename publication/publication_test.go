package publication

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"indelible/fsck"
	"indelible/internal/tiledir"
	translog "indelible/log"
	"indelible/merkle"
)

func in(dir string) func(context.Context) (Store, error) {
	return func(ctx context.Context) (Store, error) { return Open(ctx, dir) }
}

func reader(dir string) func(string) []byte {
	return func(path string) []byte {
		data, _ := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
		return data
	}
}

// A folder has what an auditor reads, at each size, and little more.
func TestDirectory(t *testing.T) {
	g, dir := newGrowing(t, "log.example", 0), filepath.Join(t.TempDir(), "made", "here")
	for _, size := range []int64{0, 1, 255, 256, 257, 700, 65536, 65537, 66000} {
		g.grow(size)
		run(t, Config{Log: g, Keys: g.keys(), Open: in(dir)}, reaches(size))
		if got, err := g.holds(reader(dir)); err != nil || got != size {
			t.Fatalf("size %d: %d, %v", size, got, err)
		}
		if _, err := fsck.Check(t.Context(), tiledir.Directory(dir), size, g.Root(size), nil); err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
	}
	for size := int64(66001); size < 66100; size += 9 {
		g.grow(size)
		run(t, Config{Log: g, Keys: g.keys(), Open: in(dir)}, reaches(size))
	}
	allowed := make(map[string]bool)
	for size := int64(66001); size < 66100; size += 9 {
		for _, p := range partialPaths(size) {
			allowed[p] = true
		}
	}
	count := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		if strings.Contains(rel, ".p"+string(filepath.Separator)) {
			if count++; !allowed[filepath.ToSlash(rel)] {
				t.Errorf("%s is still there", rel)
			}
		}
		return err
	})
	// A tile of level 0 and a bundle for each of the newest sizes, the one before them,
	// and the other levels.
	if limit := 2*(keptPartials+2) + 4; err != nil || count > limit {
		t.Errorf("%d partial files, and not at most %d; %v", count, limit, err)
	}
}

// Every place where a publication can be cut off leaves a checkpoint that is whole, and
// the next process goes on.
func TestCrashes(t *testing.T) {
	g := newGrowing(t, "log.example", 1)
	sizes := []int64{300, 515, 800, 801, 1300}
	p := newPlace()
	p.watch = func(path string, files map[string][]byte) {
		if _, err := g.holds(func(path string) []byte { return files[path] }); err != nil {
			t.Errorf("after %s: %v", path, err)
		}
	}
	for crash := 0; ; crash++ {
		g.now = translog.Published{}
		p.files, p.steps = make(map[string][]byte), crash
		last := int64(-1)
		for _, size := range sizes {
			g.grow(size)
			s := &session{store: must(p.open(t.Context())), p: must(New(Config{Log: g, Keys: g.keys(), Open: p.open}))}
			err := s.publish(t.Context(), g.now, true)
			if errors.Is(err, errCrashed) {
				p.steps = -1 // a new process
				s = &session{store: must(p.open(t.Context())), p: s.p}
				err = s.publish(t.Context(), g.now, true)
			}
			if err != nil {
				t.Fatalf("crash %d, size %d: %v", crash, size, err)
			}
			if last = s.shown.Size; last != size {
				t.Fatalf("crash %d: it has size %d, and not %d", crash, last, size)
			}
		}
		if p.steps > 0 { // it was not reached
			t.Logf("%d places", crash)
			if crash < 40 {
				t.Fatal("these are too few")
			}
			return
		}
	}
}

func must[V any](v V, err error) V {
	if err != nil {
		panic(err)
	}
	return v
}

// Replicas that write at the same time never move the checkpoint back, nor away from
// its tiles.
func TestReplicas(t *testing.T) {
	g, p := newGrowing(t, "log.example", 1), newPlace()
	newest := int64(-1)
	p.watch = func(path string, files map[string][]byte) {
		size, err := g.holds(func(path string) []byte { return files[path] })
		if err != nil || size < newest {
			t.Errorf("after %s: size %d after %d, %v", path, size, newest, err)
		}
		newest = size
	}
	const end = 1500
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var all []*Publication
	for n := range 3 {
		pub := must(New(Config{Log: g, Keys: g.keys(), Open: p.open, Interval: time.Duration(n+1) * 300 * time.Microsecond, Leads: func() bool { return n < 2 }}))
		all = append(all, pub)
		running.Go(func() { pub.Run(ctx) })
	}
	for size := int64(2); size <= end; size += 7 {
		g.grow(size)
		time.Sleep(200 * time.Microsecond)
	}
	g.grow(end)
	for _, pub := range all {
		poll(t, "all is published", func() bool { return reaches(end)(pub.Status()) })
	}
	stop()
	running.Wait()
	for n, pub := range all {
		if s := pub.Status(); s.Failures > 0 {
			t.Errorf("replica %d failed %d times: %v", n, s.Failures, s.Err)
		}
	}
	if newest != end {
		t.Errorf("size %d", newest)
	}
}

// A replica that does not lead begins an empty place at once, and later leaves
// checkpoints to the one that leads.
func TestPatience(t *testing.T) {
	g, p := newGrowing(t, "log.example", 10), newPlace()
	pub := must(New(Config{Log: g, Keys: g.keys(), Open: p.open, Interval: time.Millisecond, Patience: time.Hour, Leads: func() bool { return false }}))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- pub.Run(ctx) }()
	poll(t, "the first tree is published", func() bool { return reaches(10)(pub.Status()) })
	g.grow(20)
	poll(t, "the larger tree is due", func() bool { return !pub.Status().Due.IsZero() })
	run(t, Config{Log: g, Keys: g.keys(), Open: p.open}, reaches(20)) // the one that leads
	if s := pub.Status(); s.Size != 10 {
		t.Errorf("it published size %d", s.Size)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A checkpoint with more signatures takes the place of one of the same tree.
func TestMoreSignatures(t *testing.T) {
	g, p := newGrowing(t, "log.example", 10), newPlace()
	more := false
	run(t, Config{Log: g, Keys: g.keys(), Open: p.open}, func(s Status) bool {
		if reaches(10)(s) && !more {
			more = true
			cosigned := slices.Concat(g.now.Note, []byte("\u2014 w.example AAAAAAA=\n"))
			g.show(translog.Published{Size: 10, Root: g.now.Root, Note: cosigned})
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		return more && strings.Contains(string(p.files[checkpointName]), "w.example")
	})
}

// Without its state, a place is written again, also if the log has not grown since.
func TestWrittenAgain(t *testing.T) {
	g, dir := newGrowing(t, "log.example", 700), t.TempDir()
	run(t, Config{Log: g, Keys: g.keys(), Open: in(dir)}, reaches(700))
	for _, lost := range []string{"tile/entries/001", "tile/0/002.p/188", stateName} {
		if err := os.Remove(filepath.Join(dir, filepath.FromSlash(lost))); err != nil {
			t.Fatal(err)
		}
	}
	for _, leads := range []bool{true, false} {
		run(t, Config{Log: g, Keys: g.keys(), Open: in(dir), Leads: func() bool { return leads }}, reaches(700))
		if size, err := g.holds(reader(dir)); size != 700 || err != nil {
			t.Errorf("leads %v: %d, %v", leads, size, err)
		}
		if err := os.Remove(filepath.Join(dir, stateName)); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, "tile", "entries", "000")); err != nil {
			t.Fatal(err)
		}
	}
}

// What is in a place and is not of this log's tree stays as it is.
func TestOther(t *testing.T) {
	g := newGrowing(t, "log.example", 1000)
	stranger := newGrowing(t, "other.example", 1000)
	root := [32]byte{1}
	fork := another(t, g, 600)
	for name, files := range map[string]map[string][]byte{
		"another log's checkpoint": {checkpointName: stranger.Note(1000)},
		"another tree":             {checkpointName: fork.Note},
		"no checkpoint":            {checkpointName: []byte("Not found\n")},
		"another log's state":      {stateName: state{Origin: "other.example", Root: root[:]}.marshal()},
		"another tree's state":     {stateName: state{Origin: "log.example", Size: 256, Root: root[:]}.marshal()},
		"no state":                 {stateName: []byte("{}")},
	} {
		p := newPlace()
		p.files = files
		p.watch = func(path string, _ map[string][]byte) {
			if path != "" {
				t.Errorf("%s: %s was written", name, path)
			}
		}
		s := run(t, Config{Log: g, Keys: g.keys(), Open: p.open}, fails)
		if want := name != "no state"; errors.Is(s.Err, ErrOther) != want {
			t.Errorf("%s: %v", name, s.Err)
		}
	}
}

// A place that is ahead of this server is let be, and warned of if that lasts.
func TestAhead(t *testing.T) {
	g, p := newGrowing(t, "log.example", 1000), newPlace()
	run(t, Config{Log: g, Keys: g.keys(), Open: p.open}, reaches(1000))
	g.grow(400)
	pub := must(New(Config{Log: g, Keys: g.keys(), Open: p.open, Interval: time.Millisecond}))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go pub.Run(ctx)
	poll(t, "it warns", func() bool { return len(pub.Warnings("PLACE", 0)) > 0 && pub.Status().Known })
	if text := pub.Warnings("PLACE", 0)[0]; !strings.Contains(text, "first 1000 entries, and this server shows 400") {
		t.Error(text)
	}
	if text := pub.Warnings("PLACE", time.Hour); text != nil {
		t.Error(text)
	}
	g.grow(1001) // it has caught up
	poll(t, "it has caught up", func() bool { return reaches(1001)(pub.Status()) })
	if text := pub.Warnings("PLACE", 0); text != nil {
		t.Error(text)
	}
	if size, err := g.holds(func(path string) []byte { return p.files[path] }); size != 1001 || err != nil {
		t.Error(size, err)
	}
}

// A bundle that is not what the log signed ends before the checkpoint.
func TestWrongBundle(t *testing.T) {
	for _, wrong := range []string{"tile/entries/001", "tile/entries/003.p/1"} {
		g, p := newGrowing(t, "log.example", 769), newPlace()
		g.wrong = wrong
		s := run(t, Config{Log: g, Keys: g.keys(), Open: p.open}, fails)
		if p.files[checkpointName] != nil || p.files[stateName] != nil || !strings.Contains(s.Err.Error(), "lead to the root") {
			t.Errorf("%s: %v", wrong, s.Err)
		}
		g.wrong = ""
		run(t, Config{Log: g, Keys: g.keys(), Open: p.open}, reaches(769))
		if _, err := g.holds(func(path string) []byte { return p.files[path] }); err != nil {
			t.Error(err)
		}
	}
}

func TestDirectoryOfTwo(t *testing.T) {
	dir := t.TempDir()
	first, err := OpenDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDirectory(dir); err == nil {
		t.Fatal("two processes write to one folder")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Swap(t.Context(), checkpointName, []byte("a"), "b"); !errors.Is(err, ErrMoved) {
		t.Error(err)
	}
	again.Close()
}

// What is removed is needed neither by the checkpoint nor by one that may follow.
func TestOutdated(t *testing.T) {
	s := state{}
	for size := int64(1); size < 2000; size += 97 {
		s = s.with(size)
	}
	all := s.Partials
	for _, before := range all {
		paths, rest := s.outdated(before)
		for _, size := range all {
			if size < before && !slices.Contains(rest.Partials, size) {
				continue
			}
			for _, p := range partialPaths(size) {
				if slices.Contains(paths, p) {
					t.Errorf("before %d: %s of size %d is removed", before, p, size)
				}
			}
		}
		if n, _ := slices.BinarySearch(rest.Partials, before); n > keptPartials {
			t.Errorf("before %d: %d older sizes stay", before, n)
		}
	}
	if paths, _ := s.outdated(all[len(all)-1]); len(paths) == 0 {
		t.Error("nothing is removed")
	}
}

func FuzzState(f *testing.F) {
	root := merkle.EmptyRoot()
	f.Add(state{Origin: "log.example", Root: root[:]}.marshal())
	f.Add([]byte(`{"origin":"a","size":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseState(data)
		if err != nil {
			return
		}
		again, err := parseState(s.marshal())
		if err != nil || again.Size != s.Size || again.Origin != s.Origin || s.Size%merkle.TileWidth != 0 {
			t.Fatalf("%+v is %+v, %v", s, again, err)
		}
		s.outdated(s.Size)
	})
}
