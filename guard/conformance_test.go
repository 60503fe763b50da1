//go:build unix

package guard_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"indelible/guard"
	"indelible/guard/guardtest"
)

func TestFileConforms(t *testing.T) {
	guardtest.Run(t, func(t *testing.T) guardtest.Place {
		return &file{path: filepath.Join(t.TempDir(), "register")}
	})
}

// file is a register's file.
type file struct {
	path         string
	lose, refuse bool
}

func (f *file) Create(_ context.Context, origin, id string) (guardtest.Register, error) {
	r, err := guard.CreateFile(f.path, origin, id)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (f *file) Open(context.Context, string) (guardtest.Register, error) {
	r, err := guard.OpenFaulty(f.path, &f.lose, &f.refuse)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (f *file) Content() ([]byte, error) { return os.ReadFile(f.path) }

func (f *file) Put(content []byte) error {
	if err := os.WriteFile(f.path+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(f.path+".new", f.path)
}

func (f *file) Cut() error { return os.Rename(f.path, f.path+".away") }

func (f *file) Mend() error {
	f.lose, f.refuse = false, false
	err := os.Rename(f.path+".away", f.path)
	if os.IsNotExist(err) {
		return nil // it was not cut
	}
	return err
}

func (f *file) Lose()   { f.lose = true }
func (f *file) Refuse() { f.refuse = true }
