//go:build unix

package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
)

// made is what a command made that was not there before. A command that fails
// takes it back, so that the next try finds what this one found.
type made struct{ undo []func() error }

// add has undo called if the command fails, before what was added earlier.
func (m *made) add(undo func() error) { m.undo = append(m.undo, undo) }

// keep says that what was made stays.
func (m *made) keep() { m.undo = nil }

func (m *made) takeBack() error {
	var errs []error
	for _, undo := range slices.Backward(m.undo) {
		errs = append(errs, undo())
	}
	m.undo = nil
	return errors.Join(errs...)
}

// dir makes a directory and those above it that are not there.
func (m *made) dir(dir string, mode os.FileMode) error {
	var missing []string
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		if _, err := os.Stat(at); !errors.Is(err, os.ErrNotExist) {
			break
		}
		missing = append(missing, at)
	}
	for _, at := range slices.Backward(missing) {
		m.add(func() error {
			os.Remove(at) // unless another process put something into it
			return nil
		})
	}
	return os.MkdirAll(dir, mode)
}
