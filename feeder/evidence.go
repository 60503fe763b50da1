package feeder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"indelible/evidence"
	"indelible/witness"
)

// maxFiles is how many files of evidence are kept of one log: one proves it, and
// a log that contradicts itself without end must not fill the disk.
const maxFiles = 16

// contradiction writes the evidence that the log contradicts what the witness
// cosigned, unless that was done before.
func (l *feed) contradiction(kind evidence.Kind, head witness.Head, prove func() ([]byte, error)) error {
	said := fmt.Errorf("%w (%s)", ErrContradiction, kind)
	path, made, err := keep(l.cfg.Evidence, l.Origin, kind, head, prove)
	if err != nil {
		return fmt.Errorf("%w, %w", said, err)
	}
	if made && l.cfg.Events.Contradicted != nil {
		l.cfg.Events.Contradicted(l.Origin, kind, path)
	}
	return fmt.Errorf("%w: the evidence is %s", said, path)
}

// KeepTwoHeads writes the evidence that a log signed a checkpoint beside the one
// of that size which the witness cosigned, into a folder that is made if it is
// not there. Made is false if that was done before.
func KeepTwoHeads(dir string, l witness.Log, cosigned witness.Head, note []byte) (path string, made bool, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", false, err
	}
	return keep(dir, l.Origin, evidence.TwoHeads, cosigned, func() ([]byte, error) {
		return evidence.OfTwoHeads(l.Keys, cosigned.Note, note)
	})
}

// keep writes evidence, of each head that was contradicted once.
func keep(dir, origin string, kind evidence.Kind, head witness.Head, prove func() ([]byte, error)) (path string, made bool, err error) {
	log := witness.OriginHash(origin)[:16]
	path = filepath.Join(dir, fmt.Sprintf("%s-%s-%d-%x.evidence", kind, log, head.Size, head.Root[:8]))
	if _, err := os.Stat(path); err == nil {
		return path, false, nil
	}
	if n, err := files(dir, "-"+log+"-"); err != nil || n >= maxFiles {
		return "", false, errors.Join(fmt.Errorf("there are %d files of evidence against it already, and no more are written", n), err)
	}
	file, err := prove()
	if err != nil {
		return "", false, fmt.Errorf("but no evidence could be made: %w", err)
	}
	if err := create(path, file); err != nil {
		return "", false, fmt.Errorf("but the evidence could not be written: %w", err)
	}
	return path, true, nil
}

// files counts the evidence against one log.
func files(dir, log string) (n int, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if strings.Contains(e.Name(), log) && strings.HasSuffix(e.Name(), ".evidence") {
			n++
		}
	}
	return n, err
}

// create makes a file whole or not at all, durably, and leaves one that is there
// as it is.
func create(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
