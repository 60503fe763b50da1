package registers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"indelible/guard"
	"indelible/guard/guardtest"
	"indelible/guard/registers"
	"indelible/internal/dbtest"
)

// A process of the race finds the register's place in the environment.
const placeVariable = "INDELIBLE_TEST_REGISTER"

const (
	processes = 3
	target    = 60 // the size they race to
)

func TestMain(m *testing.M) {
	if where := os.Getenv(placeVariable); where != "" {
		if err := advance(where); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// advance advances the register by one, again and again, and prints what it won.
func advance(where string) error {
	ctx := context.Background()
	r, err := registers.Open(ctx, where, guardtest.Origin)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		state, err := r.Read(ctx)
		if err != nil || state.Newest.Size >= target {
			return err
		}
		next := guardtest.Head(state.Newest.Size + 1)
		err = r.Advance(ctx, state.Newest, next)
		switch {
		case err == nil:
			fmt.Println(next.Size)
		case !errors.Is(err, guard.ErrMoved):
			return err
		}
	}
}

// race has processes race on one register: every size is won once.
func race(t *testing.T, where string) {
	t.Helper()
	r, err := registers.Create(t.Context(), where, guardtest.Origin, guard.NewID())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var running []*exec.Cmd
	out := make([]strings.Builder, processes)
	for i := range processes {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), placeVariable+"="+where)
		cmd.Stdout, cmd.Stderr = &out[i], os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running = append(running, cmd)
	}
	for _, cmd := range running {
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	won := map[string]int{}
	for i := range out {
		for _, size := range strings.Fields(out[i].String()) {
			won[size]++
		}
	}
	for size := 1; size <= target; size++ {
		if n := won[fmt.Sprint(size)]; n != 1 {
			t.Errorf("size %d was won %d times", size, n)
		}
	}
	if state, err := r.Read(t.Context()); err != nil || state.Newest != guardtest.Head(target) || len(won) != target {
		t.Fatalf("it knows %v, %v; %d sizes were won", state, err, len(won))
	}
}

func TestProcessesRaceOnAFile(t *testing.T) { race(t, filepath.Join(t.TempDir(), "register")) }

func TestProcessesRaceOnAnObject(t *testing.T) { race(t, newStore(t).where()) }

func TestProcessesRaceOnARow(t *testing.T) {
	server, err := dbtest.Start(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Remove() })
	if err := server.Exec(t.Context(), "CREATE DATABASE registers"); err != nil {
		t.Fatal(err)
	}
	dsn := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(dsn, []byte(server.DSN("registers")), 0o600); err != nil {
		t.Fatal(err)
	}
	race(t, "mysql:"+dsn)
}
