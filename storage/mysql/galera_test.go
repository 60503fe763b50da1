package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"indelible/internal/dbtest"
	"indelible/storage"
	"indelible/storage/storagetest"
)

// TestGalera is on two nodes that refuse what does not replicate, tables without
// a primary key among it.
func TestGalera(t *testing.T) {
	cluster, err := dbtest.StartCluster(context.Background(), 2, "--wsrep-mode=STRICT_REPLICATION,REQUIRED_PRIMARY_KEY")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cluster.Remove() })
	n := 0
	t.Run("contract", func(t *testing.T) {
		storagetest.Run(t, func(t *testing.T) storage.Store {
			n++
			return open(t, database(t, cluster.Nodes[n%2], fmt.Sprint("test", n)))
		})
	})
	dsn := database(t, cluster.Nodes[0], "log")
	a := open(t, dsn)
	defer a.Close()
	b := open(t, strings.Replace(dsn, cluster.Nodes[0].Addr(), cluster.Nodes[1].Addr(), 1))
	defer b.Close()
	l, err := a.CreateLog(t.Context(), storage.Log{Origin: "a"}, storage.Head{})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("reads show what other nodes committed", func(t *testing.T) { readsAreFresh(t, l.ID, a, b) })
	t.Run("one of two appends", func(t *testing.T) { oneOfTwo(t, l.ID, a, b) })
	t.Run("warnings", func(t *testing.T) { warnsOfSplitBrain(t, cluster.Nodes[0], a) })
	t.Run("cut off", func(t *testing.T) { cutOff(t, l.ID, cluster, a) })
}

func readsAreFresh(t *testing.T, logID int64, a, b *Store) {
	for i := range int64(200) {
		settled(t, func() error { return appendOne(t.Context(), a, logID) })
		read := b.Head
		if i%10 == 0 {
			read = b.LockedHead
		}
		var own, other storage.Head
		settled(t, func() (err error) { own, err = a.Head(t.Context(), logID); return err })
		settled(t, func() (err error) { other, err = read(t.Context(), logID); return err })
		if own.Size <= i || other.Size != own.Size {
			t.Fatalf("after %d appends there are %d entries, and the other node says %d", i+1, own.Size, other.Size)
		}
	}
}

// settled tries again what a cluster refuses for a moment: a machine that stands
// still for a second makes its nodes look for each other.
func settled(t *testing.T, do func() error) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; {
		err := do()
		if err == nil {
			return
		}
		if time.Now().After(end) || !errors.Is(err, ErrNoMajority) && !errors.Is(err, storage.ErrConflict) && !hasNumber(err, 1205) {
			t.Fatal(err)
		}
	}
}

// oneOfTwo has two transactions lock the same head, each on its node.
func oneOfTwo(t *testing.T, logID int64, a, b *Store) {
	first, err := a.BeginAppend(t.Context(), logID)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Rollback()
	second, err := b.BeginAppend(t.Context(), logID)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Rollback()
	size := first.Head().Size
	write := func(tx storage.Appender, body string) error {
		err := tx.Write(t.Context(), storage.Append{Entries: []storage.Entry{{Index: size, Body: []byte(body)}}, Head: storage.Head{Size: size + 1}})
		if err != nil {
			return err
		}
		return tx.Commit(t.Context())
	}
	if err := write(first, "first"); err != nil {
		t.Fatal(err)
	}
	if err := write(second, "second"); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("the second of two appends: %v", err)
	}
	got, err := b.Entries(t.Context(), logID, size, size+1)
	if err != nil || string(got[0].Body) != "first" {
		t.Errorf("%v, %v", got, err)
	}
}

func warnsOfSplitBrain(t *testing.T, node *dbtest.Server, s *Store) {
	if w, err := s.Warnings(t.Context()); err != nil || len(w) > 0 {
		t.Fatalf("a cluster as it should be: %v, %v", w, err)
	}
	for _, option := range []string{"pc.ignore_sb", "pc.ignore_quorum"} {
		if err := node.Exec(t.Context(), "SET GLOBAL wsrep_provider_options = '"+option+"=true'"); err != nil {
			t.Fatal(err)
		}
		w, err := s.Warnings(t.Context())
		if err != nil || !slices.ContainsFunc(w, func(s string) bool {
			return strings.HasPrefix(s, option+" is true in wsrep_provider_options, not false")
		}) {
			t.Errorf("%s: %v, %v", option, w, err)
		}
		if err := node.Exec(t.Context(), "SET GLOBAL wsrep_provider_options = '"+option+"=false'"); err != nil {
			t.Fatal(err)
		}
	}
}

// cutOff divides the cluster. Neither half is a majority.
func cutOff(t *testing.T, logID int64, cluster *dbtest.Cluster, s *Store) {
	ctx := t.Context()
	// Reads from a node that is cut off are not taken, even where the server
	// would give them.
	if err := errors.Join(cluster.Nodes[0].Exec(ctx, "SET GLOBAL wsrep_dirty_reads = ON"), cluster.Isolate(ctx, 1, true), cluster.AwaitSize(ctx, 0, 1)); err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]func() error{
		"append":      func() error { return appendOne(ctx, s, logID) },
		"head":        func() error { _, err := s.Head(ctx, logID); return err },
		"locked head": func() error { _, err := s.LockedHead(ctx, logID); return err },
		"publish":     func() error { _, err := s.Publish(ctx, logID, storage.Published{}); return err },
	} {
		// A prepared SELECT gets past the server's own check, and fails because it
		// cannot wait for the others: as a lock wait that took too long.
		// One that was under way when the cluster fell apart may end otherwise.
		for end := time.Now().Add(time.Minute); ; {
			err := ask()
			if errors.Is(err, ErrNoMajority) || hasNumber(err, 1205) {
				break
			}
			if err == nil || time.Now().After(end) {
				t.Errorf("%s: %v", name, err)
				break
			}
		}
	}
	if err := cluster.Isolate(ctx, 1, false); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(3 * time.Minute); ; {
		err := appendOne(ctx, s, logID)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
