package monitor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"indelible/client"
	"indelible/entry"
	"indelible/mirror/source"
)

// maxShared bounds the answers of blocks that are read at the same time, in bytes. A
// block with a larger one is read again, and is the only such block in memory.
const maxShared = 4 << 20

// compared is what came of a block.
type compared struct {
	end                int64 // the entry after it
	events             []Event
	opaque, unreadable int64
	firstUnreadable    int64
	err                error
}

// read compares every entry from the next one on with the patterns: several blocks
// at a time, and their events are delivered in the log's order. The state follows.
// looking ends before ctx does when the time for reading is over.
func (m *Monitor) read(ctx, looking context.Context, head source.Head) (why, err error) {
	var all sync.WaitGroup
	defer all.Wait()
	looking, cancel := context.WithCancel(looking)
	defer cancel()
	from := m.state.Next
	results := make(chan chan compared, m.cfg.Parallel-1) // and the one that is waited for
	all.Go(func() {
		defer close(results)
		for n := from / source.BlockSize; n*source.BlockSize < head.Size; n++ {
			result := make(chan compared, 1)
			select {
			case results <- result:
				all.Go(func() { result <- m.compare(looking, head, n, from) })
			case <-looking.Done():
				return
			}
		}
	})
	for result := range results {
		c := <-result
		if c.err != nil {
			return c.err, nil
		}
		if err := m.advance(ctx, c); err != nil {
			return nil, err
		}
	}
	return looking.Err(), nil
}

// advance delivers events, and then moves the state over their block.
func (m *Monitor) advance(ctx context.Context, c compared) error {
	if len(c.events) > 0 {
		if err := m.cfg.Sink.Deliver(ctx, c.events); err != nil {
			return fmt.Errorf("deliver what was found, from entry %d on: %w", c.events[0].Entry.Index, err)
		}
	}
	s := &m.state
	s.Next = c.end
	s.Found += int64(len(c.events))
	s.Opaque += c.opaque
	if s.Unreadable += c.unreadable; s.FirstUnreadable < 0 {
		s.FirstUnreadable = c.firstUnreadable
	}
	m.metrics.setNext(s)
	if len(c.events) > 0 || time.Since(m.saved) >= saveEvery {
		return m.save()
	}
	return nil
}

// compare compares the entries of block n, without those before from.
func (m *Monitor) compare(ctx context.Context, head source.Head, n, from int64) (c compared) {
	b, err := m.cfg.Log.Block(client.WithLimit(ctx, maxShared), head, n)
	if errors.Is(err, client.ErrTooBig) {
		m.large.Lock()
		defer m.large.Unlock()
		b, err = m.cfg.Log.Block(ctx, head, n)
	}
	if err == nil {
		err = checkBlock(b, head, n)
	}
	if err != nil {
		return compared{err: err}
	}
	c.end, c.firstUnreadable = b.Start+int64(len(b.Entries)), -1
	var facts []Fact
	for i, data := range b.Entries {
		index := b.Start + int64(i)
		if index < from {
			continue
		}
		facts, err = Facts(facts[:0], m.state.Format, data)
		switch {
		case errors.Is(err, ErrOpaque):
			c.opaque++
		case err != nil:
			if c.unreadable++; c.firstUnreadable < 0 {
				c.firstUnreadable = index
			}
		}
		if matched := m.matcher.Match(facts); len(matched) > 0 {
			c.events = append(c.events, m.found(index, b.Leaves[i][:], facts, matched, data))
		}
	}
	return c
}

// found is the event of an entry that matches patterns.
func (m *Monitor) found(index int64, leaf []byte, facts []Fact, matched []Pattern, data []byte) Event {
	e := &Entry{Index: index, LeafHash: append([]byte(nil), leaf...)}
	for _, p := range matched {
		e.Patterns = append(e.Patterns, p.String())
	}
	shown := min(len(facts), maxFacts)
	e.Facts, e.More = append([]Fact(nil), facts[:shown]...), len(facts)-shown
	if m.state.Format == source.Tiles || m.state.Format == source.RekorV1 {
		e.Signature = signatureOf(data)
	}
	return Event{
		ID: eventID(Found, m.state.Origin, index, m.state.Patterns), Kind: Found, Log: m.state.Origin, At: now(), Entry: e,
		Message: fmt.Sprintf("entry %d matches %s", index, strings.Join(e.Patterns[:min(len(e.Patterns), 8)], "; ")),
	}
}

// signatureOf verifies the signature in an entry, if it is over something that
// stands there, too. A log that Rekor's rules do not bind may hold others.
func signatureOf(data []byte) string {
	p, err := entry.Parse(data)
	if err != nil || p.HashedRekord == nil {
		return "unchecked"
	}
	if p.HashedRekord.Verify() != nil {
		return "false"
	}
	return "verified"
}
