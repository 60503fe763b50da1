package folder

import (
	"os"
	"path/filepath"
	"testing"
)

func TestNeverOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.evidence")
	for range 2 {
		if err := create(path, []byte("first")); err != nil {
			t.Fatal(err)
		}
		if err := create(path, []byte("second")); err != nil {
			t.Fatal(err)
		}
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "first" {
		t.Errorf("%q, %v", data, err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
	if err := create(filepath.Join(filepath.Dir(path), "not there", "x"), nil); err == nil {
		t.Error("a folder that is not there")
	}
}
