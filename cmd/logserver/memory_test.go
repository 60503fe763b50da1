package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMemoryLimit(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct{ caches, container, want int64 }{
		{160, 0, 192},
		{160, 256, 192},
		{160, 200, 160},
		{608, 0, 752}, // --tile-cache 512MiB
		{608, 600, 480},
		{104, 0, 136}, // --tile-cache 8MiB
		{0, 0, 64},
		{160, 32, 64},
	} {
		if got := memoryLimit(c.caches*mib, c.container*mib); got != c.want*mib {
			t.Errorf("caches of %d MiB in a container of %d MiB: %d MiB, not %d", c.caches, c.container, got/mib, c.want)
		}
	}
}

func TestContainerMemory(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"no control groups": {nil, 0},
		"in a container":    {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "268435456\n"}, 268435456},
		"another name":      {map[string]string{"proc/self/cgroup": "0::/kubepods/pod1/abc\n", "sys/fs/cgroup/memory.max": "268435456\n"}, 268435456},
		"no limit":          {map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, 0},
		"of those above": {map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "500\n", "sys/fs/cgroup/a/memory.max": "400\n", "sys/fs/cgroup/memory.max": "max\n",
		}, 400},
		"first version":         {map[string]string{"proc/self/cgroup": "5:cpu,memory:/a\n1:name=systemd:/\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1000\n"}, 1000},
		"first version without": {map[string]string{"proc/self/cgroup": "5:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		"nonsense":              {map[string]string{"proc/self/cgroup": "0\n:\n0::/\n", "sys/fs/cgroup/memory.max": "-1\n"}, 0},
	} {
		root := t.TempDir()
		for path, text := range c.files {
			path = filepath.Join(root, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := containerMemory(root); got != c.want {
			t.Errorf("%s: %d, not %d", name, got, c.want)
		}
	}
}
