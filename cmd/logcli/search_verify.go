package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"indelible/client"
	"indelible/entry"
	"indelible/merkle"
)

// verified searches, and then looks through the whole log for what the search
// should have found. The entries that it looks through are those that lead to
// the root of the checkpoint, so every hit is proven by the way.
func (s *searching) verified(ctx context.Context, c *client.Client) error {
	s.found = map[int64]merkle.Hash{}
	if err := s.ask(ctx, c, func([]client.Hit) error { return nil }); err != nil {
		return err
	}
	// Fetched afterwards, so that its tree has all that was searched.
	o, err := c.Checkpoint(ctx)
	if err != nil {
		return err
	}
	if s.answer.CompleteTo > o.Size {
		return unverified(fmt.Errorf("the search was said to be complete up to %d entries, and the log's checkpoint has %d", s.answer.CompleteTo, o.Size))
	}
	src := &looking{Client: c, keys: s.keys}
	if _, err := audit(ctx, src, o, s.p.progress(o.Size)); err != nil {
		return err
	}
	s.answer.Origin, s.answer.TreeSize = o.Origin, o.Size
	return s.judge(src.has)
}

// looking is a source of a whole log that takes note of the entries with any of
// the keys. It needs memory for these alone.
type looking struct {
	*client.Client
	keys []entry.IndexKey

	mu  sync.Mutex
	has map[int64]merkle.Hash
}

// Entries implements fsck.Source.
func (l *looking) Entries(ctx context.Context, start, end int64) ([][]byte, error) {
	entries, err := l.Client.Entries(ctx, start, end)
	if err != nil {
		return nil, err
	}
	for i, e := range entries {
		if l.wants(e) {
			l.note(start+int64(i), merkle.LeafHash(e))
		}
	}
	return entries, nil
}

func (l *looking) wants(canonical []byte) bool {
	keys, err := entry.IndexKeys(canonical)
	return err == nil && slices.ContainsFunc(keys, func(k entry.IndexKey) bool { return slices.Contains(l.keys, k) })
}

func (l *looking) note(index int64, leaf merkle.Hash) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.has == nil {
		l.has = map[int64]merkle.Hash{}
	}
	l.has[index] = leaf
}

// judge compares what was found with what the log has.
func (s *searching) judge(has map[int64]merkle.Hash) error {
	var missing, wrong []int64
	for index := range has {
		if _, ok := s.found[index]; !ok && index < s.answer.CompleteTo {
			missing = append(missing, index)
		}
	}
	for index, leaf := range s.found {
		if has[index] != leaf {
			wrong = append(wrong, index)
		}
	}
	if len(missing) == 0 && len(wrong) == 0 {
		s.answer.Verified = true
		return s.print()
	}
	var what []string
	if len(missing) > 0 {
		what = append(what, fmt.Sprintf("it left out %s, and said that it was complete up to %d", named(missing), s.answer.CompleteTo))
	}
	if len(wrong) > 0 {
		what = append(what, fmt.Sprintf("it found %s, where the log has something else", named(wrong)))
	}
	return unverified(fmt.Errorf("the search is wrong: %s.\nThe operator makes the index anew with: logserver index rebuild", strings.Join(what, "; ")))
}

// mostNamed is how many entries a message names.
const mostNamed = 20

func named(indexes []int64) string {
	slices.Sort(indexes)
	var names []string
	for _, i := range indexes[:min(len(indexes), mostNamed)] {
		names = append(names, fmt.Sprint(i))
	}
	text := "entry " + names[0]
	if len(indexes) > 1 {
		text = fmt.Sprintf("%d entries: %s", len(indexes), strings.Join(names, ", "))
	}
	if len(indexes) > mostNamed {
		text += ", …"
	}
	return text
}
