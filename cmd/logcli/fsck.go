package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/fsck"
	"indelible/internal/progress"
	"indelible/internal/words"
)

func (p *program) fsckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "fsck", Short: "Audit the whole log: fetch everything, and recompute everything", Args: args(cobra.NoArgs),
		Long: "Audit the whole log: fetch every entry and every tile, recompute every hash from\n" +
			"the entries' bytes, and compare the root with the signed checkpoint. --timeout\n" +
			"does not apply, and --stall-timeout does.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.reader(cmd.Context())
			if err != nil {
				return err
			}
			return p.fsck(cmd.Context(), c)
		},
	}
}

func (p *program) fsck(ctx context.Context, c *client.Client) error {
	o, err := c.Checkpoint(ctx)
	if err != nil {
		return err
	}
	report, err := audit(ctx, c, o, p.progress(o.Size))
	if err != nil {
		return err
	}
	return p.print(map[string]any{"origin": o.Origin, "treeSize": o.Size, "ok": true, "report": report},
		"Log %s is sound: %s (%s) and %s lead to the root of its checkpoint.\n", o.Origin, words.Count(report.Entries, "entry"), words.Count(report.Bytes, "byte"), words.Count(report.Tiles, "tile"))
}

// audit holds a whole log against a checkpoint.
func audit(ctx context.Context, src fsck.Source, o checkpoint.Opened, progress fsck.Progress) (fsck.Report, error) {
	report, err := fsck.Check(ctx, src, o.Size, o.Root, progress)
	var problem *fsck.Problem
	switch {
	case errors.As(err, &problem):
		err = unverified(fmt.Errorf("the log is not what its checkpoint of size %d says: %w", o.Size, problem))
	case errors.Is(err, client.ErrNotFound):
		err = unverified(fmt.Errorf("the log does not have all that its checkpoint of size %d covers: %w", o.Size, err))
	}
	return report, err
}

// progress is a bar, where there is a terminal to show it.
func (p *program) progress(size int64) fsck.Progress {
	f, ok := p.stderr.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || p.output != "text" || size == 0 {
		return nil
	}
	return progress.New(f, "auditing").Set
}
