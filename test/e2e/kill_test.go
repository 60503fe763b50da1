//go:build unix

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"indelible/client"
)

// kills is how often a server is killed on each engine.
const kills = 50

func TestKillServerSQLite(t *testing.T) { killServer(t, newSQLite(t)) }

func TestKillServerMariaDB(t *testing.T) {
	killServer(t, newServer(t, mysqlArgs(t, newMariaDB(t), "log")...))
}

// killServer kills a server at random moments under load: of its start, and of
// its work.
func killServer(t *testing.T, s *server) {
	l := newLedger(t)
	s.start()
	s.ready()
	keys := s.vkey()
	c := s.client(keys)
	stop := l.load(16, c)
	for i := range kills {
		<-time.After(time.Duration(20+rand.IntN(150)) * time.Millisecond)
		if i%2 == 0 {
			l.grows(rand.IntN(30))
		}
		s.kill()
		s.start()
		s.ready()
	}
	l.grows(1)
	stop()
	t.Logf("%d entries acknowledged over %d kills", l.len(), kills)
	l.settle(c)
	s.stop()
	must(t, nil, "logserver", append([]string{"fsck"}, s.args...)...)
}

// TestKillDatabase kills the database under load, while two servers go on.
func TestKillDatabase(t *testing.T) {
	db := newMariaDB(t)
	args := mysqlArgs(t, db, "log")
	a, b := newServer(t, args...), newServer(t, args...)
	for _, s := range []*server{a, b} {
		s.start()
		s.ready()
	}
	keys := a.vkey()
	l := newLedger(t)
	stop := l.load(16, a.client(keys), b.client(keys))
	for i := range 8 {
		<-time.After(time.Duration(100+rand.IntN(400)) * time.Millisecond)
		end := db.Kill
		if i%4 == 3 {
			end = db.Stop
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := db.Restart(context.Background()); err != nil {
			t.Fatal(err)
		}
		l.grows(20)
	}
	stop()
	l.settle(a.client(keys))
	a.stop()
	b.stop()
	must(t, nil, "logserver", append([]string{"fsck"}, a.args...)...)
}

// shared waits until there are so many more entries, and reports whether each
// ledger has its share of them. One that the machine held up has it the next time.
func shared(ledgers []*ledger, before []int, many int) error {
	added, total := make([]int, len(ledgers)), 0
	for i, l := range ledgers {
		added[i] = l.len() - before[i]
		total += added[i]
	}
	if total < many {
		return fmt.Errorf("%v since %v", added, before)
	}
	for i := range before {
		before[i] += added[i]
	}
	if slices.Min(added)*5 < total {
		return fmt.Errorf("of %d one got less than a fifth: %v", total, added)
	}
	return nil
}

// TestThreeReplicas has three servers write to one log, and kills one.
func TestThreeReplicas(t *testing.T) {
	args := mysqlArgs(t, newMariaDB(t), "log")
	var servers []*server
	for range 3 {
		s := newServer(t, args...)
		s.start()
		s.ready()
		servers = append(servers, s)
	}
	keys := servers[0].vkey()
	var clients []*client.Client
	var ledgers []*ledger
	var stops []func()
	for i, s := range servers {
		c, l := s.client(keys), newLedger(t)
		l.prefix = fmt.Sprintf("replica %d ", i)
		clients, ledgers, stops = append(clients, c), append(ledgers, l), append(stops, l.load(8, c))
	}
	before := make([]int, len(ledgers))
	eventually(t, "of so many adds each replica has a fifth", func() error { return shared(ledgers, before, 600) })
	servers[0].kill()
	at := ledgers[1].len() + ledgers[2].len()
	eventually(t, "the others go on", func() error {
		if n := ledgers[1].len() + ledgers[2].len(); n < at+100 {
			return fmt.Errorf("%d entries after %d", n, at)
		}
		return nil
	})
	for _, stop := range stops {
		stop()
	}
	for _, mine := range ledgers {
		mine.settle(clients[1])
	}
	for _, s := range servers[1:] {
		s.stop()
	}
	must(t, nil, "logserver", append([]string{"fsck"}, servers[1].args...)...)
}
