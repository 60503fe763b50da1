package main

import (
	"context"
	"sync"

	"indelible/guard"
	"indelible/storage"
)

// trusting is a store that is believed. What was appended is read back from
// memory, and so is the tree head: the guard does its work and learns nothing,
// at the cost of a hash for each entry.
type trusting struct {
	storage.Store
	mu       sync.Mutex
	appended []storage.Entry // committed and not yet read back, by index
	head     storage.Head
}

// BeginAppend implements storage.Store.
func (t *trusting) BeginAppend(ctx context.Context, logID int64) (storage.Appender, error) {
	tx, err := t.Store.BeginAppend(ctx, logID)
	if err != nil {
		return nil, err
	}
	return &trustingAppend{Appender: tx, to: t}, nil
}

// Head implements storage.Store.
func (t *trusting) Head(ctx context.Context, logID int64) (storage.Head, error) {
	t.mu.Lock()
	head := t.head
	t.mu.Unlock()
	if head.Size > 0 {
		return head, nil
	}
	return t.Store.Head(ctx, logID)
}

// Entries implements storage.Store. What is read is forgotten.
func (t *trusting) Entries(ctx context.Context, logID, start, end int64) ([]storage.Entry, error) {
	if entries := t.take(start, end); entries != nil {
		return entries, nil
	}
	return t.Store.Entries(ctx, logID, start, end)
}

func (t *trusting) take(start, end int64) []storage.Entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.appended) == 0 || start != t.appended[0].Index || end-start > int64(len(t.appended)) {
		return nil
	}
	entries := t.appended[: end-start : end-start]
	t.appended = t.appended[end-start:]
	return entries
}

// trustingAppend remembers what it writes.
type trustingAppend struct {
	storage.Appender
	to    *trusting
	wrote storage.Append
}

// Write implements storage.Appender.
func (a *trustingAppend) Write(ctx context.Context, w storage.Append) error {
	a.wrote = w
	return a.Appender.Write(ctx, w)
}

// Commit implements storage.Appender.
func (a *trustingAppend) Commit(ctx context.Context) error {
	if err := a.Appender.Commit(ctx); err != nil || len(a.wrote.Entries) == 0 {
		return err
	}
	a.to.mu.Lock()
	defer a.to.mu.Unlock()
	a.to.appended = append(a.to.appended, a.wrote.Entries...)
	a.to.head = a.wrote.Head
	a.to.head.Register = a.Appender.Head().Register
	return nil
}

// weightless is a register that is forgotten with the process.
type weightless struct {
	mu    sync.Mutex
	state guard.State
}

func newWeightless() *weightless { return &weightless{state: guard.State{Newest: guard.Empty()}} }

// ID implements guard.Register.
func (*weightless) ID() string { return weightlessID }

const weightlessID = "00000000000000000000000000000000"

// Read implements guard.Register.
func (r *weightless) Read(context.Context) (guard.State, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state, nil
}

// Confirm implements guard.Register.
func (r *weightless) Confirm(ctx context.Context) (guard.State, error) { return r.Read(ctx) }

// Poisoned implements guard.Register.
func (r *weightless) Poisoned(ctx context.Context) (string, error) {
	state, err := r.Read(ctx)
	return state.Poisoned, err
}

// Advance implements guard.Register.
func (r *weightless) Advance(_ context.Context, from, to guard.Head) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.state.Newest.Same(from) {
		return guard.ErrMoved
	}
	r.state.Newest = to
	return nil
}

// Poison implements guard.Register.
func (r *weightless) Poison(_ context.Context, reason string, _ guard.Head) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Poisoned = reason
	return nil
}

// Clear implements guard.Register.
func (r *weightless) Clear(ctx context.Context, _ guard.Word) error {
	return r.Poison(ctx, "", guard.Head{})
}
