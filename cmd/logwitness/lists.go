//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"indelible/witness"
)

// listInterval is how often the list's file is looked at.
const listInterval = 2 * time.Second

// maxTold is of how many lines that were skipped each is told of.
const maxTold = 20

// list is the file with the logs to cosign for.
type list struct {
	path    string
	witness *witness.Witness
	logger  *slog.Logger
	read    func(skipped int) // is called when the list was read

	size int64
	at   time.Time
}

// load adds what the list has more than is known. Logs that are refused are told
// of, and stop nothing.
func (l *list) load(ctx context.Context) error {
	info, err := os.Stat(l.path)
	if err != nil {
		return fmt.Errorf("--logs: %w; name a file with a list of logs (logs/v0)", err)
	}
	if info.Size() == l.size && info.ModTime().Equal(l.at) {
		return nil
	}
	logs, skipped, err := readLogs(l.path)
	if err != nil {
		return err
	}
	for _, s := range skipped[:min(len(skipped), maxTold)] {
		l.logger.Warn("skipped in the list of logs", "list", l.path, "line", s.Line, "why", s.Why)
	}
	before := l.witness.Logs()
	err = l.witness.AddLogs(ctx, logs)
	if errors.Is(err, witness.ErrLogRefused) {
		l.logger.Error("logs of the list were refused", "list", l.path, "why", err)
	} else if err != nil {
		return err
	}
	l.size, l.at = info.Size(), info.ModTime()
	l.logger.Info("read the list of logs", "list", l.path, "in it", len(logs), "skipped", len(skipped), "known", l.witness.Logs(), "new", l.witness.Logs()-before)
	l.read(len(skipped))
	return nil
}

// readLogs reads a list of logs; an empty path has none.
func readLogs(path string) ([]witness.Log, []witness.Skipped, error) {
	if path == "" {
		return nil, nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("--logs: %w; name a file with a list of logs (logs/v0)", err)
	}
	logs, skipped, err := witness.ParseLogList(data)
	if err != nil {
		return nil, nil, fmt.Errorf("--logs: %s: %w", path, err)
	}
	return logs, skipped, nil
}

// follow loads the list again when it changes, until ctx ends. A list that
// cannot be read changes nothing, and is told of once.
func (l *list) follow(ctx context.Context) {
	tick := time.NewTicker(listInterval)
	defer tick.Stop()
	last := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := l.load(ctx)
		if err == nil {
			last = ""
		} else if err.Error() != last {
			l.logger.Error("the list of logs was not read again; the logs known so far stay", "error", err)
			last = err.Error()
		}
	}
}
