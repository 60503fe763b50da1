package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"indelible/index"
	"indelible/internal/config"
	"indelible/internal/progress"
	"indelible/internal/vitals"
	"indelible/internal/words"
	translog "indelible/log"
)

// newIndex makes the search index of the log; nil where it is turned off.
func newIndex(v config.Values, l *translog.Log, parts *opened, metrics *prometheus.Registry, logger *slog.Logger) (*index.Index, error) {
	if !v.Bool("search") {
		return nil, nil
	}
	x, err := index.Open(index.Config{Store: parts.store, LogID: parts.record.ID, Log: l, Replica: replica(v), Events: indexEvents(logger)})
	if err != nil {
		return nil, err
	}
	vitals.Gauge(metrics, "indelible_index_size", "Size of the tree up to which searches are complete, as this replica last saw it.", func() (float64, bool) {
		size := x.Known()
		return float64(size), size >= 0
	})
	return x, nil
}

func indexEvents(logger *slog.Logger) index.Events {
	return index.Events{
		Indexed: func(size int64, entries, rows int, took time.Duration) {
			logger.Debug("indexed", "size", size, "entries", entries, "rows", rows, "took", took)
		},
		Reset: func(format int) { logger.Info("the search index is rebuilt", "format", format) },
		Ahead: func(why error) { logger.Warn("the search index is of no use", "error", why) },
		Newer: func(format int) {
			logger.Warn("the search index was made by a newer program, and is let be: searches through this server find nothing", "format", format)
		},
		Retrying: func(what string, err error) { logger.Warn("trying again", "step", "index: "+what, "error", err) },
	}
}

func (p *program) indexCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "index", Short: "Look after the search index"}
	cmd.AddCommand(&cobra.Command{
		Use:   "rebuild",
		Short: "Rebuild the search index from the log",
		Long: "Rebuild the search index from the log.\n\n" +
			"The log and its servers go on meanwhile (on SQLite, which takes one process, the server is stopped before).\n" +
			"Until it is done, searches find what is indexed again, and say up to which size that is complete.",
		Args: cobra.NoArgs,
		RunE: p.with(p.rebuildIndex),
	})
	return cmd
}

func (p *program) rebuildIndex(ctx context.Context, v config.Values) error {
	o, err := open(ctx, v, false, false)
	if err != nil {
		return err
	}
	defer o.close()
	size := int64(0)
	show := p.indexProgress()
	if err := index.Rebuild(ctx, o.store, o.record.ID, func(done, of int64) { size = done; show(done, of) }); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%s: the search index is complete: it has %s.\n", o.record.Origin, words.Count(size, "entry"))
	return nil
}

// indexProgress shows how far it is, where somebody looks.
func (p *program) indexProgress() func(done, of int64) {
	if !isTerminal(p.stderr) {
		return func(int64, int64) {}
	}
	return progress.New(p.stderr, "entries indexed").Set
}
