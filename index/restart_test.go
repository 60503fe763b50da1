package index

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

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
	size := w.grow(40_000)
	random := rand.New(rand.NewPCG(3, 4))
	stops := 0
	for {
		x := w.open(func(c *Config) { c.Gather = time.Millisecond })
		stop := run(t, x)
		pause(t.Context(), time.Duration(random.Int64N(int64(60*time.Millisecond))))
		stop()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		stops++
		s = open()
		w.store = s
		st, err := s.IndexState(t.Context(), w.id)
		if err != nil {
			t.Fatal(err)
		}
		if st.Size == size {
			break
		}
		if stops == 2000 {
			t.Fatalf("it is at %d of %d", st.Size, size)
		}
	}
	defer s.Close()
	if stops < 3 {
		t.Fatalf("it was stopped %d times only", stops)
	}
	w.complete(w.open(nil), size)
}
