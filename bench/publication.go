package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// publishTimeout bounds one publication.
const publishTimeout = 15 * time.Minute

// measurePublication measures how fast a server publishes a log that it has to a folder,
// from its start to the checkpoint, beside logcli that mirrors a log of as many entries.
func measurePublication(ctx context.Context, b *bench) error {
	logcli, err := b.build(ctx, "logcli")
	if err != nil {
		return err
	}
	l, err := newMirroredLog(b.o.mirrored)
	if err == nil {
		err = l.start()
	}
	if err != nil {
		return err
	}
	defer l.server.Close()
	p, err := b.startLog(ctx)
	if err != nil {
		return err
	}
	err = fill(ctx, p, "publication", 0, b.o.mirrored)
	args := p.cmd.Args[1:]
	p.stop()
	if err != nil {
		return err
	}
	got, err := b.alternate(ctx, b.mirrored(logcli, l), b.published(args))
	if err != nil {
		return err
	}
	b.table.add(got[0].row("entries mirrored"))
	b.table.add(got[1].against(got[0], "entries published to a folder", "entries mirrored", 0.5))
	return nil
}

// published has a server publish its log to a new folder.
func (b *bench) published(args []string) way {
	return func(ctx context.Context, round int) (measured, error) {
		dir := filepath.Join(b.dir, fmt.Sprintf("published%d", round))
		defer os.RemoveAll(dir)
		ctx, cancel := context.WithTimeout(ctx, publishTimeout)
		defer cancel()
		began := time.Now()
		p, err := b.startServer(ctx, slices.Concat(args, []string{"--publish-to", dir}))
		if err != nil {
			return measured{}, err
		}
		defer p.stop()
		m := b.meter([]*process{p})
		for publishedSize(dir) < b.o.mirrored {
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
				return measured{}, ctx.Err()
			}
		}
		return measured{result{ops: b.o.mirrored, took: time.Since(began)}, m.note()}, nil
	}
}

// publishedSize returns the tree size in a folder's checkpoint, or 0 if the folder has no
// checkpoint.
func publishedSize(dir string) int64 {
	note, _ := os.ReadFile(filepath.Join(dir, "checkpoint"))
	lines := strings.SplitN(string(note), "\n", 3)
	if len(lines) < 3 {
		return 0
	}
	size, _ := strconv.ParseInt(lines[1], 10, 64)
	return size
}
