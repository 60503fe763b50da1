package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"indelible/internal/freeport"
)

// realWitnesses are logwitness processes, each with a SQLite database.
type realWitnesses struct {
	lines   string // of a policy that names them
	running []*process
}

// startWitnesses runs three, which cosign for logs. Those that did start are to
// be stopped after an error, too.
func (b *bench) startWitnesses(ctx context.Context, logs ...madeLog) (w realWitnesses, err error) {
	bin, err := b.build(ctx, "logwitness")
	if err != nil {
		return w, err
	}
	var vkeys []string
	for _, l := range logs {
		vkeys = append(vkeys, l.vkey)
	}
	list := filepath.Join(b.dir, "witnessed-logs")
	if err := os.WriteFile(list, []byte(logList(vkeys)), 0o600); err != nil {
		return w, err
	}
	for i := range witnessCount {
		p, vkey, err := b.startWitness(ctx, bin, list, fmt.Sprintf("w%d", i))
		if err != nil {
			return w, err
		}
		w.running = append(w.running, p)
		w.lines += policyLine(i, vkey, p.http)
	}
	return w, nil
}

// logList is the list of the logs that a witness cosigns for, as often as they
// ask.
func logList(vkeys []string) string {
	var list strings.Builder
	list.WriteString("logs/v0\n")
	for _, vkey := range vkeys {
		fmt.Fprintf(&list, "\nvkey %s\n", vkey)
	}
	return list.String()
}

// startWitness starts one that keeps its state in SQLite.
func (b *bench) startWitness(ctx context.Context, bin, list, name string) (p *process, vkey string, err error) {
	key, vkey, err := b.witnessKey(ctx, bin, name, "--name", name+".bench.example")
	if err != nil {
		return nil, "", err
	}
	p, err = b.serveWitness(ctx, bin, "--data-dir", filepath.Join(b.dir, name), "--key", key, "--logs", list)
	return p, vkey, err
}

// witnessKey makes a key, and returns its file and its vkey.
func (b *bench) witnessKey(ctx context.Context, bin, name string, args ...string) (path, vkey string, err error) {
	path = filepath.Join(b.dir, name+".key")
	out, err := exec.CommandContext(ctx, bin, append([]string{"keygen", "--out", path}, args...)...).Output()
	if err != nil {
		return "", "", fmt.Errorf("logwitness keygen: %w", err)
	}
	return path, strings.TrimSpace(string(out)), nil
}

// serveWitness starts a witness on free ports.
func (b *bench) serveWitness(ctx context.Context, bin string, args ...string) (*process, error) {
	ports, err := freeport.Addrs(2)
	if err != nil {
		return nil, err
	}
	p := &process{http: "http://" + ports[0], admin: "http://" + ports[1]}
	p.cmd = exec.Command(bin, append([]string{"serve", "--listen", ports[0], "--admin", ports[1], "--log-level", "warn"}, args...)...)
	p.cmd.Stderr = b.stderr
	return p, p.start(ctx, p.admin+"/readyz")
}
