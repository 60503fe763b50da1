package index

import (
	"context"
	"errors"
	"time"
)

// ErrBusy: as much is searched as the log can bear beside its adds.
var ErrBusy = errors.New("too much is being searched; search again in a moment")

const (
	// maxSteps is how many searches read at the same time.
	maxSteps = 2
	// maxWide is how many searches by FindAll are under way at the same time.
	maxWide = 2
	// patience is how long a search waits for its turn.
	patience = 2 * time.Second
	// A search by FindAll rests between its steps so many times as long as the
	// step before took, but not for ever.
	restFactor, longestRest = 3, 300 * time.Millisecond
)

// turns are the places of those who search at the same time.
type turns chan struct{}

// take waits for a place, which the function that it returns gives back.
func (t turns) take(ctx context.Context) (leave func(), err error) {
	leave = func() { <-t }
	select {
	case t <- struct{}{}:
		return leave, nil
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case t <- struct{}{}:
		return leave, nil
	case <-timer.C:
		return nil, ErrBusy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
