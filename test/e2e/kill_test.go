//go:build unix

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
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

// killServer kills a server at random moments under load.
func killServer(t *testing.T, s *server) {
	l := newLedger(t)
	s.start()
	s.ready()
	keys := s.vkey()
	c := s.client(keys)
	stop := l.load(16, c)
	for range kills {
		<-time.After(time.Duration(20+rand.IntN(150)) * time.Millisecond)
		s.kill()
		s.start()
		s.ready()
	}
	stop()
	if l.len() < 10*kills {
		t.Fatalf("only %d entries were acknowledged", l.len())
	}
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
		before := l.len()
		eventually(t, "adds go on by themselves", func() error {
			if n := l.len(); n < before+20 {
				return fmt.Errorf("%d entries after %d", n, before)
			}
			return nil
		})
	}
	stop()
	l.settle(a.client(keys))
	a.stop()
	b.stop()
	must(t, nil, "logserver", append([]string{"fsck"}, a.args...)...)
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
	<-time.After(4 * time.Second)
	per, total := make([]int, len(ledgers)), 0
	for i, l := range ledgers {
		per[i] = l.len()
		total += per[i]
	}
	t.Logf("adds by replica: %v", per)
	for i, n := range per {
		if n*5 < total {
			t.Errorf("replica %d got %d of %d adds, less than a fifth", i, n, total)
		}
	}
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
