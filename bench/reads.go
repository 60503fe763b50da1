package main

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"time"

	pb "indelible/api/proto/indelible/v1"
	"indelible/merkle"
)

// fill adds entries in batches until the log has so many.
func fill(ctx context.Context, p *process, run string, from, to int64) error {
	cs, err := dial(p.grpc, 1)
	if err != nil {
		return err
	}
	defer cs.close()
	api := pb.NewLogClient(cs[0])
	const size, clients = 512, 8
	total := (to - from + size - 1) / size
	work := make(chan int64)
	errs := make(chan error, clients)
	for range clients {
		go func() {
			for n := range work {
				if err := addBatch(ctx, api, run, from+n*size, int(min(size, to-from-n*size))); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for n := range total {
		select {
		case work <- n:
		case err := <-errs:
			return err
		}
	}
	close(work)
	for range clients {
		if e := <-errs; e != nil && err == nil {
			err = e
		}
	}
	return err
}

// measureTiles measures full tiles and bundles that were asked for before.
func measureTiles(ctx context.Context, b *bench) error {
	p, err := b.startLog(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	const tiles = 16
	if err := fill(ctx, p, "tiles", 0, tiles*merkle.TileWidth); err != nil {
		return err
	}
	for _, s := range []struct {
		what, limit string
		path        func(int64) string
	}{
		{"full tiles, warm", limitTile, func(n int64) string { return merkle.Tile{Index: n % tiles, Width: merkle.TileWidth}.Path() }},
		{"full bundles of 1 KiB entries, warm", limitBundle, func(n int64) string { return merkle.Bundle{Index: n % tiles, Width: merkle.TileWidth}.Path() }},
	} {
		web := newWeb(readClients)
		r := closedLoop(ctx, readClients, b.o.duration, func(ctx context.Context, _ int, n int64) error {
			return web.get(ctx, p.http+"/"+s.path(n))
		})
		web.close()
		b.table.add(row{what: s.what, rate: r.rate(), times: r.times, limit: b.table.rate(s.limit), goal: 0.70})
		if r.err != nil {
			return r.err
		}
	}
	return nil
}

// measureProofs measures inclusion proofs of random entries.
func measureProofs(ctx context.Context, b *bench) error {
	p, err := b.startLog(ctx)
	if err != nil {
		return err
	}
	if err := fill(ctx, p, "proofs", 0, b.o.preload); err != nil {
		p.stop()
		return err
	}
	memory := usageOf(p.cmd.Process.Pid).memory >> 20
	b.table.add(row{what: "server's memory, MiB", rate: float64(memory), note: fmt.Sprintf("after %d entries; it must stay under 256", b.o.preload)})
	args := p.cmd.Args[1:]
	err = b.proofs(ctx, p, "default cache", 0.40)
	p.stop()
	if err != nil {
		return err
	}
	if p, err = b.startServer(ctx, append(args, "--tile-cache", "8MiB")); err != nil {
		return err
	}
	defer p.stop()
	return b.proofs(ctx, p, "cache of 8 MiB", 0)
}

func (b *bench) proofs(ctx context.Context, p *process, note string, goal float64) error {
	const clients = 256
	cs, err := dial(p.grpc, clients)
	if err != nil {
		return err
	}
	defer cs.close()
	r := closedLoop(ctx, clients, b.o.duration, func(ctx context.Context, c int, n int64) error {
		_, err := pb.NewLogClient(cs.of(c)).GetInclusionProof(ctx, &pb.GetInclusionProofRequest{Index: new(rand.Int64N(b.o.preload))})
		return err
	})
	b.table.add(row{
		what: fmt.Sprintf("inclusion proofs of random entries, gRPC, %s", note), rate: r.rate(), times: r.times,
		limit: b.table.rate(limitGRPC(clients)), goal: goal, note: fmt.Sprintf("%d entries in the log", b.o.preload),
	})
	return r.err
}

// measureGrowth follows the cost of an entry while the log grows.
func measureGrowth(ctx context.Context, b *bench) error {
	p, err := b.startLog(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	first := 0.0
	const steps = 5
	for i := range int64(steps) {
		from := i * b.o.grow / steps
		m := b.meter([]*process{p})
		if err := fill(ctx, p, "growth", from, (i+1)*b.o.grow/steps); err != nil {
			return err
		}
		rate := float64(b.o.grow/steps) / time.Since(m.start).Seconds()
		if i == 0 {
			first = rate
		}
		b.table.add(row{
			what: fmt.Sprintf("entries in batches of 512, from %d on", from), rate: rate, limit: first, goal: 1 / 1.5, note: m.note(),
		})
	}
	return b.bytesPerEntry(ctx)
}

// bytesPerEntry asks the database what the last log's entries take.
func (b *bench) bytesPerEntry(ctx context.Context) error {
	if b.db == nil {
		return nil
	}
	db, err := sql.Open("mysql", b.db.DSN("information_schema"))
	if err != nil {
		return err
	}
	defer db.Close()
	var bytes float64
	err = db.QueryRowContext(ctx, `SELECT SUM(file_size) FROM innodb_sys_tablespaces WHERE name LIKE ?`, fmt.Sprintf("bench_log%d/%%", b.logs)).Scan(&bytes)
	if err != nil {
		return err
	}
	b.table.add(row{what: "bytes on disk for an entry of 1 KiB", rate: bytes / float64(b.o.grow)})
	return nil
}
