package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
	list := filepath.Join(b.dir, "witnessed-logs")
	if err := os.WriteFile(list, []byte(logList(logs)), 0o600); err != nil {
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
func logList(logs []madeLog) string {
	list := "logs/v0\n"
	for _, l := range logs {
		list += "\nvkey " + l.vkey + "\n"
	}
	return list
}

func (b *bench) startWitness(ctx context.Context, bin, list, name string) (p *process, vkey string, err error) {
	dir := filepath.Join(b.dir, name)
	key := dir + ".key"
	out, err := exec.CommandContext(ctx, bin, "keygen", "--name", name+".bench.example", "--out", key).Output()
	if err != nil {
		return nil, "", fmt.Errorf("logwitness keygen: %w", err)
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, "", err
	}
	p = &process{http: "http://" + ports[0], admin: "http://" + ports[1]}
	p.cmd = exec.Command(bin, "serve", "--listen", ports[0], "--admin", ports[1], "--data-dir", dir, "--key", key, "--logs", list, "--log-level", "warn")
	p.cmd.Stderr = b.stderr
	return p, strings.TrimSpace(string(out)), p.start(ctx, p.admin+"/readyz")
}
