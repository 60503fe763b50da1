package publication

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/fsck"
	"indelible/internal/tiledir"
	"indelible/internal/wait"
	translog "indelible/log"
	"indelible/merkle"
)

// A process of this test binary with INDELIBLE_PUBLICATION_CHILD=URL,VKEY,PLACE publishes
// the log at a URL.
func TestMain(m *testing.M) {
	if task, ok := os.LookupEnv("INDELIBLE_PUBLICATION_CHILD"); ok {
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
	p, err := New(Config{
		Log: remote{parts[0], keys}, Keys: keys, Open: in(parts[2]), Interval: time.Millisecond,
		Failing: func(err error) {
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		},
	})
	if err != nil {
		return err
	}
	p.batch = 64 << 10 // so that there are many frontiers
	return p.Run(context.Background())
}

// remote is a log that a test serves.
type remote struct {
	url  string
	keys []checkpoint.Verifier
}

func (r remote) get(path string) ([]byte, error) {
	res, err := http.Get(r.url + "/" + path)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, res.Status)
	}
	return io.ReadAll(res.Body)
}

// Published implements Log.
func (r remote) Published() (translog.Published, error) {
	note, err := r.get("checkpoint")
	if err != nil {
		return translog.Published{}, err
	}
	o, err := checkpoint.Open(note, r.keys)
	return translog.Published{Size: o.Size, Root: o.Root, Note: note}, err
}

// AwaitNewer implements Log.
func (r remote) AwaitNewer(ctx context.Context, than int64) (translog.Published, error) {
	for {
		p, err := r.Published()
		if err != nil || p.Size > than {
			return p, err
		}
		if err := wait.For(ctx, time.Millisecond); err != nil {
			return p, err
		}
	}
}

// Tile implements Log.
func (r remote) Tile(_ context.Context, t merkle.Tile) ([]byte, error) { return r.get(t.Path()) }

// Bundle implements Log.
func (r remote) Bundle(_ context.Context, b merkle.Bundle) ([]byte, error) { return r.get(b.Path()) }

// A publisher that is killed at a random moment leaves a checkpoint with all that it
// needs, and the next one goes on.
func TestKill(t *testing.T) {
	kills := 5
	if n, err := strconv.Atoi(os.Getenv("INDELIBLE_PUBLICATION_KILLS")); err == nil {
		kills = n
	}
	g, dir, size := newGrowing(t, "log.example", 1000), t.TempDir(), int64(1000)
	newest, moved, ahead := int64(-1), 0, 0
	for n := range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fmt.Sprintf("INDELIBLE_PUBLICATION_CHILD=%s,%s,%s", g.URL, g.Key, dir))
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for range 2 + rand.IntN(20) {
			size += rand.Int64N([]int64{2000, 50}[n%2]) // many tiles, and many checkpoints
			g.grow(size)
			time.Sleep(time.Duration(rand.IntN(15)) * time.Millisecond)
		}
		cmd.Process.Kill()
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code >= 0 {
			t.Fatalf("run %d ended by itself, with code %d", n, code)
		}
		got, err := g.holds(reader(dir))
		if err != nil || got < newest {
			t.Fatalf("kill %d: size %d after %d, %v", n, got, newest, err)
		}
		if got > newest {
			moved++
		}
		if s, err := parseState(reader(dir)(stateName)); err == nil && s.Size > got {
			ahead++
		}
		newest = got
	}
	run(t, Config{Log: g, Keys: g.keys(), Open: in(dir)}, reaches(size))
	if _, err := fsck.Check(t.Context(), tiledir.Directory(dir), size, g.Root(size), nil); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d publishers were killed; the checkpoint moved on in %d of these runs; %d ended while tiles of the next one were written; the log has %d entries", kills, moved, ahead, size)
}
