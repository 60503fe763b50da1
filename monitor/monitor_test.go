package monitor_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/evidence"
	"indelible/merkle"
	"indelible/mirror/source"
	"indelible/mirror/sourcetest"
	"indelible/monitor"
)

const origin = "log.example"

// direct asks a handler without a network.
type direct struct{ h http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	d.h.ServeHTTP(rec, r)
	return rec.Result(), nil
}

// open reads a log.
func open(t testing.TB, l *sourcetest.Log) source.Log {
	t.Helper()
	return must(source.NewTiles(source.Config{URLs: []string{"http://log.example"}, Client: client.Config{
		Keys: []checkpoint.Verifier{l.Key}, HTTP: &http.Client{Transport: direct{l}}, Tries: 1,
	}}))(t)
}

// received is a sink that remembers.
type received struct {
	events []monitor.Event
	err    error
	before func() // a delivery
}

func (r *received) Deliver(_ context.Context, events []monitor.Event) error {
	if r.before != nil {
		r.before()
	}
	if r.err != nil {
		return r.err
	}
	r.events = append(r.events, events...)
	return nil
}

func (r *received) indexes() (list []int64) {
	for _, e := range r.events {
		if e.Kind == monitor.Found {
			list = append(list, e.Entry.Index)
		}
	}
	return list
}

func (r *received) kinds() (list []monitor.Kind) {
	for _, e := range r.events {
		list = append(list, e.Kind)
	}
	return list
}

// world is a log of which some entries are jane's, and a state.
type world struct {
	t    testing.TB
	log  *sourcetest.Log
	cfg  monitor.Config
	sink *received
	jane []byte
}

func newWorld(t testing.TB) *world {
	key := newKey(t)
	w := &world{t: t, log: sourcetest.New(t, origin, 0), sink: &received{}}
	w.jane = signed(t, key, newFulcio(t).issue(t, key, "jane@example.com", "https://issuer.example"), "x")
	w.cfg = monitor.Config{
		Log: open(t, w.log), Keys: []checkpoint.Verifier{w.log.Key}, Sink: w.sink, State: filepath.Join(t.TempDir(), "state.json"),
		Patterns: []monitor.Pattern{{Name: "jane", Identity: exact("jane@example.com")}},
	}
	return w
}

// grow adds entries up to a size, of which those named are jane's.
func (w *world) grow(size int64, jane ...int64) {
	for i := int64(len(w.entries())); i < size; i++ {
		if slices.Contains(jane, i) {
			w.log.Add(w.jane)
		} else {
			w.log.Add(sourcetest.Entry(i))
		}
	}
}

func (w *world) entries() []struct{} { return make([]struct{}, w.size()) }

func (w *world) size() int64 {
	note := w.log.Resource("checkpoint")
	return must(checkpoint.Open(note, []checkpoint.Verifier{w.log.Key}))(w.t).Size
}

func (w *world) monitor() *monitor.Monitor {
	w.t.Helper()
	m := must(monitor.New(w.cfg))(w.t)
	w.t.Cleanup(func() { m.Close() })
	return m
}

func (w *world) once() monitor.Report {
	w.t.Helper()
	m := w.monitor()
	defer m.Close()
	return must(m.Once(w.t.Context()))(w.t)
}

// alarm demands one alarm of a kind.
func (w *world) alarm(r monitor.Report, kind monitor.Kind, words ...string) monitor.Event {
	w.t.Helper()
	if len(r.Alarms) != 1 || r.Alarms[0].Kind != kind {
		w.t.Fatalf("the alarms are %+v, not %s", r.Alarms, kind)
	}
	for _, word := range words {
		if !strings.Contains(r.Alarms[0].Message, word) {
			w.t.Errorf("the alarm does not say %q: %s", word, r.Alarms[0].Message)
		}
	}
	return r.Alarms[0]
}

func TestEveryEntryIsComparedOnce(t *testing.T) {
	w := newWorld(t)
	want := []int64{0, 255, 256, 299, 300, 700}
	for _, size := range []int64{0, 1, 300, 300, 512, 1000} {
		w.grow(size, want...)
		r := w.once()
		if len(r.Alarms) > 0 || r.Next != size || r.Left != 0 || r.Head.Size != size {
			t.Fatalf("size %d: %+v", size, r)
		}
	}
	if got := w.sink.indexes(); !slices.Equal(got, want) {
		t.Errorf("found %v, not %v", got, want)
	}
	e := w.sink.events[0]
	leaf := merkle.LeafHash(w.jane)
	if e.Log != origin || !slices.Equal(e.Entry.Patterns, []string{"jane"}) || string(e.Entry.LeafHash) != string(leaf[:]) || e.Entry.Signature != "verified" {
		t.Errorf("%+v %+v", e, e.Entry)
	}
	r := w.once()
	if r.Opaque != 994 || r.State.Found != 6 || r.Since.Index != 0 || r.Unreadable != 0 {
		t.Errorf("%+v", r)
	}
	if info, err := os.Stat(w.cfg.State); err != nil || info.Mode() != 0o600 {
		t.Error(info.Mode(), err)
	}
}

// Where it begins, and what it could not read, is said.
func TestSince(t *testing.T) {
	w := newWorld(t)
	w.grow(300, 10, 290)
	w.cfg.Start = 280
	if r := w.once(); r.Since.Index != 280 || !slices.Equal(w.sink.indexes(), []int64{290}) {
		t.Errorf("%+v, %v", r, w.sink.indexes())
	}
	// Other patterns count from where they came.
	w.cfg.Patterns = append(w.cfg.Patterns, monitor.Pattern{Domain: "example.com"})
	w.grow(301)
	if r := w.once(); r.Since.Index != 300 {
		t.Errorf("with other patterns since %d", r.Since.Index)
	}
	w.log.Add([]byte(`{"apiVersion":"0.0.1","kind":"rpm","spec":{}}`))
	w.log.Add([]byte(`{"apiVersion":"0.0.1","kind":"rpm","spec":{}}`))
	if r := w.once(); r.Unreadable != 2 || r.FirstUnreadable != 301 || r.Since.Index != 300 {
		t.Errorf("%+v", r)
	}
	w.cfg.State, w.cfg.Start = filepath.Join(t.TempDir(), "s"), monitor.FromNow
	if r := w.once(); r.Since.Index != 303 || r.Next != 303 || len(r.Alarms) > 0 {
		t.Errorf("from now: %+v", r)
	}
}

// A monitor that dies at any moment leaves a state from which every entry is
// delivered, at least once and with the same ID.
func TestKilledBetweenMatchAndDelivery(t *testing.T) {
	for kill := range 4 {
		for _, delivered := range []bool{false, true} {
			w := newWorld(t)
			want := []int64{5, 300, 600, 900}
			w.grow(1000, want...)
			n := 0
			dies := errors.New("killed")
			old := []byte(nil)
			w.sink.before = func() {
				if w.sink.err = nil; n == kill {
					old, _ = os.ReadFile(w.cfg.State)
					if !delivered {
						w.sink.err = dies
					}
				}
				n++
			}
			m := w.monitor()
			if _, err := m.Once(t.Context()); !delivered && !errors.Is(err, dies) {
				t.Fatal(err)
			}
			if delivered { // and killed before the state was written
				if err := os.WriteFile(w.cfg.State, old, 0o600); err != nil {
					t.Fatal(err)
				}
				w.sink.events = w.sink.events[:kill+1]
			}
			m.Close()
			w.sink.before = nil
			w.sink.err = nil
			w.once()
			got := w.sink.indexes()
			if slices.Sort(got); !slices.Equal(slices.Compact(slices.Clone(got)), want) || len(got) > 5 {
				t.Errorf("killed at delivery %d: %v", kill, got)
			}
			ids := make(map[int64]string)
			for _, e := range w.sink.events {
				if id := ids[e.Entry.Index]; id != "" && id != e.ID {
					t.Errorf("entry %d is %s and %s", e.Entry.Index, id, e.ID)
				}
				ids[e.Entry.Index] = e.ID
			}
		}
	}
}

// A log that forks is found out from every size to every size; the evidence holds,
// and it is remembered.
func TestForked(t *testing.T) {
	for _, size := range []int64{300, 600} {
		w := newWorld(t)
		w.grow(300, 7)
		w.once()
		honest := w.cfg.Log
		other := sourcetest.New(t, origin, 0)
		for i := range size {
			if i == 299 {
				other.Add(w.jane)
			} else {
				other.Add(sourcetest.Entry(i))
			}
		}
		w.cfg.Log = open(t, other)
		w.sink.events = nil
		a := w.alarm(w.once(), monitor.Forked, "forked")
		file, err := os.ReadFile(a.Evidence)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := evidence.Verify(file, w.cfg.Keys); err != nil {
			t.Error(err)
		}
		w.cfg.Log = honest
		again := w.alarm(w.once(), monitor.Forked)
		if again.ID != a.ID || again.Evidence != a.Evidence || len(w.sink.indexes()) > 0 {
			t.Errorf("%+v, and then %+v", a, again)
		}
		if !slices.Equal(w.sink.kinds(), []monitor.Kind{monitor.Forked, monitor.Forked}) {
			t.Error(w.sink.kinds())
		}
	}
}

// A log that was restored from an older copy, and grew to another tree, is forked as
// soon as it signs something that contradicts; before that, it shrank.
func TestRestored(t *testing.T) {
	w := newWorld(t)
	w.grow(600)
	w.once()
	restored := sourcetest.New(t, origin, 0)
	for i := range int64(400) {
		if i >= 300 {
			restored.Add([]byte("another"))
		} else {
			restored.Add(sourcetest.Entry(i))
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w.t = t
		w.log.Grow(300)
		r := w.once()
		w.alarm(r, monitor.Shrunk, "shows 300 entries, and it has shown 600")
		if r.Head.Size != 600 {
			t.Errorf("the known head went back to %d", r.Head.Size)
		}
		w.log.Grow(600)
		if r := w.once(); len(r.Alarms) > 0 {
			t.Errorf("it grew again: %+v", r.Alarms)
		}
		w.cfg.Log = open(t, restored)
		w.alarm(w.once(), monitor.Shrunk) // the tree of 600 is not there to prove more
		for range 300 {
			restored.Add([]byte("another"))
		}
		w.alarm(w.once(), monitor.Forked)
	})
}

// One server of a log may be behind for a while.
func TestBehindForAMoment(t *testing.T) {
	w := newWorld(t)
	w.grow(600)
	w.once()
	synctest.Test(t, func(t *testing.T) {
		w.t = t
		w.log.Grow(300)
		time.AfterFunc(8*time.Second, func() { w.log.Grow(600) })
		if r := w.once(); len(r.Alarms) > 0 {
			t.Errorf("%+v", r.Alarms)
		}
	})
}

// What is not proven to be in the log is never reported, and reading does not go on
// beyond it.
func TestFalseEntries(t *testing.T) {
	w := newWorld(t)
	w.grow(1000, 10)
	bundle := must(merkle.ParseBundle(w.log.Resource("tile/entries/001"), 256))(t)
	var forged []byte
	for i, e := range bundle {
		if i == 100 {
			e = w.jane
		}
		forged = must(merkle.AppendBundleEntry(forged, e))(t)
	}
	for name, bad := range map[string][]byte{"a forged entry": forged, "a bundle cut off": forged[:1000], "nothing": {}} {
		w.log.Replace("tile/entries/001", func(rw http.ResponseWriter, _ *http.Request) { rw.Write(bad) })
		w.cfg.State = filepath.Join(t.TempDir(), "state")
		w.sink.events = nil
		r := w.once()
		w.alarm(r, monitor.False, "tile/entries/001")
		if !slices.Equal(w.sink.indexes(), []int64{10}) || r.Next != 256 {
			t.Errorf("%s: found %v, next is %d", name, w.sink.indexes(), r.Next)
		}
	}
	w.log.Replace("tile/entries/001", nil)
	if r := w.once(); len(r.Alarms) > 0 || r.Next != 1000 {
		t.Errorf("%+v", r)
	}
	w.log.Replace("checkpoint", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Write([]byte(strings.Replace(string(w.log.Note(1000)), "1000\n", "2000\n", 1)))
	})
	w.alarm(w.once(), monitor.False, "checkpoint")
}

// A source that is wrong itself is not believed either.
func TestBlocksAreChecked(t *testing.T) {
	w := newWorld(t)
	w.grow(300, 5)
	for name, change := range map[string]func(*source.Block){
		"fewer entries":   func(b *source.Block) { b.Entries = b.Entries[:3] },
		"another start":   func(b *source.Block) { b.Start = 256 },
		"another entry":   func(b *source.Block) { b.Entries = append([][]byte{w.jane}, b.Entries[1:]...) },
		"fewer of leaves": func(b *source.Block) { b.Leaves = b.Leaves[:3] },
	} {
		cfg := w.cfg
		cfg.Log, cfg.State = changed{w.cfg.Log, change}, filepath.Join(t.TempDir(), "state")
		m := must(monitor.New(cfg))(t)
		r := must(m.Once(t.Context()))(t)
		if len(r.Alarms) != 1 || len(w.sink.indexes()) > 0 {
			t.Errorf("%s: %+v, %v", name, r.Alarms, w.sink.indexes())
		}
	}
}

type changed struct {
	source.Log
	change func(*source.Block)
}

func (c changed) Block(ctx context.Context, h source.Head, n int64) (source.Block, error) {
	b, err := c.Log.Block(ctx, h, n)
	c.change(&b)
	return b, err
}

func TestUnreachable(t *testing.T) {
	w := newWorld(t)
	w.grow(300, 5)
	w.log.Replace("checkpoint", func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "away", http.StatusBadGateway) })
	r := w.once()
	w.alarm(r, monitor.Unreachable, "away")
	if _, err := os.Stat(w.cfg.State); !errors.Is(err, os.ErrNotExist) || r.Head != nil {
		t.Error("something is known")
	}
	w.log.Replace("checkpoint", nil)
	w.log.Replace("tile/entries/001.p/44", func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "away", http.StatusBadGateway) })
	if r := w.once(); r.Next != 256 || r.Left != 44 {
		t.Errorf("%+v", r)
	}
	w.log.Replace("tile/entries/001.p/44", nil)
	if r := w.once(); len(r.Alarms) > 0 || r.Next != 300 || !slices.Equal(w.sink.indexes(), []int64{5}) {
		t.Errorf("%+v", r)
	}
}

func TestStale(t *testing.T) {
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		w.t = t
		w.cfg.StaleAfter = time.Hour
		w.grow(10)
		if r := w.once(); len(r.Alarms) > 0 {
			t.Errorf("%+v", r.Alarms)
		}
		time.Sleep(2 * time.Hour)
		w.alarm(w.once(), monitor.Stale, "of size 10", "2h0m")
		w.grow(11)
		if r := w.once(); len(r.Alarms) > 0 {
			t.Errorf("%+v", r.Alarms)
		}
		w.cfg.Log = dated{w.cfg.Log, time.Now().Add(-3 * time.Hour)}
		w.alarm(w.once(), monitor.Stale, "was signed 3h0m")
	})
}

// dated is a log whose heads state a time.
type dated struct {
	source.Log
	at time.Time
}

func (d dated) Head(ctx context.Context) (source.Head, error) {
	h, err := d.Log.Head(ctx)
	h.Time = d.at
	return h, err
}

// slow is a log of which each block takes a while.
type slow struct {
	source.Log
	takes time.Duration
	grow  func()
}

func (s slow) Block(ctx context.Context, h source.Head, n int64) (source.Block, error) {
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return source.Block{}, ctx.Err()
	}
	if s.grow != nil {
		s.grow()
	}
	return s.Log.Block(ctx, h, n)
}

// A run whose time is over says what it did not read, and the next one goes on.
func TestTimeIsOver(t *testing.T) {
	w := newWorld(t)
	w.grow(2000, 5, 1900)
	synctest.Test(t, func(t *testing.T) {
		w.t = t
		w.cfg.Log, w.cfg.Budget, w.cfg.Parallel = slow{w.cfg.Log, time.Minute, nil}, 150*time.Second, 2
		r := w.once()
		w.alarm(r, monitor.Behind, "976 entries of 2000", "they take")
		if r.Next != 1024 || r.Left != 976 {
			t.Errorf("%+v", r)
		}
		w.cfg.Budget = 0
		if r = w.once(); len(r.Alarms) > 0 || !slices.Equal(w.sink.indexes(), []int64{5, 1900}) {
			t.Errorf("%+v, %v", r, w.sink.indexes())
		}
	})
}

// following follows for so long, and returns what was delivered.
func (w *world) following(t *testing.T, long time.Duration, f monitor.Following) ([]monitor.Kind, []monitor.Kind) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	lasting := w.monitor().Follow(ctx, f)
	return w.sink.kinds(), lasting
}

// An alarm is delivered when it begins and when it has ended, whatever the number
// of looks.
func TestFollow(t *testing.T) {
	w := newWorld(t)
	w.grow(10, 3)
	synctest.Test(t, func(t *testing.T) {
		w.t = t
		time.AfterFunc(10*time.Minute, func() {
			w.log.Replace("checkpoint", func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "away", http.StatusBadGateway) })
		})
		time.AfterFunc(20*time.Minute, func() { w.log.Replace("checkpoint", nil); w.grow(20, 15) })
		kinds, lasting := w.following(t, time.Hour, monitor.Following{})
		want := []monitor.Kind{monitor.Found, monitor.Unreachable, monitor.Found, monitor.Cleared}
		if !slices.Equal(kinds, want) || len(lasting) > 0 {
			t.Errorf("%v, and %v lasts", kinds, lasting)
		}
	})
}

// An alarm that could not be delivered is delivered later.
func TestAlarmsAreDeliveredLater(t *testing.T) {
	w := newWorld(t)
	w.grow(10)
	synctest.Test(t, func(t *testing.T) {
		w.t = t
		w.cfg.StaleAfter = time.Minute
		w.sink.err = errors.New("away")
		failed, began := 0, time.Now()
		w.sink.before = func() {
			if time.Since(began) > 10*time.Minute {
				w.sink.err = nil
			}
		}
		kinds, lasting := w.following(t, time.Hour, monitor.Following{Failed: func(error) { failed++ }})
		if !slices.Equal(kinds, []monitor.Kind{monitor.Stale}) || !slices.Equal(lasting, kinds) || failed == 0 {
			t.Errorf("%v, %v, %d", kinds, lasting, failed)
		}
	})
}

// A log that grows faster than it is read raises an alarm; one that is read faster
// than it grows does not, however long that takes.
func TestKeepsUp(t *testing.T) {
	for _, grows := range []bool{false, true} {
		w := newWorld(t)
		w.grow(60 * 256)
		synctest.Test(t, func(t *testing.T) {
			w.t = t
			s := slow{w.cfg.Log, 2 * time.Minute, nil}
			if grows {
				s.grow = func() { w.log.Grow(w.size() + 300) }
			}
			w.cfg.Log, w.cfg.Parallel = s, 1
			kinds, lasting := w.following(t, 100*time.Minute, monitor.Following{Interval: 5 * time.Minute, KeepUp: 30 * time.Minute})
			if want := []monitor.Kind{monitor.Behind}; grows && (!slices.Equal(kinds, want) || !slices.Equal(lasting, want)) || !grows && len(kinds) > 0 {
				t.Errorf("the log grows %v: %v, %v", grows, kinds, lasting)
			}
		})
	}
}

func TestStateIsNeverBegunAgain(t *testing.T) {
	w := newWorld(t)
	w.grow(10)
	w.once()
	good := must(os.ReadFile(w.cfg.State))(t)
	for want, bad := range map[string]string{
		"not the state":  "",
		"not the state ": "{",
		"version is 2":   strings.Replace(string(good), `"version": 1`, `"version": 2`, 1),
		"of the log":     strings.Replace(string(good), `"origin": "log.example"`, `"origin": "other.example"`, 1),
		"damaged":        strings.Replace(string(good), `"next": 10`, `"next": -1`, 1),
		"no root":        strings.Replace(string(good), `"root": "`, `"root": "AAAA`, 1),
		"unknown field":  strings.Replace(string(good), `"next"`, `"nextt"`, 1),
	} {
		if err := os.WriteFile(w.cfg.State, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := monitor.New(w.cfg); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%q: %v", want, err)
		}
		if now := must(os.ReadFile(w.cfg.State))(t); string(now) != bad {
			t.Errorf("%q: the state is written anew", want)
		}
	}
}

// Two monitors with one state would undo each other's work.
func TestOneStateTwoMonitors(t *testing.T) {
	w := newWorld(t)
	w.grow(10)
	first := w.monitor()
	if _, err := monitor.New(w.cfg); err == nil || !strings.Contains(err.Error(), "another process uses it") {
		t.Error(err)
	}
	must(first.Once(t.Context()))(t)
	first.Close()
	w.once()
	first = w.monitor()
	if err := os.WriteFile(w.cfg.State, []byte("{}"), 0o600); err != nil { // by something that takes no lock
		t.Fatal(err)
	}
	if _, err := first.Once(t.Context()); err == nil || !strings.Contains(err.Error(), "another monitor") {
		t.Error(err)
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t)
	w.grow(300, 5)
	m := w.monitor()
	must(m.Once(t.Context()))(t)
	rec := httptest.NewRecorder()
	m.Metrics().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, line := range []string{"head_size{log=\"log.example\"} 300", "next_entry{log=\"log.example\"} 300", "found_total{log=\"log.example\"} 1", `alarm{log="log.example",kind="forked"} 0`} {
		if !strings.Contains(rec.Body.String(), "\nindelible_monitor_"+line+"\n") {
			t.Errorf("%q is not in\n%s", line, rec.Body)
		}
	}
}

// JSON shows what terminals obey as escapes, and says the same.
func TestMarshal(t *testing.T) {
	text := "a\x1b[2J\u009b1m\u202egnp.exe\U000e0041ü\n\""
	line := must(monitor.Marshal(map[string]string{"x": text}))(t)
	if want := `{"x":"a\u001b[2J\u009b1m\u202egnp.exe\udb40\udc41ü\n\""}`; string(line) != want {
		t.Errorf("%s", line)
	}
	if s := fmt.Sprintf("%q", text); s == "" {
		t.Fatal()
	}
}

// lonely fails if two large blocks are in memory at one time.
type lonely struct {
	source.Log
	large  *atomic.Int64
	second chan struct{}
}

func (l lonely) Block(ctx context.Context, h source.Head, n int64) (source.Block, error) {
	b, err := l.Log.Block(ctx, h, n)
	if err != nil {
		return b, err
	}
	if l.large.Add(1) == 2 {
		close(l.second)
	}
	defer l.large.Add(-1)
	select {
	case <-l.second:
		err = errors.New("two large blocks at one time")
	case <-time.After(500 * time.Millisecond):
	}
	return b, err
}

// What a log of large entries takes in memory does not grow with the blocks that
// are read at a time.
func TestLargeBlocksAreReadOneByOne(t *testing.T) {
	w := newWorld(t)
	big := make([]byte, 60<<10)
	for range 3*source.BlockSize - 150 {
		w.log.Add(big)
	}
	w.cfg.Log = lonely{w.cfg.Log, new(atomic.Int64), make(chan struct{})}
	if r := w.once(); len(r.Alarms) > 0 || r.Left > 0 {
		t.Errorf("%d left, %+v", r.Left, r.Alarms)
	}
}
