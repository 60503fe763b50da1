// Package folder keeps files of evidence in a folder: whole and durable, one for
// each contradiction, and a bounded number for each log.
package folder

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"indelible/checkpoint"
	"indelible/evidence"
	"indelible/internal/durable"
)

// MaxFiles is how many files are kept of one log: one proves it, and a log that
// contradicts itself without end must not fill the disk.
const MaxFiles = 16

// Keep writes the evidence that a log contradicted a checkpoint, unless that was
// done before: then made is false. The folder must be there.
func Keep(dir string, kind evidence.Kind, contradicted checkpoint.Checkpoint, prove func() ([]byte, error)) (path string, made bool, err error) {
	log := fmt.Sprintf("%x", sha256.Sum256([]byte(contradicted.Origin)))[:16]
	path = filepath.Join(dir, fmt.Sprintf("%s-%s-%d-%x.evidence", kind, log, contradicted.Size, contradicted.Root[:8]))
	if _, err := os.Stat(path); err == nil {
		return path, false, nil
	}
	if n, err := files(dir, "-"+log+"-"); err != nil || n >= MaxFiles {
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
	return durable.SyncDir(dir)
}
