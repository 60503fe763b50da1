package index

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"indelible/internal/wait"
	"indelible/storage/sqlite"
)

// A follower on a real database, which is stopped in the middle of whatever it
// does and begins again on the file as it was left.
func TestRestartsOnSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	open := func() *sqlite.Store {
		s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	w := newWorld(t, s)
	size := w.grow(3 * maxBatch)
	random := rand.New(rand.NewPCG(3, 4))
	unfinished, longest, last := 0, int64(20*time.Millisecond), int64(-1)
	for {
		x := w.open(func(c *Config) { c.Gather = time.Millisecond })
		stop := run(t, x)
		wait.For(t.Context(), time.Duration(random.Int64N(longest)))
		stop()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open()
		w.store = s
		st, err := s.IndexState(t.Context(), w.id)
		if err != nil {
			t.Fatal(err)
		}
		if st.Size == size && unfinished >= 2 {
			break
		}
		if st.Size == size { // it was stopped too late
			size = w.grow(maxBatch)
			longest -= longest / 4
		} else {
			unfinished++
		}
		if st.Size == last { // this machine needs longer for a batch
			longest += longest / 4
		}
		last = st.Size
	}
	defer s.Close()
	w.complete(w.open(nil), size)
}
