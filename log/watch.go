package log

import (
	"context"
	"errors"
	"fmt"
	"time"

	"indelible/storage"
)

const (
	// lookEvery is how often the log looks for what would stop an add.
	lookEvery = time.Second
	// patience is how long the database and the register may take to answer such a
	// look. With lookEvery it is under 5 s.
	patience = 3 * time.Second
	// tryEvery is how often at most an idle log without trouble writes to its
	// database to see whether it can, and reads its register.
	tryEvery = 10 * time.Second
	// burst is how many looks between two regular ones the end of trouble causes.
	burst = 10
)

// watcher looks for what would stop an add, before one comes. Only its goroutine
// touches it.
type watcher struct {
	l     *Log
	tried time.Time     // when the database was last seen to take a write
	seen  *storage.Head // our newest commit, as last seen
}

// watched starts the watcher. The returned function ends it.
func (l *Log) watched(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		(&watcher{l: l}).run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

func (w *watcher) run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	w.look(ctx)
	for extra := 0; ; {
		select {
		case <-tick.C:
			extra = 0
		case <-w.l.troubled:
			if extra++; extra > burst {
				continue
			}
		case <-ctx.Done():
			return
		}
		w.look(ctx)
	}
}

// look reads the tree head, compares its time with the clock, and has the
// database write something if that is due. A poisoned log takes nothing anyway.
func (w *watcher) look(ctx context.Context) {
	l := w.l
	if l.refusal() != nil {
		return
	}
	var head storage.Head
	err := w.bounded(ctx, stageDatabase, "the database", func(ctx context.Context) (err error) {
		// A new primary may be read-only for as long as it applies what it received.
		if err = l.cfg.Store.Ping(ctx); err == nil {
			head, err = l.cfg.Store.Head(ctx, l.cfg.Record.ID)
		}
		return err
	})
	if err != nil {
		w.note(ctx, stageDatabase, err)
		return
	}
	_, err = l.integrationTime(head)
	l.failing(stageClock, err)
	if doubts, due := w.due(); due {
		w.try(ctx, doubts)
	} else {
		l.failing(stageDatabase, nil)
	}
}

// due reports whether the database is to be tried, and how many doubts that would
// settle. An append of our own is proof enough.
func (w *watcher) due() (doubts int, due bool) {
	l := w.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != stateRunning {
		return 0, false // nothing is written before the guard has looked
	}
	if c := l.committed.Load(); c != w.seen {
		w.seen, w.tried = c, time.Now()
	}
	return l.doubts, l.proven != l.doubts || time.Since(w.tried) >= tryEvery
}

// try has the database write something, and reads the register.
func (w *watcher) try(ctx context.Context, doubts int) {
	l := w.l
	err := w.bounded(ctx, stageDatabase, "the database", l.tryWrite)
	w.note(ctx, stageDatabase, err)
	if err != nil {
		return
	}
	w.tried = time.Now()
	err = w.bounded(ctx, stageRegister, "the register", func(ctx context.Context) error {
		_, err := l.cfg.Register.Poisoned(ctx)
		return err
	})
	w.note(ctx, stageRegister, err)
	if err == nil {
		l.mu.Lock()
		l.proven = max(l.proven, doubts)
		l.mu.Unlock()
	}
}

// note is failing, unless the log is ending.
func (w *watcher) note(ctx context.Context, s stage, err error) {
	if ctx.Err() == nil {
		w.l.failing(s, err)
	}
}

// tryWrite does what an append does, and changes nothing.
func (l *Log) tryWrite(ctx context.Context) error {
	tx, err := l.cfg.Store.BeginAppend(ctx, l.cfg.Record.ID)
	if err == nil {
		defer tx.Rollback()
		if err = tx.Touch(ctx); err == nil {
			err = tx.Commit(ctx)
		}
	}
	if errors.Is(err, storage.ErrConflict) {
		return nil // another's append was quicker, and so the database takes writes
	}
	return err
}

// bounded calls f, which has patience. A call that lasts longer, whatever its
// context says, is waited for; the stage fails meanwhile.
func (w *watcher) bounded(ctx context.Context, s stage, who string, f func(context.Context) error) error {
	call, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began, done := time.Now(), make(chan error, 1)
	silent := func() error {
		return fmt.Errorf("%s has not answered for %s: it hangs, or its lock on the tree head is held", who, time.Since(began).Round(time.Second))
	}
	go func() { done <- f(call) }()
	slow := time.NewTimer(patience + lookEvery/2)
	defer slow.Stop()
	for ended := ctx.Done(); ; {
		select {
		case err := <-done:
			if err != nil && call.Err() != nil && ctx.Err() == nil {
				err = silent()
			}
			return err
		case <-slow.C:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			w.l.failing(s, silent())
			slow.Reset(lookEvery)
		case <-ended: // the engines give up at once; one that does not is left alone
			ended = nil
			slow.Reset(lookEvery)
		}
	}
}
