//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"indelible/internal/dbtest"
)

// A witness that is killed again and again, while logs that fork at every step
// race with themselves, never cosigns two heads that contradict each other, and
// never forgets one that it answered with.
func TestKillSQLite(t *testing.T) {
	t.Parallel() // with the other: both wait most of the time
	logs := manyTrees(t, 8)
	killed(t, newServer(t, logs), logs, 200)
}

func TestKillMariaDB(t *testing.T) {
	t.Parallel()
	logs := manyTrees(t, 8)
	killed(t, onMariaDB(t, logs, startMariaDB(t)), logs, 200)
}

// While its database is gone, nothing is cosigned; afterwards it goes on by itself.
func TestDatabaseGone(t *testing.T) {
	db, logs := startMariaDB(t), manyTrees(t, 1)
	s := onMariaDB(t, logs, db)
	s.start()
	one := logs[0].with("a")
	s.want(one, 0, http.StatusOK, "")
	if err := db.Kill(); err != nil {
		t.Fatal(err)
	}
	s.want(one.with("b"), 1, http.StatusInternalServerError, "ask again")
	eventually(t, "it is not ready without its database", func() error {
		if _, err := get("http://" + s.admin + "/readyz"); err == nil {
			return errors.New("it is ready")
		}
		return nil
	})
	if out, code := runProgram(t, "health", "--admin", s.admin); code != 1 || !strings.Contains(out, "not ready") {
		t.Errorf("health: exit code %d\n%s", code, out)
	}
	if err := db.Restart(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it goes on", func() error { _, err := get("http://" + s.admin + "/readyz"); return err })
	if out := mustRun(t, "health", "--admin", s.admin); out != "ready\n" {
		t.Errorf("health: %s", out)
	}
	eventually(t, "it answers", func() error { // over connections that the database ended
		if code, body, err := s.add(one.with("B"), 0); err != nil || code != http.StatusConflict || body != "1\n" {
			return fmt.Errorf("%d %s %w", code, body, err)
		}
		return nil
	})
	s.want(one.with("B"), 1, http.StatusOK, "")
	s.stop()
}

func startMariaDB(t *testing.T) *dbtest.Server {
	t.Helper()
	db, err := dbtest.Start(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Remove() })
	if err := db.Exec(t.Context(), "CREATE DATABASE w"); err != nil {
		t.Fatal(err)
	}
	return db
}

func onMariaDB(t *testing.T, logs []*tree, db *dbtest.Server) *server {
	t.Helper()
	return newServer(t, logs, "--storage", "mysql", "--mysql-dsn-file", writeSecret(t, db.DSN("w")))
}

func manyTrees(t testing.TB, n int) []*tree {
	t.Helper()
	var logs []*tree
	for i := range n {
		logs = append(logs, newTree(t, fmt.Sprintf("log%d.example", i)))
	}
	return logs
}

// totals are what all submitters together saw.
type totals struct{ answered, unanswered, cut atomic.Int64 }

// enough reports whether so many kills hit what they are to hit.
func (s *totals) enough(kills int) bool {
	return int(s.answered.Load()) >= kills/4 && int(s.cut.Load()) >= kills && s.unanswered.Load() > 0
}

func killed(t *testing.T, s *server, logs []*tree, kills int) {
	s.start()
	ctx, stop := context.WithCancel(t.Context())
	var sum totals
	var all sync.WaitGroup
	for _, l := range logs {
		all.Go(func() { (&submitter{s: s, have: l, sum: &sum}).run(ctx) })
	}
	done := 0
	for ; done < kills || done < 5*kills && !sum.enough(kills); done++ {
		<-time.After(time.Duration(5+rand.IntN(60)) * time.Millisecond)
		if at := sum.answered.Load(); done%3 == 0 { // however long that takes on a busy machine
			eventually(t, "a request is answered", func() error {
				if sum.answered.Load() == at {
					return errors.New("none is")
				}
				return nil
			})
		}
		s.signal(syscall.SIGKILL)
		if strings.Contains(s.out.String(), "older copy") {
			t.Error("a kill left the database behind the register")
		}
		s.start()
	}
	stop()
	all.Wait()
	t.Logf("%d kills: %d requests cosigned and answered, %d cosigned and not answered, %d cut off", done, sum.answered.Load(), sum.unanswered.Load(), sum.cut.Load())
	if !sum.enough(kills) {
		t.Error("too few for this to be a test")
	}
	s.stop()
}

// submitter is a log that signs two histories at every step, and sends both at
// once.
type submitter struct {
	s     *server
	have  *tree // what the witness cosigned last, as far as is known
	steps int
	sum   *totals
}

func (u *submitter) run(ctx context.Context) {
	for ctx.Err() == nil {
		u.steps++
		words := func(side string) []string {
			list := make([]string, 1+rand.IntN(3))
			for i := range list {
				list[i] = fmt.Sprint(u.have.origin, u.steps, side, i)
			}
			return list
		}
		u.step([]*tree{u.have.with(words("a")...), u.have.with(words("b")...)})
	}
}

// step sends two trees that contradict each other, and finds out which is cosigned.
func (u *submitter) step(sides []*tree) {
	won := make([]bool, len(sides))
	var both sync.WaitGroup
	for i, side := range sides {
		both.Go(func() {
			status, body, err := u.s.add(side, u.have.size())
			switch {
			case err != nil:
				u.sum.cut.Add(1)
			case status == http.StatusOK:
				won[i] = true
			case status != http.StatusConflict:
				u.s.t.Errorf("%s: %d %s", u.have.origin, status, body)
			}
		})
	}
	both.Wait()
	if won[0] && won[1] {
		u.s.t.Errorf("%s: two heads that contradict each other were cosigned, of sizes %d and %d", u.have.origin, sides[0].size(), sides[1].size())
	}
	u.learn(sides, won)
}

// learn asks what was cosigned: what was answered, or, if nothing was, either of
// the sides or what was cosigned before. Nothing else is consistent.
func (u *submitter) learn(sides []*tree, won []bool) {
	possible := append([]*tree{u.have}, sides...)
	for i, w := range won {
		if w {
			u.sum.answered.Add(1)
			possible = []*tree{sides[i]}
		}
	}
	eventually(u.s.t, "the witness answers", func() error {
		head, err := u.s.cosigned(u.have.origin)
		if err != nil {
			return err
		}
		for _, p := range possible {
			if p.size() == head.Size && root(p.leaves) == head.Root {
				if len(possible) > 1 && p != u.have {
					u.sum.unanswered.Add(1)
				}
				u.have = p
				return nil
			}
		}
		u.s.t.Fatalf("%s: the witness has size %d, which is none of what it can have cosigned", u.have.origin, head.Size)
		return nil
	})
}
