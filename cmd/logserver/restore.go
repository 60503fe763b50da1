package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/forward"
	"indelible/fsck"
	"indelible/internal/config"
	"indelible/internal/filename"
	"indelible/internal/progress"
	"indelible/internal/redact"
	"indelible/internal/tiledir"
	"indelible/internal/words"
)

func (p *program) restoreCommand() *cobra.Command {
	from := ""
	cmd := &cobra.Command{
		Use:   "restore --from URL|DIR",
		Short: "Bring a database that is behind forward, from a mirror of the log",
		Long: "Bring a database that is behind forward: fetch the entries that it lacks from a mirror of the log (the URL of\n" +
			"a server, or a directory with its files, named as C2SP tlog-tiles names them), and append them.\n\n" +
			"Nothing is written before the entries are proven to lead to exactly what was signed, as the register, the\n" +
			"witnesses of --witness-policy and the log's signature on the mirror's checkpoint tell. Nothing is signed,\n" +
			"and a log that is poisoned stays so: logserver guard clear --reason … is next. If it is interrupted, run it again.\n" +
			"Stop all replicas first.",
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&from, "from", "", "URL or directory of the mirror (required)")
	cmd.RunE = p.with(func(ctx context.Context, v config.Values) error { return p.restore(ctx, v, from) })
	return cmd
}

func (p *program) restore(ctx context.Context, v config.Values, from string) error {
	if from == "" {
		return errors.New("give --from: the URL of a mirror of the log, or a directory with its files")
	}
	o, err := openAnyway(ctx, v, changing)
	if err != nil {
		return err
	}
	defer o.close()
	if o.lost != nil {
		// Only of one that is gone is it known that it cannot be asked.
		if err := o.registerIsGone(ctx, o.place); err != nil {
			return fmt.Errorf("nothing was written: %w", err)
		}
	}
	release, err := p.alone(ctx, o, "restore")
	if err != nil {
		return fmt.Errorf("nothing was written: %w", err)
	}
	defer release()
	s, err := stand(ctx, v, o, nil)
	if err != nil {
		return err
	}
	m, err := openMirror(ctx, from, o)
	if err != nil {
		return fmt.Errorf("nothing was written: %w", err)
	}
	return p.bringForward(ctx, o, s, m)
}

// mirror is where entries come from.
type mirror struct {
	fsck.Source
	name  string
	shown *checkpoint.Opened // its checkpoint, if it has one
}

// openMirror opens a mirror, and its checkpoint with the log's keys.
func openMirror(ctx context.Context, from string, o *opened) (m mirror, err error) {
	keys, err := o.verifiers()
	if err != nil {
		return m, err
	}
	m.name = redact.URL(from)
	var note checkpoint.Opened
	if strings.HasPrefix(from, "http://") || strings.HasPrefix(from, "https://") {
		c, err := client.New(client.Config{URL: from, Keys: keys, UserAgent: "indelible-logserver"})
		if err != nil {
			return m, err
		}
		m.Source = c
		note, err = c.Checkpoint(ctx)
		return m.showing(note, err)
	}
	if err := filename.Check(from, "http://", "https://"); err != nil {
		return m, fmt.Errorf("--from: %w", err)
	}
	if info, err := os.Stat(from); err != nil || !info.IsDir() {
		return m, fmt.Errorf("--from %q is neither a URL (http://, https://) nor a directory", redact.URL(from))
	}
	// logcli mirror keeps the copies of several logs in one directory.
	below := filepath.Join(from, fmt.Sprintf("%x", sha256.Sum256([]byte(keys[0].Name()))))
	if info, err := os.Stat(below); err == nil && info.IsDir() {
		from = below
	}
	dir := tiledir.Directory(from)
	m.Source = dir
	text, err := dir.Checkpoint()
	if err == nil {
		note, err = checkpoint.Open(text, keys)
	}
	return m.showing(note, err)
}

// showing is the mirror with its checkpoint. It may lack one, and must not have
// another log's.
func (m mirror) showing(o checkpoint.Opened, err error) (mirror, error) {
	switch {
	case err == nil:
		m.shown = &o
	case !errors.Is(err, client.ErrNotFound) && !errors.Is(err, fs.ErrNotExist):
		return m, fmt.Errorf("the mirror's checkpoint: %w", err)
	}
	return m, nil
}

// verifiers are the keys that may sign for the log.
func (o *opened) verifiers() ([]checkpoint.Verifier, error) {
	var keys []checkpoint.Verifier
	for _, vkey := range o.record.Keys {
		k, err := checkpoint.ParseVerifier(vkey)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// marks are the heads that the database must come to have.
func (m mirror) marks(o *opened, s standing) []forward.Mark {
	var all []forward.Mark
	for _, h := range s.signed() {
		if h.where != inRegister || o.register != nil {
			all = append(all, forward.Mark{Where: h.where, Size: h.size, Root: h.root, Time: h.at})
		}
	}
	if m.shown != nil {
		all = append(all, forward.Mark{Where: "the checkpoint of " + m.name, Size: m.shown.Size, Root: m.shown.Root})
	}
	return all
}

func (p *program) bringForward(ctx context.Context, o *opened, s standing, m mirror) error {
	marks := m.marks(o, s)
	if len(marks) == 0 {
		return fmt.Errorf("nothing was written: the register is lost, and %s has no checkpoint, so nothing says what was signed", m.name)
	}
	fmt.Fprintf(p.stdout, "log        %s\n", o.record.Origin)
	s.printRegister(p.stdout, o, o.lost)
	s.printHeads(p.stdout)
	if m.shown != nil {
		fmt.Fprintf(p.stdout, "mirror     size %d  root %x\n", m.shown.Size, m.shown.Root)
	} else {
		fmt.Fprintln(p.stdout, "mirror     it has no checkpoint")
	}
	got, err := forward.Run(ctx, forward.Config{Store: o.store, LogID: o.record.ID, Mirror: m, Marks: marks, Progress: p.twice()})
	switch {
	case err != nil && got.To > got.From:
		return fmt.Errorf("%w\nThe database has %s now, all of them proven; run this again, and it goes on from there", err, words.Count(got.To, "entry"))
	case err != nil && (errors.Is(err, client.ErrNotFound) || errors.Is(err, fs.ErrNotExist)):
		return fmt.Errorf("%w\nNothing was written: %s has not all that was signed; find a mirror that has", err, m.name)
	case err != nil:
		return err
	}
	p.brought(got, o, s)
	return nil
}

// brought says what was done, and what is next.
func (p *program) brought(got forward.Report, o *opened, s standing) {
	did, next := fmt.Sprintf("Brought the database forward, from %s to %d", words.Count(got.From, "entry"), got.To), "start the server."
	if got.To == got.From {
		did = fmt.Sprintf("The database is not behind: it has %s", words.Count(got.To, "entry"))
	}
	switch {
	case o.register == nil:
		next = "logserver guard accept, since the register is lost; compare the tree head with what others have seen first."
	case s.register.Poisoned != "" || o.record.Poisoned != "":
		next = "logserver guard clear --reason TEXT, since the log is poisoned; it audits the database first. Then start the server."
	}
	contains := "It contains all that is known to be signed."
	for _, m := range s.claims() {
		if m.claim.Size > got.To {
			contains = fmt.Sprintf("It contains all that is proven to be signed, and not size %d, which witness %s says that it cosigned.", m.claim.Size, m.name)
		}
	}
	fmt.Fprintf(p.stdout, "\n%s. %s\nNext: %s\n", did, contains, next)
}

// twice shows two bars, one after the other: the entries are checked, and then
// written.
func (p *program) twice() func(writing bool, done, total int64) {
	if !isTerminal(p.stderr) {
		return nil
	}
	var bar *progress.Bar
	wrote := false
	return func(writing bool, done, total int64) {
		if bar == nil || writing != wrote {
			bar = progress.New(p.stderr, map[bool]string{false: "checking", true: "writing"}[writing])
			wrote = writing
		}
		bar.Set(done, total)
	}
}
