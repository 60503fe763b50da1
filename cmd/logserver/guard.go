package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"indelible/guard"
	"indelible/internal/config"
	"indelible/merkle"
	"indelible/storage"
)

func (p *program) guardCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "guard", Short: "See what is known where, and end the poisoned state"}
	reason := ""
	clear := &cobra.Command{
		Use:   "clear --reason TEXT",
		Short: "Let a poisoned log go on, once the database is right again",
		Long: "Let a poisoned log go on. It is refused unless the database extends what the register knows was signed,\n" +
			"and a whole fsck finds nothing. Stop all replicas first.",
		Args: cobra.NoArgs,
	}
	clear.Flags().StringVar(&reason, "reason", "", "what was wrong and what was done (required)")
	clear.RunE = p.with(func(ctx context.Context, v config.Values) error { return p.clearPoison(ctx, v, reason) })
	cmd.AddCommand(clear, &cobra.Command{
		Use: "status", Short: "Print what the database and the register know", Args: cobra.NoArgs, RunE: p.with(p.guardStatus),
	})
	return cmd
}

// standing is what is known where.
type standing struct {
	head      storage.Head
	published storage.Published
	register  guard.State
}

func stand(ctx context.Context, o *opened) (s standing, err error) {
	if s.head, err = o.store.LockedHead(ctx, o.record.ID); err != nil {
		return s, err
	}
	if s.published, err = o.store.Published(ctx, o.record.ID); err != nil {
		return s, err
	}
	s.register, err = o.register.Read(ctx)
	return s, err
}

func (p *program) guardStatus(ctx context.Context, v config.Values) error {
	o, err := open(ctx, v, false, false)
	if err != nil {
		return err
	}
	defer o.close()
	s, err := stand(ctx, o)
	if err != nil {
		return err
	}
	r := s.register.Newest
	fmt.Fprintf(p.stdout, "log        %s\n", o.record.Origin)
	fmt.Fprintf(p.stdout, "register   size %d  root %x\n", r.Size, r.Root)
	if r.Time > 0 {
		fmt.Fprintf(p.stdout, "           since %s\n", time.UnixMilli(r.Time).UTC().Format(time.RFC3339))
	}
	fmt.Fprintf(p.stdout, "database   size %d  root %x\n", s.head.Size, s.head.Root)
	fmt.Fprintf(p.stdout, "published  size %d  root %x\n", s.published.Size, s.published.Root)
	if err := s.agree(); err != nil {
		fmt.Fprintf(p.stdout, "\n%v\n", err)
	}
	for _, poison := range []struct{ where, why string }{{"register", s.register.Poisoned}, {"database", o.record.Poisoned}} {
		if poison.why != "" {
			fmt.Fprintf(p.stdout, "\nPoisoned, says the %s: %s\n", poison.where, poison.why)
		}
	}
	return nil
}

// agree says in words which of the three does not fit, as far as sizes tell.
func (s standing) agree() error {
	r := s.register.Newest
	switch {
	case s.head.Size < r.Size:
		return fmt.Errorf("the database is behind: size %d was signed, and it has %d; bring it forward: restore a newer backup, or fail over to the server that has the commits", r.Size, s.head.Size)
	case s.head.Size == r.Size && s.head.Root != r.Root:
		return fmt.Errorf("the database went another way: at size %d another root was signed; find the database that has the signed tree", r.Size)
	case s.published.Version > 0 && s.published.Size > r.Size:
		return fmt.Errorf("the register is older than the log: size %d is published, and it knows %d; put the newest copy of the register back", s.published.Size, r.Size)
	}
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
	s, err := stand(ctx, o)
	if err == nil {
		err = s.agree()
	}
	if err == nil {
		err = extendsRegister(ctx, o, s)
	}
	if err == nil {
		_, err = p.audit(ctx, o)
	}
	if err != nil {
		return fmt.Errorf("not cleared: %w", err)
	}
	if err := o.register.Clear(ctx); err != nil {
		return err
	}
	if err := o.store.ClearPoison(ctx, o.record.ID); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "Cleared at size %d. Reason given: %s\n", s.head.Size, reason)
	return nil
}

// extendsRegister proves that the database's tree contains what was signed.
func extendsRegister(ctx context.Context, o *opened, s standing) error {
	var edge merkle.Edge
	for edge.Size() < s.register.Newest.Size {
		leaves, err := o.store.LeafHashes(ctx, o.record.ID, edge.Size(), min(edge.Size()+4096, s.register.Newest.Size))
		if err != nil {
			return err
		}
		edge, _ = edge.Append(leaves)
	}
	if edge.Root() != s.register.Newest.Root {
		return fmt.Errorf("the database's tree of size %d is not the one that was signed", edge.Size())
	}
	return nil
}
