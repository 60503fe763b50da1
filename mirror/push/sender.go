package push

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"

	"indelible/merkle"
)

// treeError is an error of what is pushed, not of the mirror.
type treeError struct{ err error }

func (e *treeError) Error() string { return e.err.Error() }
func (e *treeError) Unwrap() error { return e.err }

// sender sends one add-entries request.
type sender struct {
	c    *Client
	h    Header
	tree Tree
}

// readAhead is how many packages are made while others are sent.
const readAhead = 4

// send streams up to 32 packages. The mirror may answer before it has read them.
func (u *sender) send(ctx context.Context) (reply, error) {
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	failed := make(chan error, 1)
	go func() {
		err := u.write(ctx, w)
		w.CloseWithError(err)
		failed <- err
	}()
	encoding := "gzip"
	if u.c.cfg.Plain {
		encoding = ""
	}
	a, err := u.c.post(ctx, "add-entries", entriesType, encoding, r)
	cancel()
	r.Close() // so that write ends, whatever was read
	wrote := <-failed
	if own := (*treeError)(nil); err != nil && errors.As(wrote, &own) {
		return a, own
	}
	return a, err
}

// write writes a request's body.
func (u *sender) write(ctx context.Context, to io.Writer) error {
	out := to
	var z *gzip.Writer
	if !u.c.cfg.Plain {
		z, _ = gzip.NewWriterLevel(to, gzip.BestSpeed) // the level is valid
		out = z
	}
	b := bufio.NewWriterSize(out, 64<<10)
	head, err := u.h.Append(nil)
	if err != nil {
		return &treeError{err}
	}
	b.Write(head)
	if err := u.packages(ctx, b); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	if z != nil {
		return z.Close()
	}
	return nil
}

// packages writes the packages in turn, and makes the next ones meanwhile.
func (u *sender) packages(ctx context.Context, b *bufio.Writer) error {
	type made struct {
		data []byte
		err  error
	}
	n := min(u.h.Packages(), MaxPackages)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ahead := make(chan chan made, readAhead-1)
	go func() {
		defer close(ahead)
		for i := range n {
			one := make(chan made, 1)
			select {
			case ahead <- one:
			case <-ctx.Done():
				return
			}
			go func() {
				data, err := u.make(ctx, i)
				one <- made{data, err}
			}()
		}
	}()
	for one := range ahead {
		p := <-one
		if p.err != nil {
			return &treeError{p.err}
		}
		if _, err := b.Write(p.data); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// make makes package i.
func (u *sender) make(ctx context.Context, i int64) ([]byte, error) {
	from, start, end := u.h.bounds(i)
	entries, err := u.tree.Entries(ctx, from, end)
	if err != nil {
		return nil, fmt.Errorf("read the entries [%d, %d): %w", from, end, err)
	}
	if int64(len(entries)) != end-from {
		return nil, fmt.Errorf("read the entries [%d, %d): there are %d", from, end, len(entries))
	}
	proof, err := u.tree.Subtree(ctx, from, end)
	if err != nil {
		return nil, fmt.Errorf("prove the entries [%d, %d): %w", from, end, err)
	}
	size := 1 + merkle.HashSize*len(proof)
	for _, e := range entries[start-from:] {
		size += 2 + len(e)
	}
	data := make([]byte, 0, size)
	for _, e := range entries[start-from:] {
		if data, err = merkle.AppendBundleEntry(data, e); err != nil {
			return nil, err
		}
	}
	return AppendPackage(data, nil, proof), nil
}
