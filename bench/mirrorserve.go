package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"indelible/internal/freeport"
	"indelible/merkle"
)

// pushed has logcli push the log to a mirror that is empty, both as processes of their
// own.
func (b *bench) pushed(logcli string, l *mirroredLog) way {
	return func(ctx context.Context, round int) (measured, error) {
		dir := filepath.Join(b.dir, "pushed", strconv.Itoa(round))
		defer os.RemoveAll(dir)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return measured{}, err
		}
		to, err := b.startMirror(ctx, logcli, dir, "--log-key", l.vkey)
		if err != nil {
			return measured{}, err
		}
		defer to.stop()
		cmd := exec.CommandContext(ctx, logcli, "mirror", "push", l.url, to.http, "--log-key", l.vkey)
		// It remembers the heads that it was shown: of this log, for this run.
		cmd.Env = append(os.Environ(), "HOME="+b.dir, "XDG_CONFIG_HOME="+b.dir, "XDG_CACHE_HOME="+b.dir, "XDG_STATE_HOME="+b.dir)
		began := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			return measured{}, fmt.Errorf("%w: %s", err, out)
		}
		return measured{result: result{ops: l.size, took: time.Since(began)}}, nil
	}
}

func (b *bench) startMirror(ctx context.Context, logcli, dir string, args ...string) (*process, error) {
	ports, err := freeport.Addrs(1)
	if err != nil {
		return nil, err
	}
	p := &process{http: "http://" + ports[0]}
	p.cmd = exec.Command(logcli, append([]string{"mirror", "serve", dir, "--listen", ports[0], "--name", "mirror.bench.example/m1"}, args...)...)
	p.cmd.Stderr = b.stderr
	return p, p.start(ctx, p.http+"/mirror.v0.json")
}

// startFiles starts this program as net/http's server of a directory.
func startFiles(ctx context.Context, dir, ready string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ports, err := freeport.Addrs(1)
	if err != nil {
		return nil, err
	}
	p := &process{http: "http://" + ports[0]}
	p.cmd = exec.Command(self, "serve-files", ports[0], dir)
	return p, p.start(ctx, p.http+ready)
}

// measureServed compares a copy that logcli serves with the same files behind
// net/http's FileServer.
func (b *bench) measureServed(ctx context.Context, logcli string, l *mirroredLog) error {
	dir := filepath.Join(b.dir, "served")
	defer os.RemoveAll(dir)
	if out, err := exec.CommandContext(ctx, logcli, "mirror", l.url, dir, "--rate", "0", "--log-key", l.vkey).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	folder := fmt.Sprintf("/%x", sha256.Sum256([]byte(mirrorOrigin)))
	files, err := startFiles(ctx, dir, folder+"/checkpoint")
	if err != nil {
		return err
	}
	defer files.stop()
	own, err := b.startMirror(ctx, logcli, dir)
	if err != nil {
		return err
	}
	defer own.stop()
	got, err := b.alternate(ctx, l.bundles(files.http+folder), l.bundles(own.http+folder))
	if err != nil {
		return err
	}
	b.table.add(got[0].row("limit: bundles from net/http's FileServer"))
	b.table.add(got[1].against(got[0], "bundles of a copy served", "bundles from net/http's FileServer", 0.9))
	return nil
}

// bundles fetches all bundles from a server, without compression.
func (l *mirroredLog) bundles(url string) way {
	return func(ctx context.Context, _ int) (measured, error) {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8, DisableCompression: true}}
		defer client.CloseIdleConnections()
		began := time.Now()
		err := eachBlock(l.size, func(n int64) error {
			width := l.width(n)
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/"+merkle.Bundle{Index: n, Width: width}.Path(), nil)
			if err != nil {
				return err
			}
			res, err := client.Do(req)
			if err != nil {
				return err
			}
			got, err := io.Copy(io.Discard, res.Body)
			err = errors.Join(err, res.Body.Close())
			if want := int64(width * len(l.one)); err == nil && (res.StatusCode != http.StatusOK || got != want) {
				err = fmt.Errorf("bundle %d: %s with %d bytes; there are %d", n, res.Status, got, want)
			}
			return err
		})
		return measured{result: result{ops: (l.size + merkle.TileWidth - 1) / merkle.TileWidth, took: time.Since(began)}}, err
	}
}
