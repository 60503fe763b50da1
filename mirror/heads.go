package mirror

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"

	"indelible/mirror/source"
)

const (
	// maxHeads is from how many bytes on the file of heads is thinned.
	maxHeads = 8 << 20
	// oldHeads bounds a file that an earlier version let grow.
	oldHeads = 1 << 30
)

// remember adds a head to the file of heads, which is thinned now and then.
func (c *Copy) remember(h source.Head) error {
	path, line := filepath.Join(c.private, "heads"), headLine(h)
	f, err := c.disk.extend(path, 0o600)
	if err != nil {
		return err
	}
	// A line that a crash cut off ends here.
	_, err = f.Write(line)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close(), c.disk.syncDir(c.private)); err != nil {
		return err
	}
	if c.heads += int64(len(line)); c.heads <= c.maxHeads {
		return nil
	}
	return c.thinHeads(path)
}

// countHeads notes how large the file of heads is.
func (c *Copy) countHeads() error {
	data, err := c.disk.read(filepath.Join(c.private, "heads"), oldHeads)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	c.heads = int64(len(data))
	return err
}

// thinHeads takes every second line out of the older half of the file of heads,
// until half of its maximum is left. The first line stays, and so do the newest.
func (c *Copy) thinHeads(path string) error {
	data, err := c.disk.read(path, oldHeads)
	if err != nil {
		return err
	}
	var lines [][]byte
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			lines = append(lines, line)
		}
	}
	size := int64(len(data))
	for size > c.maxHeads/2 && len(lines) > 2 {
		size = 0
		kept := lines[:0]
		for i, line := range lines {
			if i%2 == 0 || i >= max(2, len(lines)/2) {
				kept, size = append(kept, line), size+int64(len(line))+2
			}
		}
		lines = kept
	}
	var thinned []byte
	for _, line := range lines {
		thinned = append(append(append(thinned, '\n'), line...), '\n')
	}
	c.heads = int64(len(thinned))
	return replace(c.disk, path, thinned, 0o600)
}
