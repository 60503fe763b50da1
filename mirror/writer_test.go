package mirror

import "testing"

// TestLargeFiles: a file that has to wait for room does not wait for a whole group.
func TestLargeFiles(t *testing.T) {
	w := newWriter(newCrashDisk(), ".")
	defer w.close()
	for _, f := range []struct {
		name string
		size int
	}{{"a", maxWaiting/writers - 1}, {"b", maxWaiting/writers + 2}, {"c", maxWaiting + 1}} {
		if err := w.put(f.name, make([]byte, f.size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.sync(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		if _, err := w.disk.read(name, maxFile); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
