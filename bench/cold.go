package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"indelible/merkle"
)

// coldClients is how many clients read what no server has in memory.
const coldClients = 16

// measureCold measures full bundles and tiles of a log at random, by servers that keep
// nothing ready to send: this program's, one that publishes to a folder and reads its files,
// and the program of -against.
func measureCold(ctx context.Context, b *bench) error {
	p, err := b.startLog(ctx)
	if err != nil {
		return err
	}
	err = fill(ctx, p, "cold", 0, b.o.preload)
	args := slices.Concat(p.cmd.Args[1:], []string{"--response-cache", "0", "--tile-cache", "1MiB", "--search=false"})
	p.stop()
	if err != nil {
		return err
	}
	bundles, tiles, names, err := b.coldWays(ctx, args)
	if err != nil {
		return err
	}
	for _, s := range []struct {
		what string
		ways []way
	}{{"full bundles of 1 KiB entries, cold", bundles}, {"full tiles, cold", tiles}} {
		got, err := b.alternate(ctx, s.ways...)
		if err != nil {
			return err
		}
		for i, c := range got {
			b.table.add(c.against(got[len(got)-1], s.what+", "+names[i], names[len(names)-1], 0))
		}
	}
	return b.measureLarge(ctx, args)
}

// measureLarge measures bundles that are in memory, all of them, in a cache that is far
// larger than the default: the collector must leave room for it.
func (b *bench) measureLarge(ctx context.Context, args []string) error {
	args = slices.Concat(args, []string{"--response-cache", "2GiB"}) // the last one counts
	bundle := func(n int64) string { return merkle.Bundle{Index: n, Width: merkle.TileWidth}.Path() }
	names, ways := []string{"this program"}, []way{b.reads(b.o.bin, args, true, bundle)}
	if b.o.against != "" {
		names, ways = append(names, "the program of -against"), append(ways, b.reads(b.o.against, args, true, bundle))
	}
	got, err := b.alternate(ctx, ways...)
	if err != nil {
		return err
	}
	for i, c := range got {
		b.table.add(c.against(got[len(got)-1], "full bundles, all in memory, --response-cache 2GiB, "+names[i], names[len(names)-1], 0))
	}
	return nil
}

// coldWays starts the servers, one after the other for each measurement, since SQLite
// takes one process; the last way is what the others are compared with.
func (b *bench) coldWays(ctx context.Context, args []string) (bundles, tiles []way, names []string, err error) {
	dir := filepath.Join(b.dir, "cold")
	if err := b.publishOnce(ctx, args, dir); err != nil {
		return nil, nil, nil, err
	}
	bundle := func(n int64) string { return merkle.Bundle{Index: n, Width: merkle.TileWidth}.Path() }
	tile := func(n int64) string { return merkle.Tile{Index: n, Width: merkle.TileWidth}.Path() }
	add := func(name, bin string, args []string) {
		names = append(names, name)
		bundles = append(bundles, b.reads(bin, args, false, bundle))
		tiles = append(tiles, b.reads(bin, args, false, tile))
	}
	add("from published files", b.o.bin, slices.Concat(args, []string{"--publish-to", dir}))
	add("from the database", b.o.bin, args)
	if b.o.against != "" {
		add("by the program of -against", b.o.against, args)
	}
	return bundles, tiles, names, nil
}

func (b *bench) publishOnce(ctx context.Context, args []string, dir string) error {
	p, err := b.startServer(ctx, slices.Concat(args, []string{"--publish-to", dir}))
	if err != nil {
		return err
	}
	defer p.stop()
	for publishedSize(dir) < b.o.preload {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// reads reads files of random numbers, after each was read once if they are to be warm.
func (b *bench) reads(bin string, args []string, warm bool, path func(n int64) string) way {
	return func(ctx context.Context, _ int) (measured, error) {
		own := *b
		own.o.bin = bin
		p, err := own.startServer(ctx, args)
		if err != nil {
			return measured{}, err
		}
		defer p.stop()
		web := newWeb(coldClients)
		defer web.close()
		all := b.o.preload / merkle.TileWidth
		if warm {
			err = eachBlock(all*merkle.TileWidth, func(n int64) error { return web.get(ctx, p.http+"/"+path(n)) })
			if err != nil {
				return measured{}, err
			}
		}
		m := b.meter([]*process{p})
		r := closedLoop(ctx, coldClients, b.o.duration, func(ctx context.Context, _ int, _ int64) error {
			return web.get(ctx, fmt.Sprintf("%s/%s", p.http, path(rand.Int64N(all))))
		})
		return measured{r, m.note()}, r.err
	}
}
