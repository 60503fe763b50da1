package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"indelible/internal/durable"
	"indelible/merkle"
	"indelible/mirror/source"
)

// stateVersion changes with the form of the file.
const stateVersion = 1

// maxState bounds the file, in bytes; a note has up to a mebibyte.
const maxState = 4 << 20

// State is what a monitor knows of a log. Its file is the monitor's alone.
type State struct {
	Version int           `json:"version"`
	Origin  string        `json:"origin"`
	Format  source.Format `json:"format"`
	// Since is from which entry on everything was compared with these Patterns, and
	// when that began.
	Since    Since  `json:"since"`
	Patterns string `json:"patterns"` // a digest
	// Next is the first entry that was not read yet.
	Next int64 `json:"next"`
	// Head is the newest one that is known; nil before the first.
	Head    *Head     `json:"head,omitempty"`
	Changed time.Time `json:"changed,omitzero"` // when the log was first seen with this head
	Looked  time.Time `json:"looked,omitzero"`  // when the log last answered
	Found   int64     `json:"found"`
	// Opaque counts the entries that say nothing that could be compared.
	Opaque int64 `json:"opaque"`
	// Unreadable counts those that should say something and could not be read.
	Unreadable      int64 `json:"unreadable"`
	FirstUnreadable int64 `json:"firstUnreadable"` // -1: none
	// Contradiction is the fork that was seen, once there was one.
	Contradiction *Contradiction `json:"contradiction,omitempty"`
}

// Since is where and when a monitor began.
type Since struct {
	Index int64     `json:"index"`
	Time  time.Time `json:"time"`
}

// Head is a head in the file.
type Head struct {
	Size int64     `json:"size"`
	Root []byte    `json:"root"`
	Note []byte    `json:"note"`
	Time time.Time `json:"time,omitzero"`
}

// Contradiction is what a log did that no log may.
type Contradiction struct {
	Time     time.Time `json:"time"`
	Message  string    `json:"message"`
	Evidence string    `json:"evidence,omitempty"`
}

func (h *Head) source() source.Head {
	return source.Head{Size: h.Size, Root: merkle.Hash(h.Root), Note: h.Note, Time: h.Time}
}

// stateFile keeps a State in a file.
type stateFile struct {
	path string
	last []byte // what the file holds, as far as this process wrote or read it
}

// load returns nil if there is no file.
func (f *stateFile) load() (*State, error) {
	data, err := readFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := parseState(data)
	if err != nil {
		return nil, fmt.Errorf("the state %s: %w; nothing is begun again while it is there", f.path, err)
	}
	f.last = data
	return s, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err == nil && len(data) > maxState {
		err = fmt.Errorf("%s has over %d bytes", path, maxState)
	}
	return data, err
}

func parseState(data []byte) (*State, error) {
	var s State
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return nil, fmt.Errorf("it is not the state of a monitor: %w", err)
	}
	switch {
	case s.Version != stateVersion:
		return nil, fmt.Errorf("its version is %d; this program knows version %d", s.Version, stateVersion)
	case s.Origin == "" || s.Since.Index < 0 || s.Next < s.Since.Index:
		return nil, fmt.Errorf("it is damaged: log %q, since entry %d, next entry %d", s.Origin, s.Since.Index, s.Next)
	case s.Head != nil && (len(s.Head.Root) != merkle.HashSize || s.Head.Size < 0):
		return nil, errors.New("it is damaged: its head has no root")
	}
	return &s, nil
}

// save replaces the file, durably. It refuses to if somebody else did meanwhile.
func (f *stateFile) save(s *State) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	data = append(data, '\n')
	there, err := readFile(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !bytes.Equal(there, f.last) {
		return fmt.Errorf("the state %s was changed meanwhile: another monitor uses it; give each its own", f.path)
	}
	if err := replace(f.path, data); err != nil {
		return fmt.Errorf("write the state %s: %w", f.path, err)
	}
	f.last = data
	return nil
}

// replace writes a file that only this user reads, whole or not at all.
func replace(path string, data []byte) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".monitor-*") // with the mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return durable.SyncDir(dir)
}
