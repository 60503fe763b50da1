package mirror

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/mirror/source"
	"indelible/mirror/sourcetest"
)

// A process of this test binary with INDELIBLE_MIRROR_CHILD=URL,VKEY,DIR mirrors a log.
func TestMain(m *testing.M) {
	if task, ok := os.LookupEnv("INDELIBLE_MIRROR_CHILD"); ok {
		if err := child(task); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(task string) error {
	parts := strings.SplitN(task, ",", 3)
	key, err := checkpoint.ParseVerifier(parts[1])
	if err != nil {
		return err
	}
	keys := []checkpoint.Verifier{key}
	log, err := source.NewTiles(source.Config{URLs: []string{parts[0]}, Client: client.Config{Keys: keys}})
	if err != nil {
		return err
	}
	c, err := Open(Config{Dir: parts[2], Origin: log.Origin(), Keys: keys})
	if err != nil {
		return err
	}
	defer c.Close()
	progress := func(Progress) {
		if rand.IntN(5) == 0 {
			c.Sync() // so that there are many frontiers
		}
	}
	_, err = Run(context.Background(), c, log, Options{Keys: keys, Progress: progress})
	return err
}

// A mirror that is killed at a random moment goes on at its frontier, and what it has
// is always what the log signed.
func TestKill(t *testing.T) {
	kills := 5
	if n, err := strconv.Atoi(os.Getenv("INDELIBLE_MIRROR_KILLS")); err == nil {
		kills = n
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const size = 66000
	l := sourcetest.New(t, "log.example", size)
	dir, frontier, done := t.TempDir(), int64(0), 0
	for n := range kills {
		cmd := exec.Command(program)
		cmd.Env = append(os.Environ(), fmt.Sprintf("INDELIBLE_MIRROR_CHILD=%s,%s,%s", l.URL, l.Key, dir))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(time.Duration(20+rand.IntN(400))*time.Millisecond, func() { cmd.Process.Kill() })
		err := cmd.Wait()
		kill.Stop()
		if err != nil && cmd.ProcessState.ExitCode() >= 0 {
			t.Fatalf("run %d: %v", n, err)
		}
		info, infoErr := Find(dir, "log.example")
		if infoErr != nil {
			continue // it was killed before it had a state
		}
		if info.Next < frontier {
			t.Fatalf("run %d: the frontier went back from %d to %d", n, frontier, info.Next)
		}
		frontier = info.Next
		if found := check(t, dir, l, nil); len(found.Findings) > 0 {
			t.Fatalf("run %d: %+v", n, found.Findings)
		}
		if err == nil { // it was faster: another copy
			done++
			dir, frontier = t.TempDir(), 0
		}
	}
	c := openCopy(t, dir)
	mustRun(t, c, l)
	holds(t, filepath.Join(dir, Folder("log.example")), l, size)
	t.Logf("%d runs, of which %d were faster than the kill", kills, done)
}
