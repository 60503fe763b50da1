package mirror

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"indelible/client"
	"indelible/internal/wait"
	"indelible/mirror/source"
)

const (
	// firstEstimate is how many bytes a block is thought to have before one was seen.
	firstEstimate = 1 << 20
	minEstimate   = 64 << 10
	// perBlock is what a block of an estimate takes in memory: its bytes, once more while
	// they grow, and the hashes.
	perByte, perBlock = 2, 32 << 10
	// maxIssued bounds how many issuers are remembered that may be on their way to the
	// disk.
	maxIssued = 10_000
	// lookEvery is how often the log's size is looked at while entries are fetched.
	lookEvery = time.Minute
)

// fetched is a block, or why there is none.
type fetched struct {
	block    source.Block
	reserved int64
	err      error
}

// fetch fetches and appends what the copy lacks below a head. Blocks are fetched at the
// same time, and appended in order. Those on the way are within the budget of bytes: a
// block may have no more than was reserved for it, and one that has is fetched again
// when it is the next one, alone.
func (r *run) fetch(ctx context.Context, head source.Head) error {
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	working.Go(func() { r.look(ctx) })

	budget := semaphore.NewWeighted(max(r.Memory, perByte*minEstimate+perBlock))
	estimates := make(chan int64, 1)
	estimates <- firstEstimate
	slots := make(chan chan fetched, r.Parallel)
	working.Go(func() {
		defer close(slots)
		for next := r.copy.Next(); next < head.Size; next += source.BlockSize - next%source.BlockSize {
			n := next / source.BlockSize
			estimate := <-estimates
			estimates <- estimate
			reserve := min(perByte*estimate+perBlock, max(r.Memory, perByte*minEstimate+perBlock))
			if budget.Acquire(ctx, reserve) != nil {
				return
			}
			slot := make(chan fetched, 1)
			select {
			case slots <- slot:
			case <-ctx.Done():
				return
			}
			working.Go(func() {
				b, err := r.block(client.WithLimit(ctx, (reserve-perBlock)/perByte), head, n)
				slot <- fetched{b, reserve, err}
			})
		}
	})
	for slot := range slots {
		f := <-slot
		if isTooBig(f.err) {
			f.block, f.err = r.block(ctx, head, r.copy.Next()/source.BlockSize)
		}
		if f.err != nil {
			return f.err
		}
		if err := r.append(ctx, f.block, head); err != nil {
			return err
		}
		estimate := <-estimates
		size := int64(len(f.block.Data))
		estimates <- max(minEstimate, size+size/2, estimate-estimate/16)
		budget.Release(f.reserved)
	}
	return ctx.Err()
}

func (r *run) block(ctx context.Context, head source.Head, n int64) (source.Block, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	return r.log.Block(ctx, head, n)
}

// append adds a block to the copy, and what is beside it.
func (r *run) append(ctx context.Context, b source.Block, head source.Head) error {
	if err := r.issuers(ctx, b); err != nil {
		return err
	}
	had := r.copy.Next()
	if err := r.copy.Append(b); err != nil {
		return err
	}
	r.report.Fetched += r.copy.Next() - had
	for _, e := range b.Entries {
		r.report.Bytes += int64(len(e))
	}
	if b.Data == nil {
		r.report.WideCount++
		if len(r.report.Wide) < maxWide {
			r.report.Wide = append(r.report.Wide, b.Start)
		}
	}
	if r.Progress != nil {
		r.Progress(Progress{Done: r.copy.Next(), Size: head.Size, Bytes: r.report.Bytes, Growth: r.growth.get()})
	}
	return nil
}

// issuing is a log whose entries name certificates that stand beside them.
type issuing interface {
	Issuers(b source.Block) ([][sha256.Size]byte, error)
	Issuer(ctx context.Context, hash [sha256.Size]byte) ([]byte, error)
}

// issuers stores the issuers of a block that the copy does not have yet.
func (r *run) issuers(ctx context.Context, b source.Block) error {
	log, ok := r.log.(issuing)
	if !ok {
		return nil
	}
	hashes, err := log.Issuers(b)
	if err != nil {
		return err
	}
	for _, h := range hashes {
		path := fmt.Sprintf("issuer/%x", h)
		if r.issued[h] || r.copy.Has(path) {
			continue
		}
		data, err := log.Issuer(ctx, h)
		if err == nil {
			err = r.copy.Put(path, data)
		}
		if err == nil {
			err = r.put(h)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// put takes note of an issuer that is on its way to the disk.
func (r *run) put(issuer [sha256.Size]byte) error {
	if len(r.issued) >= maxIssued {
		if err := r.copy.Sync(); err != nil { // all of them are there then
			return err
		}
		r.issued = nil
	}
	if r.issued == nil {
		r.issued = make(map[[sha256.Size]byte]bool)
	}
	r.issued[issuer] = true
	return nil
}

// look learns how fast the log grows while its entries are fetched.
func (r *run) look(ctx context.Context) {
	for wait.For(ctx, lookEvery) == nil {
		if head, err := r.log.Head(ctx); err == nil {
			r.growth.add(head.Size)
		}
	}
}
