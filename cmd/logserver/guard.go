package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"indelible/guard"
	"indelible/internal/config"
)

func (p *program) guardCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "guard", Short: "Show the state of the rollback guard, or clear it"}
	cmd.AddCommand(p.clearCommand(), p.acceptCommand(), p.statusCommand())
	return cmd
}

// clearance is what an operator says of a log that may go on.
type clearance struct {
	by, reason string
	without    absences
}

func (p *program) clearCommand() *cobra.Command {
	var c clearance
	cmd := &cobra.Command{
		Use:   "clear --reason TEXT",
		Short: "Resume a poisoned log after the database is repaired",
		Long: "Resume a poisoned log. It is refused unless the database extends what the register knows was signed,\n" +
			"what a witness showed when the log was poisoned, and what the witnesses of --witness-policy know, all of\n" +
			"whom are asked; and unless a whole fsck finds nothing. Who, when and why is recorded in the database and\n" +
			"in the register. Stop all replicas first.",
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&c.reason, "reason", "", "what was wrong and what was done (required)")
	cmd.Flags().StringVar(&c.by, "by", "", "who you are; by default the system's name of who runs this")
	c.without.flag(cmd)
	cmd.RunE = p.with(func(ctx context.Context, v config.Values) error { return p.clearPoison(ctx, v, c) })
	return cmd
}

// operator is who runs this program, as far as the system knows.
func operator() string {
	name := fmt.Sprint("user ", os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += " at " + host
	}
	return name
}

// clearPoison takes the poison back if everything checks.
func (p *program) clearPoison(ctx context.Context, v config.Values, c clearance) error {
	if c.reason == "" {
		return errors.New("give --reason: what was wrong, and what was done")
	}
	o, err := open(ctx, v, false, false)
	if err != nil {
		return err
	}
	defer o.close()
	release, err := p.alone(ctx, o, "guard clear")
	if err != nil {
		return fmt.Errorf("not cleared: %w", err)
	}
	defer release()
	s, err := stand(ctx, v, o, c.without)
	if err == nil {
		err = errors.Join(s.agree(), s.asked()) // which takes less time
	}
	if err == nil {
		_, err = p.audit(ctx, o, s)
	}
	if err == nil {
		_, err = p.alone(ctx, o, "guard clear") // the audit may have taken long
	}
	if err != nil {
		return fmt.Errorf("not cleared: %w", err)
	}
	if s.register.Poisoned == "" && o.record.Poisoned == "" {
		fmt.Fprintf(p.stdout, "Nothing to clear: the log is not poisoned, and all of its entries (%d) check.\n", s.head.Size)
		return nil
	}
	if err := o.clear(ctx, s, c); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "Cleared at size %d. Reason given: %s\n", s.head.Size, c.reason)
	return nil
}

// clear records who took the poison back, and takes it back. When the process
// ends in between, the log is poisoned as before.
func (o *opened) clear(ctx context.Context, s standing, c clearance) error {
	word := guard.Word{By: cmp.Or(c.by, operator()), Why: c.without.note(c.reason), Time: time.Now().UnixMilli()}
	fact, err := json.Marshal(struct {
		Size    int64    `json:"size"`
		Root    string   `json:"root"`
		By      string   `json:"by"`
		Why     string   `json:"why"`
		At      string   `json:"at"`
		Poison  string   `json:"poison"` // why it was poisoned
		Without []string `json:"without_witnesses,omitempty"`
	}{s.head.Size, hex.EncodeToString(s.head.Root[:]), word.By, c.reason, stamp(word.Time), cmp.Or(s.register.Poisoned, o.record.Poisoned), c.without})
	if err != nil {
		return err
	}
	if _, err := o.store.SetOnce(ctx, o.record.ID, "poison-cleared-"+guard.NewID(), string(fact)); err != nil {
		return fmt.Errorf("record who cleared the log: %w", err)
	}
	if err := o.register.Clear(ctx, word); err != nil {
		return err
	}
	return o.store.ClearPoison(ctx, o.record.ID)
}
