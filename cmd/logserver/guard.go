package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"indelible/guard"
	"indelible/internal/config"
)

func (p *program) guardCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "guard", Short: "See what is known where, and end the poisoned state"}
	reason := ""
	clear := &cobra.Command{
		Use:   "clear --reason TEXT",
		Short: "Let a poisoned log go on, once the database is right again",
		Long: "Let a poisoned log go on. It is refused unless the database extends what the register knows was signed,\n" +
			"and what the witnesses of --witness-policy do, and a whole fsck finds nothing. Stop all replicas first.",
		Args: cobra.NoArgs,
	}
	clear.Flags().StringVar(&reason, "reason", "", "what was wrong and what was done (required)")
	clear.RunE = p.with(func(ctx context.Context, v config.Values) error { return p.clearPoison(ctx, v, reason) })
	cmd.AddCommand(clear, p.acceptCommand(), &cobra.Command{
		Use: "status", Short: "Print what the database, the register and the witnesses know", Args: cobra.NoArgs, RunE: p.with(p.guardStatus),
	})
	return cmd
}

func (p *program) guardStatus(ctx context.Context, v config.Values) error {
	o, err := openAnyway(ctx, v)
	if err != nil {
		return err
	}
	defer o.close()
	s, err := stand(ctx, v, o)
	if err != nil {
		return err
	}
	s.print(p.stdout, o)
	return nil
}

// clearPoison takes the poison back if everything checks.
func (p *program) clearPoison(ctx context.Context, v config.Values, reason string) error {
	if reason == "" {
		return errors.New("give --reason: what was wrong, and what was done")
	}
	o, err := open(ctx, v, false, false)
	if err != nil {
		return err
	}
	defer o.close()
	s, err := stand(ctx, v, o)
	if err == nil {
		err = s.agree() // which takes less time
	}
	if err == nil {
		_, err = p.audit(ctx, o, s)
	}
	if err != nil {
		return fmt.Errorf("not cleared: %w", err)
	}
	if s.register.Poisoned == "" && o.record.Poisoned == "" {
		fmt.Fprintf(p.stdout, "Nothing to clear: the log is not poisoned, and all of its %d entries check.\n", s.head.Size)
		return nil
	}
	if err := o.register.Clear(ctx, guard.Word{Why: reason, Time: time.Now().UnixMilli()}); err != nil {
		return err
	}
	if err := o.store.ClearPoison(ctx, o.record.ID); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "Cleared at size %d. Reason given: %s\n", s.head.Size, reason)
	return nil
}
