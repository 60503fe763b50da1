package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"indelible/guard"
	"indelible/guard/registers"
	"indelible/internal/config"
	"indelible/merkle"
	"indelible/storage"
)

// acceptance is what an operator says of a log whose register is lost.
type acceptance struct {
	size          int64
	root, by, why string
	without       absences
}

func (p *program) acceptCommand() *cobra.Command {
	var a acceptance
	cmd := &cobra.Command{
		Use:   "accept --size N --root HEX --by WHO --reason TEXT",
		Short: "Replace a lost register",
		Long: "Make a register in the place of a lost one, on your word that the database's tree head is\n" +
			"the newest that was ever signed. If it is not, the log will have forked: compare it with what others have\n" +
			"seen (witnesses, which it asks with --witness-policy; clients; mirrors) before you give it.\n\n" +
			"It is refused where there is a register, where the head is not exactly the database's, where a witness\n" +
			"knows better or does not answer, and where fsck finds anything. Who, when and why is recorded in the database and in the\n" +
			"register. A database that is behind is never accepted: bring it forward. Stop all replicas first.",
		Args: cobra.NoArgs,
	}
	cmd.Flags().Int64Var(&a.size, "size", -1, "size of the database's tree head (required)")
	cmd.Flags().StringVar(&a.root, "root", "", "its root, in hex (required)")
	cmd.Flags().StringVar(&a.by, "by", "", "who you are (required)")
	cmd.Flags().StringVar(&a.why, "why", "", "the same as --reason")
	cmd.Flags().MarkHidden("why")
	cmd.Flags().StringVar(&a.why, "reason", "", "how the register was lost, and what the head was compared with (required)")
	a.without.flag(cmd)
	cmd.RunE = p.with(func(ctx context.Context, v config.Values) error { return p.accept(ctx, v, a) })
	return cmd
}

// head is the head that is given.
func (a acceptance) head() (h guard.Head, err error) {
	if a.size < 0 || a.root == "" || a.by == "" || a.why == "" {
		return h, errors.New("give all of --size, --root, --by and --reason")
	}
	root, err := hex.DecodeString(a.root)
	if err != nil || len(root) != len(h.Root) {
		return h, fmt.Errorf("--root %q: it is 64 hex digits, as logserver guard status prints", a.root)
	}
	return guard.Head{Size: a.size, Root: merkle.Hash(root), Time: time.Now().UnixMilli()}, nil
}

func (p *program) accept(ctx context.Context, v config.Values, a acceptance) error {
	head, err := a.head()
	if err != nil {
		return err
	}
	o, err := openAnyway(ctx, v, changing)
	if err != nil {
		return err
	}
	defer o.close()
	if err := o.registerIsGone(ctx, o.place); err != nil {
		return fmt.Errorf("not accepted: %w", err)
	}
	release, err := p.alone(ctx, o, "guard accept")
	if err != nil {
		return fmt.Errorf("not accepted: %w", err)
	}
	defer release()
	if err := p.mayAccept(ctx, v, o, head, a.without); err != nil {
		return fmt.Errorf("not accepted: %w", err)
	}
	if _, err := p.alone(ctx, o, "guard accept"); err != nil { // the audit may have taken long
		return fmt.Errorf("not accepted: %w", err)
	}
	if err := o.replaceRegister(ctx, pathsOf(v), head, a); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "Made register %s of log %q at size %d.\n", o.place, o.record.Origin, head.Size)
	return nil
}

// registerIsGone refuses to accept anything while there is a register.
func (o *opened) registerIsGone(ctx context.Context, path string) error {
	if o.lost == nil {
		return fmt.Errorf("log %q has its register, %s: nothing is lost", o.record.Origin, path)
	}
	there, err := registers.Exists(ctx, path, o.record.Origin)
	if err != nil {
		return fmt.Errorf("whether the register is lost is not known: %w", err)
	}
	if there {
		return fmt.Errorf("there is a register, %s, and this is for one that is lost: %w", path, o.lost)
	}
	return nil
}

// mayAccept compares the given head with the database, and the database with
// whatever else is known.
func (p *program) mayAccept(ctx context.Context, v config.Values, o *opened, head guard.Head, without absences) error {
	s, err := stand(ctx, v, o, without)
	if err != nil {
		return err
	}
	if s.head.Size != head.Size || s.head.Root != head.Root {
		return fmt.Errorf("the database's tree head has size %d and root %x, and given are size %d and root %x", s.head.Size, s.head.Root, head.Size, head.Root)
	}
	if err := errors.Join(s.agree(), s.asked()); err != nil { // which takes less time
		return err
	}
	_, err = p.audit(ctx, o, s)
	return err
}

// replaceRegister gives the log another register, by an id of its own: the old
// one is not to be taken for it, should it turn up again. When the process ends
// in between, the log is without a register as before.
func (o *opened) replaceRegister(ctx context.Context, p paths, head guard.Head, a acceptance) error {
	id := guard.NewID()
	fact, err := json.Marshal(struct {
		Size      int64    `json:"size"`
		Root      string   `json:"root"`
		By        string   `json:"by"`
		Why       string   `json:"why"`
		At        string   `json:"at"`
		InsteadOf string   `json:"instead_of"` // the old register's id
		Without   []string `json:"without_witnesses,omitempty"`
	}{head.Size, hex.EncodeToString(head.Root[:]), a.by, a.why, stamp(head.Time), o.record.Register, a.without})
	if err != nil {
		return err
	}
	if _, err := o.store.SetOnce(ctx, o.record.ID, "register-accepted-"+id, string(fact)); err != nil {
		return fmt.Errorf("record who accepted the register: %w", err)
	}
	at := storage.Head{Size: head.Size, Root: head.Root}
	if err := o.store.ReplaceRegister(ctx, o.record.ID, o.record.Register, id, at); err != nil {
		return fmt.Errorf("record the new register: %w", err)
	}
	if o.place = p.newRegisterAt(id); o.place != p.register {
		if err := os.MkdirAll(p.state, 0o700); err != nil {
			return err
		}
	}
	word := guard.Word{By: a.by, Why: a.without.note(a.why), Time: head.Time}
	r, err := registers.Accept(ctx, o.place, o.record.Origin, id, head, word)
	if err != nil {
		return err
	}
	return r.Close()
}
