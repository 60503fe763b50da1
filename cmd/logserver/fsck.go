package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"indelible/checkpoint"
	"indelible/fsck"
	"indelible/internal/config"
	"indelible/internal/progress"
	"indelible/internal/words"
	"indelible/merkle"
	"indelible/storage"
)

func (p *program) fsckCommand() *cobra.Command {
	output, without := "", absences{}
	cmd := &cobra.Command{
		Use:   "fsck",
		Short: "Audit the database: entries, hashes, tiles, tree head, checkpoint, register",
		Long: "Audit the database: entries, hashes, tiles, tree head, checkpoint. It is compared with what the register, and\n" +
			"the witnesses of --witness-policy know was signed. A warning at the end names each witness that could not be\n" +
			"asked. It only reads, and runs beside a server; what is appended meanwhile is not looked at.",
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	without.flag(cmd)
	cmd.RunE = p.with(func(ctx context.Context, v config.Values) error {
		if output != "text" && output != "json" {
			return fmt.Errorf("--output %q: it is text or json", output)
		}
		o, err := openAnyway(ctx, v, reading)
		if err != nil {
			return err
		}
		defer o.close()
		if o.lost != nil {
			return o.lost
		}
		s, err := stand(ctx, v, o, without)
		if err != nil {
			return err
		}
		size, err := p.audit(ctx, o, s)
		return p.verdict(output, o.record.Origin, size, errors.Join(err, s.named()), s.unasked())
	})
	return cmd
}

func (p *program) verdict(output, origin string, size int64, err error, warnings []error) error {
	if output == "text" {
		if err == nil {
			fmt.Fprintf(p.stdout, "%s: %s; every leaf hash, tile and root follows from them, and the checkpoint and the register agree.\n", origin, words.Count(size, "entry"))
		}
		for _, w := range warnings {
			fmt.Fprintf(p.stderr, "warning: %v\n", w)
		}
		return err
	}
	verdict := struct {
		Origin string `json:"origin"`
		Size   int64  `json:"size"`
		OK     bool   `json:"ok"`
		Error  string `json:"error,omitempty"`
		// Warnings are of witnesses that could not be asked.
		Warnings []string `json:"warnings,omitempty"`
	}{Origin: origin, Size: size, OK: err == nil}
	for _, w := range warnings {
		verdict.Warnings = append(verdict.Warnings, w.Error())
	}
	if err != nil {
		verdict.Error = err.Error()
	}
	return errors.Join(err, json.NewEncoder(p.stdout).Encode(verdict))
}

// audit checks everything that the database holds of a log, and compares it
// with what others know was signed.
func (p *program) audit(ctx context.Context, o *opened, s standing) (int64, error) {
	src := &source{store: o.store, logID: o.record.ID, size: s.head.Size}
	if _, err := fsck.Check(ctx, src, s.head.Size, s.head.Root, p.progress(s.head.Size)); err != nil {
		return s.head.Size, err
	}
	errs := []error{s.agree(), checkHead(ctx, o, s.head), checkPublished(ctx, o, s.published)}
	if errs[0] == nil {
		errs = append(errs, extendsSigned(ctx, o, s))
	}
	if o.register != nil {
		errs = append(errs, s.registerBehind())
	}
	return s.head.Size, errors.Join(errs...)
}

func (p *program) progress(size int64) fsck.Progress {
	if !isTerminal(p.stderr) || size == 0 {
		return nil
	}
	return progress.New(p.stderr, "entries").Set
}

// checkHead compares the head's compact range with what its size asks for.
func checkHead(ctx context.Context, o *opened, head storage.Head) error {
	root, err := merkle.RangeRoot(head.Size, head.Range)
	if err != nil {
		return fmt.Errorf("tree head: %w", err)
	}
	if root != head.Root {
		return fmt.Errorf("tree head: its compact range leads to root %x, and it says %x", root, head.Root)
	}
	return nil
}

// checkPublished checks the published checkpoint and all that were kept: the
// log's signature, and that the tree contains them.
func checkPublished(ctx context.Context, o *opened, published storage.Published) error {
	if published.Version == 0 { // nothing was
		return nil
	}
	const page = 100
	var edge merkle.Edge
	for from := int64(0); ; {
		history, err := o.store.PublishedHistory(ctx, o.record.ID, from, page)
		if err != nil {
			return err
		}
		more := len(history) == page
		if !more { // only now, since a server may be publishing
			newest, err := o.store.Published(ctx, o.record.ID)
			if err != nil {
				return err
			}
			history = append(history, newest)
		}
		for _, h := range history {
			if edge, err = checkOne(ctx, o, edge, h); err != nil {
				return fmt.Errorf("checkpoint of size %d: %w", h.Size, err)
			}
			from = h.Size + 1
		}
		if !more {
			return nil
		}
	}
}

func checkOne(ctx context.Context, o *opened, edge merkle.Edge, h storage.Published) (merkle.Edge, error) {
	opened, err := checkpoint.Open(h.Note, []checkpoint.Verifier{o.signer.Verifier()})
	if err != nil {
		return edge, err
	}
	if opened.Size != h.Size || opened.Root != h.Root {
		return edge, fmt.Errorf("its row says another size or root than its note")
	}
	for edge.Size() < h.Size {
		leaves, err := o.store.LeafHashes(ctx, o.record.ID, edge.Size(), min(edge.Size()+4096, h.Size))
		if err != nil {
			return edge, err
		}
		edge, _ = edge.Append(leaves)
	}
	if edge.Root() != h.Root {
		return edge, fmt.Errorf("the entries give root %x, and it says %x", edge.Root(), h.Root)
	}
	return edge, nil
}

// source lets the auditor read the database. It checks each row's own leaf
// hash, its time, and that a look-up by leaf hash finds it.
type source struct {
	store storage.Store
	logID int64
	size  int64 // of the tree that is audited; a server may let it grow meanwhile
}

func (s *source) Entries(ctx context.Context, start, end int64) ([][]byte, error) {
	rows, err := s.store.Entries(ctx, s.logID, start, end)
	if err != nil {
		return nil, err
	}
	bodies, hashes := make([][]byte, len(rows)), make([]storage.Hash, len(rows))
	for i, r := range rows {
		if r.LeafHash != merkle.LeafHash(r.Body) {
			return nil, fmt.Errorf("entry %d: its row's leaf hash is not that of its bytes", r.Index)
		}
		if i > 0 && r.IntegratedAt < rows[i-1].IntegratedAt {
			return nil, fmt.Errorf("entry %d: its time is before that of the entry before", r.Index)
		}
		bodies[i], hashes[i] = r.Body, r.LeafHash
	}
	found, err := s.store.FindLeaves(ctx, s.logID, hashes)
	if err != nil {
		return nil, err
	}
	at := make(map[storage.Hash]int64, len(found))
	for _, f := range found {
		at[f.Hash] = f.Index
	}
	for _, r := range rows {
		if i, ok := at[r.LeafHash]; !ok || i > r.Index {
			return nil, fmt.Errorf("entry %d: a look-up by its leaf hash does not find it", r.Index)
		} else if i < r.Index {
			return nil, fmt.Errorf("entry %d stands at %d already", r.Index, i)
		}
	}
	return bodies, nil
}

// Tile reads a tile as the server would.
func (s *source) Tile(ctx context.Context, t merkle.Tile) ([]byte, error) {
	if t.Level == 0 && t.Width < merkle.TileWidth {
		start := t.Index * merkle.TileWidth
		hashes, err := s.store.LeafHashes(ctx, s.logID, start, start+int64(t.Width))
		return merkle.EncodeTile(hashes), err
	}
	if t.Width == merkle.TileWidth {
		return s.store.Tile(ctx, s.logID, t.Level, t.Index)
	}
	e, err := s.store.Edge(ctx, s.logID, t.Level)
	if err == nil && e.Index == t.Index && len(e.Hashes) == t.Width*merkle.HashSize {
		return e.Hashes, nil
	}
	head, unread := s.store.Head(ctx, s.logID)
	switch {
	case unread != nil:
		return nil, unread
	case head.Size > s.size:
		return s.grown(ctx, t)
	case err == nil && e.Index != t.Index:
		err = fmt.Errorf("the edge of level %d is of tile %d, not %d: %w", t.Level, e.Index, t.Index, storage.ErrCorrupt)
	}
	return e.Hashes, err
}

// grown reads the beginning of a tile that was the edge of its level when the
// audit began. A server is at work: the tile has more hashes, or is full.
func (s *source) grown(ctx context.Context, t merkle.Tile) ([]byte, error) {
	width := t.Width * merkle.HashSize
	for range 2 { // it may be filled between the two looks
		full, err := s.store.Tile(ctx, s.logID, t.Level, t.Index)
		if err == nil {
			return full[:min(width, len(full))], nil
		}
		if !errors.Is(err, storage.ErrNotFound) {
			return nil, err
		}
		e, err := s.store.Edge(ctx, s.logID, t.Level)
		if err == nil && e.Index == t.Index {
			return e.Hashes[:min(width, len(e.Hashes))], nil
		}
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("tile %d of level %d is neither full nor its level's edge: %w", t.Index, t.Level, storage.ErrCorrupt)
}
