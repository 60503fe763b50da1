package log

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"indelible/storage"
	"indelible/storage/memory"
)

// The scrub finds what nobody reads, tells it once, and sees when it was restored.
func TestScrubFinds(t *testing.T) {
	for name, c := range map[string]struct {
		rot  func(*rotten)
		says string
	}{
		"an entry": {func(r *rotten) {
			r.entry = func(e *storage.Entry) {
				if e.Index == 300 {
					e.Body[0] ^= 1
				}
			}
		}, "entry 300 "},
		"an entry of the partial bundle": {func(r *rotten) {
			r.entry = func(e *storage.Entry) {
				if e.Index == rottenSize-1 {
					e.Body[0] ^= 1
				}
			}
		}, "entry 699 "},
		"a tile": {func(r *rotten) {
			r.tile = func(level int, index int64, data []byte) {
				if level == 0 && index == 1 {
					data[8191] ^= 1
				}
			}
		}, "tile/0/001 "},
		"a deleted entry":  {func(r *rotten) { r.gone = 300 }, "entry 300 "},
		"the last of some": {func(r *rotten) { r.gone = rottenSize - 1 }, "entry 699 "},
		"a partial tile":   {func(r *rotten) { r.edge = true }, "the tree's right edge "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, l, told := newScrubbed(t, 100)
				synctest.Wait()
				time.Sleep(5 * time.Minute)
				if found := l.Damaged(); len(found) != 0 {
					t.Fatalf("of a sound log it says %q", found)
				}
				r.rot(c.rot)
				time.Sleep(20 * time.Minute)
				if found := l.Damaged(); len(found) != 1 || !strings.Contains(found[0], c.says) || len(*told) != 1 {
					t.Errorf("found %q, and told %v", found, *told)
				}
				r.rot(func(r *rotten) { r.entry, r.tile, r.gone, r.edge = nil, nil, 0, false })
				time.Sleep(20 * time.Minute)
				if found := l.Damaged(); len(found) != 0 {
					t.Errorf("of what was restored it says %q", found)
				}
			})
		})
	}
}

// The scrub keeps to its rate, and tells how far it is.
func TestScrubRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, memory.New())
		cfg := w.config(t)
		cfg.ScrubRate = 2
		var states []ScrubState
		cfg.Events.Scrubbed = func(s ScrubState) { states = append(states, s) }
		l, stop := start(t, cfg)
		for i := range 300 {
			add(t, l, string(rune('a'+i)))
		}
		time.Sleep(time.Hour)
		stop()
		last := states[len(states)-1]
		// The first round may have begun when there was one entry.
		if last.Rounds < 20 || last.Took < 150*time.Second || last.Took > 160*time.Second || last.Position%256 != 0 {
			t.Errorf("%+v after an hour", last)
		}
	})
}
