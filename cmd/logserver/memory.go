package main

import (
	"bufio"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"indelible/internal/config"
)

// gcPercent lets the heap grow to five times what is live before it is
// collected: what is live is small (some 20 MiB without the caches), and at the
// usual 100 a tenth of the time went into collecting. Where the memory limit is, memory
// begins to count more.
const gcPercent = 400

const (
	// defaultLimit is the memory limit with the caches that are the default, in bytes, and
	// defaultCaches is what these may take.
	defaultLimit  = 192 << 20
	defaultCaches = (64 + 2*48) << 20
	// leastLimit is the smallest one.
	leastLimit = 64 << 20
)

// caches is how many bytes the caches may take that the settings name.
func caches(v config.Values) int64 {
	each := v.Size("response-cache")
	all := v.Size("tile-cache") + each
	if v.Bool("rekor-v1") {
		all += each
	}
	return all
}

// memoryLimit is the memory limit for caches of some size, in a container with some
// memory (0: as much as it likes). Beyond a limit that is too small the process does
// little but collect: larger caches come with a quarter of their size on top.
func memoryLimit(caches, container int64) int64 {
	limit := defaultLimit + caches - defaultCaches
	if caches > defaultCaches {
		limit += (caches - defaultCaches) / 4
	}
	if container > 0 {
		limit = min(limit, container/5*4)
	}
	return max(limit, leastLimit)
}

// limitMemory sets the collector for the settings, unless the environment does.
func (p *program) limitMemory(v config.Values, logger *slog.Logger) {
	if !p.tunes {
		return
	}
	size, container := caches(v), containerMemory("/")
	debug.SetMemoryLimit(memoryLimit(size, container))
	if container > 0 && size+leastLimit > container/5*4 {
		logger.Warn("the caches may take more memory than this container has: the process would be killed, or collect garbage most of the time",
			"caches", size, "container", container, "do", "lower --tile-cache and --response-cache, or give the container more memory")
	}
}

// containerMemory is how much memory the kernel lets this process's control group have,
// in bytes; 0 if it says nothing. root is "/".
func containerMemory(root string) int64 {
	groups, err := os.Open(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return 0
	}
	defer groups.Close()
	least := int64(math.MaxInt64)
	for lines := bufio.NewScanner(groups); lines.Scan(); {
		parts := strings.SplitN(lines.Text(), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch controllers := "," + parts[1] + ","; {
		case parts[1] == "":
			least = min(least, groupMemory(filepath.Join(root, "sys/fs/cgroup"), parts[2], "memory.max"))
		case strings.Contains(controllers, ",memory,"):
			least = min(least, groupMemory(filepath.Join(root, "sys/fs/cgroup/memory"), parts[2], "memory.limit_in_bytes"))
		}
	}
	if least > math.MaxInt64/2 { // the first version's value for no limit
		return 0
	}
	return least
}

// groupMemory is the smallest limit of a group and of those above it. In a container
// the group's own folder is the root, whatever its name says.
func groupMemory(root, group, file string) int64 {
	least := int64(math.MaxInt64)
	for at := filepath.Join("/", group); ; at = filepath.Dir(at) {
		text, err := os.ReadFile(filepath.Join(root, at, file))
		n, bad := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && bad == nil && n > 0 {
			least = min(least, n)
		}
		if at == "/" {
			return least
		}
	}
}
