package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"indelible/checkpoint"
	"indelible/merkle"
)

const mirrorOrigin = "mirror.bench.example"

// mirrorEntry is the bytes of an entry of the log that is mirrored.
const mirrorEntry = 1024

// mirroredLog serves a log of C2SP tlog-tiles whose entries are made when they are asked
// for: their number, and the same bytes.
type mirroredLog struct {
	size   int64
	levels [][]merkle.Hash
	note   []byte
	vkey   string
	one    []byte // an entry with its length
	url    string
	server *http.Server
}

func newMirroredLog(size int64) (*mirroredLog, error) {
	l := &mirroredLog{size: size, one: bytes.Repeat([]byte("0123456789abcdef"), (mirrorEntry+2)/16+1)[:mirrorEntry+2]}
	binary.BigEndian.PutUint16(l.one, mirrorEntry)
	edge := merkle.Edge{}
	for n := int64(0); n*merkle.TileWidth < size; n++ {
		entries, err := merkle.ParseBundle(l.bundle(n), l.width(n))
		if err != nil {
			return nil, err
		}
		leaves := make([]merkle.Hash, len(entries))
		for i, e := range entries {
			leaves[i] = merkle.LeafHash(e)
		}
		next, full := edge.Append(leaves)
		for _, t := range full {
			for len(l.levels) <= t.Level {
				l.levels = append(l.levels, nil)
			}
			l.levels[t.Level] = append(l.levels[t.Level], t.Hashes...)
		}
		edge = next
	}
	for level := range edge.Levels() {
		for len(l.levels) <= level {
			l.levels = append(l.levels, nil)
		}
		l.levels[level] = append(l.levels[level], edge.Partial(level)...)
	}
	return l, l.sign(edge.Root())
}

func (l *mirroredLog) sign(root merkle.Hash) error {
	const origin = mirrorOrigin
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	signer, err := checkpoint.NewSigner(origin, key)
	if err != nil {
		return err
	}
	verifier, err := checkpoint.NewVerifier(origin, key.Public())
	if err != nil {
		return err
	}
	l.vkey = verifier.String()
	l.note, err = checkpoint.Sign(checkpoint.Checkpoint{Origin: origin, Size: l.size, Root: root}, signer)
	return err
}

func (l *mirroredLog) width(n int64) int {
	return int(min(merkle.TileWidth, l.size-n*merkle.TileWidth))
}

func (l *mirroredLog) bundle(n int64) []byte {
	width := l.width(n)
	data := bytes.Repeat(l.one, width)
	for i := range width {
		binary.BigEndian.PutUint64(data[i*len(l.one)+2:], uint64(n)*merkle.TileWidth+uint64(i))
	}
	return data
}

func (l *mirroredLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	var data []byte
	if b, err := merkle.ParseBundlePath(path); err == nil {
		data = l.bundle(b.Index)
	} else if t, err := merkle.ParseTilePath(path); err == nil {
		begin := t.Index * merkle.TileWidth
		data = merkle.EncodeTile(l.levels[t.Level][begin : begin+int64(t.Width)])
	} else if path == "checkpoint" {
		data = l.note
	} else {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.Write(data)
}

func (l *mirroredLog) start() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	l.url, l.server = "http://"+listener.Addr().String(), &http.Server{Handler: l}
	go l.server.Serve(listener)
	return nil
}

// plain fetches the same bundles, and hashes each entry once. Nothing is stored.
func (l *mirroredLog) plain(ctx context.Context, _ int) (measured, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	defer client.CloseIdleConnections()
	began := time.Now()
	err := eachBlock(l.size, func(n int64) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url+"/"+merkle.Bundle{Index: n, Width: l.width(n)}.Path(), nil)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		data, err := io.ReadAll(res.Body)
		if err != nil {
			return err
		}
		entries, err := merkle.ParseBundle(data, l.width(n))
		for _, e := range entries {
			merkle.LeafHash(e)
		}
		return err
	})
	return measured{result: result{ops: l.size, took: time.Since(began)}}, err
}

// eachBlock calls f for each block of a log, for eight at the same time.
func eachBlock(size int64, f func(n int64) error) error {
	var next atomic.Int64
	var all sync.WaitGroup
	errs := make(chan error, 8)
	for range 8 {
		all.Go(func() {
			for n := next.Add(1) - 1; n*merkle.TileWidth < size; n = next.Add(1) - 1 {
				if err := f(n); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	return <-errs
}

// written writes the same bytes into one file, and syncs it once.
func (b *bench) written(l *mirroredLog) way {
	return func(_ context.Context, _ int) (measured, error) {
		path := filepath.Join(b.dir, "written")
		defer os.Remove(path)
		data := l.bundle(0)
		began := time.Now()
		f, err := os.Create(path)
		if err != nil {
			return measured{}, err
		}
		defer f.Close()
		for n := int64(0); n*merkle.TileWidth < l.size; n++ {
			if _, err := f.Write(data); err != nil {
				return measured{}, err
			}
			if n%256 == 255 {
				if err := f.Sync(); err != nil {
					return measured{}, err
				}
			}
		}
		err = f.Sync()
		return measured{result: result{ops: l.size, took: time.Since(began)}}, err
	}
}

// mirrored has logcli mirror the log, as a process of its own. Its note says how much
// memory that took, and how long a second run, which has nothing to fetch.
func (b *bench) mirrored(logcli string, l *mirroredLog) way {
	return func(ctx context.Context, round int) (measured, error) {
		dir := filepath.Join(b.dir, fmt.Sprintf("mirror%d", round))
		defer os.RemoveAll(dir)
		run := func() (time.Duration, int64, error) {
			cmd := exec.CommandContext(ctx, logcli, "mirror", l.url, dir, "--rate", "0", "--log-key", l.vkey)
			began := time.Now()
			if out, err := cmd.CombinedOutput(); err != nil {
				return 0, 0, fmt.Errorf("%w: %s", err, out)
			}
			usage, _ := cmd.ProcessState.SysUsage().(*syscall.Rusage)
			return time.Since(began), usage.Maxrss << 10, nil
		}
		took, memory, err := run()
		if err != nil {
			return measured{}, err
		}
		again, _, err := run()
		return measured{
			result: result{ops: l.size, took: took},
			note:   fmt.Sprintf("%d MiB of memory; started again in %.2f s", memory>>20, again.Seconds()),
		}, err
	}
}

func measureMirror(ctx context.Context, b *bench) error {
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
	got, err := b.alternate(ctx, l.plain, b.written(l), b.mirrored(logcli, l), b.pushed(logcli, l))
	if err != nil {
		return err
	}
	plain, disk := got[0], got[1]
	b.table.add(plain.row("limit: bundles fetched and hashed"))
	b.table.add(disk.row("limit: the same bytes written and fsynced"))
	b.table.add(againstSlower(got[2], plain, disk, "entries mirrored", 0.6))
	b.table.add(againstSlower(got[3], plain, disk, "entries pushed to a mirror", 0.5))
	return b.measureServed(ctx, logcli, l)
}

// againstSlower is a way's row, with a share of the plain client's rate as the goal, or
// 0.8 of the disk's where that is lower.
func againstSlower(c, plain, disk compared, what string, goal float64) row {
	if 0.8*disk.rate() < goal*plain.rate() {
		return c.against(disk, what, "the same bytes written and fsynced", 0.8)
	}
	return c.against(plain, what, "bundles fetched and hashed", goal)
}
