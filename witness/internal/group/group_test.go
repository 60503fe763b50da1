package group

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// What comes while a group runs is the next group, up to the most that fit.
func TestGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		odd := errors.New("odd")
		gate := make(chan struct{})
		var groups [][]int
		q := New(3, func(work []int) []error {
			<-gate
			groups = append(groups, work)
			errs := make([]error, len(work))
			for i, n := range work {
				if n%2 == 1 {
					errs[i] = odd
				}
			}
			return errs
		})
		var all sync.WaitGroup
		for i := range 6 {
			all.Go(func() {
				if err := q.Do(i); (err == odd) != (i%2 == 1) {
					t.Errorf("%d: %v", i, err)
				}
			})
			synctest.Wait() // so that they come in order
		}
		close(gate)
		all.Wait()
		if len(groups) != 3 || !slices.Equal(slices.Concat(groups...), []int{0, 1, 2, 3, 4, 5}) || len(groups[0]) != 1 || len(groups[1]) != 3 {
			t.Errorf("%v", groups)
		}
		// And again after it ran empty.
		if err := q.Do(8); err != nil {
			t.Error(err)
		}
	})
}
