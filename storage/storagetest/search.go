package storagetest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"indelible/storage"
)

func (s *suite) entriesAt() {
	ctx, l := s.Context(), s.create("a")
	a := s.append(l.ID, 1500, 20)
	for _, indexes := range [][]int64{nil, {0}, {1499}, {3, 4, 900}, sequence(0, 1000, 1), sequence(0, 1500, 5)} {
		got, err := s.store.EntriesAt(ctx, l.ID, indexes)
		s.ok(err)
		if len(got) != len(indexes) {
			s.Fatalf("%d entries, not %d", len(got), len(indexes))
		}
		for i, e := range got {
			if want := a.Entries[indexes[i]]; e.Index != want.Index || e.LeafHash != want.LeafHash || string(e.Body) != string(want.Body) || e.IntegratedAt != want.IntegratedAt {
				s.Fatalf("entry %+v, not %+v", e, want)
			}
		}
	}
	for _, indexes := range [][]int64{{1500}, {3, 1500}, {1 << 40}} {
		_, err := s.store.EntriesAt(ctx, l.ID, indexes)
		s.is(err, storage.ErrNotFound)
	}
}

func sequence(from, to, step int64) (all []int64) {
	for i := from; i < to; i += step {
		all = append(all, i)
	}
	return all
}

func (s *suite) setOnce() {
	ctx, a, b := s.Context(), s.create("a"), s.create("b")
	set := func(id int64, name, value, want string) {
		s.Helper()
		got, err := s.store.SetOnce(ctx, id, name, value)
		if s.ok(err); got != want {
			s.Fatalf("%q stands, not %q", got, want)
		}
	}
	set(a.ID, "key", "one", "one")
	set(a.ID, "key", "two", "one")
	set(a.ID, "Key", "three", "three")
	set(b.ID, "key", "four", "four")
	set(b.ID, "empty", "", "")
	set(b.ID, "empty", "five", "")
	long := strings.Repeat("ö", 4000)
	set(b.ID, "long", long, long)
	facts := func(id int64, prefix string, want map[string]string) {
		s.Helper()
		got, err := s.store.Facts(ctx, id, prefix)
		if s.ok(err); !maps.Equal(got, want) {
			s.Fatalf("the facts %q are %q, not %q", prefix, got, want)
		}
	}
	facts(a.ID, "key", map[string]string{"key": "one"})
	set(a.ID, "key-1", "x", "x")
	set(a.ID, "kez", "y", "y")
	facts(a.ID, "key", map[string]string{"key": "one", "key-1": "x"})
	facts(b.ID, "key", map[string]string{"key": "four"})
	facts(a.ID, "none", map[string]string{})
	_, err := s.store.SetOnce(ctx, 999, "key", "one")
	s.is(err, storage.ErrNotFound)
	values := make(chan string, 4)
	s.outcomes(func(i int) error {
		stands, err := s.store.SetOnce(ctx, a.ID, "race", fmt.Sprint(i))
		values <- stands
		return err
	}, nil)
	first := <-values
	for range 3 {
		if v := <-values; v != first {
			s.Fatalf("for one %q stands, and for another %q", v, first)
		}
	}
}

// begin makes an index and appends rows to it, of which each is {key, index}.
func (s *suite) begin(logID int64, format int, to int64, rows ...storage.IndexRow) storage.IndexState {
	s.Helper()
	was, err := s.store.IndexState(s.Context(), logID)
	s.ok(err)
	st, err := s.store.IndexReset(s.Context(), logID, was, format)
	s.ok(err)
	if st.ID == 0 || st.ID == was.ID || st.Format != format || st.Size != 0 {
		s.Fatalf("begun anew as %+v after %+v", st, was)
	}
	return s.index1(logID, st, to, rows...)
}

// index1 appends rows, and returns the state after it.
func (s *suite) index1(logID int64, st storage.IndexState, to int64, rows ...storage.IndexRow) storage.IndexState {
	s.Helper()
	s.ok(s.store.IndexAppend(s.Context(), logID, st, to, rows))
	st.Size = to
	s.stands(logID, st)
	return st
}

func (s *suite) stands(logID int64, want storage.IndexState) {
	s.Helper()
	if got, err := s.store.IndexState(s.Context(), logID); err != nil || got != want {
		s.Fatalf("%+v, %v; not %+v", got, err, want)
	}
}

func (s *suite) finds(logID, key, after int64, limit int, want storage.IndexState, entries ...int64) {
	s.Helper()
	st, got, err := s.store.IndexFind(s.Context(), logID, key, after, limit)
	if s.ok(err); st != want || !slices.Equal(got, entries) {
		s.Fatalf("key %d after %d: %+v has %v; not %+v with %v", key, after, st, got, want, entries)
	}
}

func (s *suite) index() {
	ctx, a, b := s.Context(), s.create("a"), s.create("b")
	s.stands(a.ID, storage.IndexState{})
	s.finds(a.ID, 7, -1, 10, storage.IndexState{})
	first := s.begin(a.ID, 1, 10, storage.IndexRow{Key: math.MinInt64, Index: 0}, storage.IndexRow{Key: 7, Index: 2}, storage.IndexRow{Key: 7, Index: 9}, storage.IndexRow{Key: math.MaxInt64, Index: 9})
	s.finds(a.ID, 7, -1, 10, first, 2, 9)
	s.finds(a.ID, 7, 2, 10, first, 9)
	s.finds(a.ID, 7, 9, 10, first)
	s.finds(a.ID, 7, -1, 1, first, 2)
	s.finds(a.ID, 8, -1, 10, first)
	s.finds(a.ID, math.MinInt64, -1, 10, first, 0)
	s.finds(a.ID, math.MaxInt64, -1, 10, first, 9)
	s.finds(b.ID, 7, -1, 10, storage.IndexState{}) // logs do not see each other
	other := s.begin(b.ID, 1, 3, storage.IndexRow{Key: 7, Index: 1})
	if other.ID == first.ID {
		s.Fatal("two logs have one index")
	}
	first = s.index1(a.ID, first, 11) // entries without keys
	second := s.index1(a.ID, first, 13, storage.IndexRow{Key: 7, Index: 11}, storage.IndexRow{Key: 7, Index: 12})
	s.finds(a.ID, 7, -1, 3, second, 2, 9, 11)
	_, err := s.store.IndexReset(ctx, a.ID, storage.IndexState{}, 2)
	s.is(err, storage.ErrConflict)
	anew := s.begin(a.ID, 2, 4, storage.IndexRow{Key: 7, Index: 3})
	s.finds(a.ID, 7, -1, 10, anew, 3)
	s.is(s.store.IndexAppend(ctx, a.ID, second, 20, nil), storage.ErrConflict)
	_, err = s.store.IndexReset(ctx, a.ID, second, 3)
	s.is(err, storage.ErrConflict)
	s.stands(a.ID, anew)
	s.finds(b.ID, 7, -1, 10, other, 1)
	_, err = s.store.IndexReset(ctx, 999, storage.IndexState{}, 1)
	s.is(err, storage.ErrNotFound)
	if err := s.store.IndexAppend(ctx, b.ID+1000, storage.IndexState{}, 1, nil); err == nil {
		s.Fatal("rows for a log that is not there")
	}
}

// indexFinds compares the index with lists of what was put into it, whatever
// the rows are that an engine makes of them.
func (s *suite) indexFinds() {
	l := s.create("a")
	random := rand.New(rand.NewPCG(1, 2))
	st := s.begin(l.ID, 1, 1)
	lists := make(map[int64][]int64)
	for range 8 {
		to := st.Size + 1 + random.Int64N(3000)
		var rows []storage.IndexRow
		for index := st.Size; index < to; index++ {
			rows = append(rows, storage.IndexRow{Key: 1, Index: index}, storage.IndexRow{Key: int64(random.Uint64()), Index: index})
			if random.IntN(3) == 0 {
				rows = append(rows, storage.IndexRow{Key: 2 + random.Int64N(20), Index: index})
			}
		}
		slices.SortFunc(rows, func(a, b storage.IndexRow) int {
			return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Index, b.Index))
		})
		for _, r := range rows {
			lists[r.Key] = append(lists[r.Key], r.Index)
		}
		st = s.index1(l.ID, st, to, rows...)
	}
	for key := range int64(24) {
		for range 20 {
			after, limit := random.Int64N(st.Size+10)-5, 1+random.IntN(200)
			want := lists[key]
			begin, _ := slices.BinarySearch(want, after+1)
			want = want[begin:]
			s.finds(l.ID, key, after, limit, st, want[:min(limit, len(want))]...)
		}
	}
	n := 0
	for key, list := range lists {
		if n++; n < 100 {
			s.finds(l.ID, key, -1, 100_000, st, list...)
		}
	}
}

func (s *suite) indexRace() {
	ctx, l := s.Context(), s.create("a")
	if n := s.outcomes(func(int) error {
		_, err := s.store.IndexReset(ctx, l.ID, storage.IndexState{}, 1)
		return err
	}, storage.ErrConflict); n != 1 {
		s.Fatalf("%d made the index", n)
	}
	st, err := s.store.IndexState(ctx, l.ID)
	s.ok(err)
	for range 5 {
		rows := []storage.IndexRow{{Key: 7, Index: st.Size}, {Key: st.Size + 10, Index: st.Size}}
		if n := s.outcomes(func(int) error { return s.store.IndexAppend(ctx, l.ID, st, st.Size+1, rows) }, storage.ErrConflict); n != 1 {
			s.Fatalf("%d wrote the same rows", n)
		}
		st.Size++
		s.finds(l.ID, 7, -1, 10, st, sequence(0, st.Size, 1)...)
	}
	if n := s.outcomes(func(int) error {
		_, err := s.store.IndexReset(ctx, l.ID, st, 1)
		return err
	}, storage.ErrConflict); n != 1 {
		s.Fatalf("%d began it anew", n)
	}
}

func (s *suite) indexBreaches() {
	ctx, l := s.Context(), s.create("a")
	st := s.begin(l.ID, 1, 10, storage.IndexRow{Key: 7, Index: 2})
	for name, rows := range map[string][]storage.IndexRow{
		"keys that go down":    {{Key: 8, Index: 10}, {Key: 7, Index: 10}},
		"indexes that go down": {{Key: 8, Index: 11}, {Key: 8, Index: 10}},
		"a row twice":          {{Key: 8, Index: 11}, {Key: 8, Index: 11}},
	} {
		if err := s.store.IndexAppend(ctx, l.ID, st, 12, rows); err == nil {
			s.Errorf("%s was taken", name)
		}
		s.stands(l.ID, st)
		s.finds(l.ID, 8, -1, 10, st)
	}
	for _, to := range []int64{9, 10} {
		s.is(s.store.IndexAppend(ctx, l.ID, st, to, nil), storage.ErrCorrupt)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if s.store.IndexAppend(cancelled, l.ID, st, 12, nil) == nil {
		s.Error("written after the context had ended")
	}
	s.stands(l.ID, st)
}

func (s *suite) indexSweep() {
	ctx, l := s.Context(), s.create("a")
	var rows []storage.IndexRow
	for i := range int64(500) {
		rows = append(rows, storage.IndexRow{Key: i % 250, Index: i})
	}
	slices.SortFunc(rows, func(a, b storage.IndexRow) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Index, b.Index))
	})
	s.begin(l.ID, 1, 500, rows...)
	st := s.begin(l.ID, 1, 500, rows...)
	for n := 0; ; n++ {
		more, err := s.store.IndexSweep(ctx, 30)
		if s.ok(err); !more {
			break
		}
		if n == 100 {
			s.Fatal("it does not end")
		}
	}
	for key := range int64(250) {
		s.finds(l.ID, key, -1, 10, st, key, key+250)
	}
}
