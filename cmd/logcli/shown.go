package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/evidence"
	"indelible/evidence/folder"
	"indelible/mirror/source"
)

// remembering is a client's configuration that demands of each checkpoint which
// the log answers with that it extends the newest one that this user was shown.
func (p *program) remembering(cfg client.Config) client.Config {
	cfg.Shown = func(ctx context.Context, o checkpoint.Opened) error { return p.shown(ctx, cfg, o) }
	return cfg
}

// shown demands that a checkpoint extends the newest one of that log that this user
// was shown, and remembers it.
func (p *program) shown(ctx context.Context, cfg client.Config, o checkpoint.Opened) error {
	home, err := p.home()
	if err != nil {
		p.say("Note: %v: %v", errUnremembered, err)
		return nil
	}
	cfg.Shown = nil
	from := p.sourceConfig(ctx, cfg)
	from.Origin = o.Origin
	log, err := source.NewTiles(from)
	if err != nil {
		return err
	}
	return p.extends(ctx, home, log, keysOf(cfg), headOf(o))
}

// sourceConfig is what the log of the flags is read with.
func (p *program) sourceConfig(ctx context.Context, cfg client.Config) source.Config {
	return source.Config{URLs: p.urls, Client: p.patient(ctx, cfg)}
}

func headOf(o checkpoint.Opened) source.Head {
	return source.Head{Size: o.Size, Root: o.Root, Note: o.Note}
}

// keysOf are the keys that a log's checkpoints are opened with.
func keysOf(cfg client.Config) []checkpoint.Verifier {
	if cfg.Policy == nil {
		return cfg.Keys
	}
	var list []checkpoint.Verifier
	for _, l := range cfg.Policy.Logs {
		list = append(list, l.Key)
	}
	return append(list, cfg.Policy.Cosigners()...)
}

// extends remembers a head of a log if it extends what is remembered of it. What
// contradicts that becomes a file of evidence.
func (p *program) extends(ctx context.Context, home string, log source.Log, keys []checkpoint.Verifier, head source.Head) error {
	dir := headsDir(home, log.Origin())
	err := dir.extend(head, keys, func(older, newer source.Head) error {
		_, err := log.Consistent(ctx, older, newer)
		if err != nil && newer.Size > head.Size && !errors.Is(err, source.ErrFalse) {
			err = fmt.Errorf("the log showed its tree of size %d, and it showed a larger one, of size %d, before. Whether that one extends it, the log does not prove: %w", older.Size, newer.Size, err)
		}
		return err
	})
	var fork *source.ForkError
	var behind *behindError
	switch {
	case errors.Is(err, errUnremembered):
		p.say("Note: %v", err)
		return nil
	case errors.As(err, &fork):
		return fmt.Errorf("%w\nWhat it showed before is remembered in %s", p.forked(fork, log.Origin(), keys), dir)
	case errors.As(err, &behind):
		prove := func() ([]byte, error) { return evidence.OfShrunk(keys, behind.remembered.Note, behind.shown.Note) }
		if _, none := prove(); none != nil {
			return err
		}
		file := p.keepEvidence(home, log.Origin(), evidence.Shrunk, behind.remembered, prove)
		return unverified(fmt.Errorf("the log shrank: it signed that its tree has the size %d, and later that it has the size %d\n%s", behind.remembered.Size, behind.shown.Size, file))
	case errors.Is(err, source.ErrFalse):
		return unverified(fmt.Errorf("the log does not prove that it extends what it showed before, which is remembered in %s: %w", dir, err))
	}
	return err
}

// forked writes the evidence of a fork.
func (p *program) forked(fork *source.ForkError, origin string, keys []checkpoint.Verifier) error {
	home, err := p.home()
	if err != nil {
		return unverified(fmt.Errorf("%w\nNo evidence could be written: %w", fork, err))
	}
	kind := evidence.Fork
	if fork.Older.Size == fork.Newer.Size {
		kind = evidence.TwoHeads
	}
	file := p.keepEvidence(home, origin, kind, fork.Older, func() ([]byte, error) { return fork.Evidence(keys) })
	return unverified(fmt.Errorf("%w\n%s", fork, file))
}

// keepEvidence writes a file of evidence, and says in a sentence where it is.
func (p *program) keepEvidence(home, origin string, kind evidence.Kind, h source.Head, prove func() ([]byte, error)) string {
	dir := filepath.Join(home, "evidence")
	err := os.MkdirAll(dir, 0o700)
	path := ""
	if err == nil {
		path, _, err = folder.Keep(dir, kind, checkpoint.Checkpoint{Origin: origin, Size: h.Size, Root: h.Root}, prove)
	}
	if err != nil {
		return fmt.Sprintf("The log contradicts itself, %v", err)
	}
	return fmt.Sprintf("The evidence is %s. Check it with: logcli evidence verify FILE", path)
}
