//go:build unix

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"indelible/client"
	"indelible/internal/dbtest"
)

// group is a log of three servers in a MySQL group of three members, which one
// member or all take writes for. Before each server is a door, which a balancer
// leads to the server's own member, or to another that takes writes.
type group struct {
	*testing.T
	*dbtest.Group
	args    []string
	doors   []*door
	servers []*server
	clients []*client.Client
	ledgers []*ledger
	longest time.Duration // that adds took to go on

	mu     sync.Mutex
	writes []bool // which members took writes when the balancer asked
}

func newGroup(t *testing.T, single bool) *group {
	t.Helper()
	// A member that falls silent is given up after five seconds, not after ten.
	members, err := dbtest.StartGroup(context.Background(), 3, single, "--loose-group-replication-member-expel-timeout=0")
	if err != nil {
		t.Fatal(err)
	}
	g := &group{T: t, Group: members}
	t.Cleanup(func() {
		for i, n := range members.Members {
			if t.Failed() {
				t.Logf("member %d:\n%s", i, n.Log())
			}
		}
		members.Remove()
	})
	g.args = mysqlArgs(t, members.Members[0], "log")
	// Root would go on writing to a member that became a secondary.
	_, err = members.Members[0].User(context.Background(), "log")
	g.must(err)
	for i := range members.Members {
		g.doors = append(g.doors, newDoor(t, members.Members[0].Addr()))
		s, l := newServer(t, g.through(g.doors[i].addr())...), newLedger(t)
		l.prefix = fmt.Sprintf("server %d ", i)
		s.start()
		g.servers, g.ledgers = append(g.servers, s), append(g.ledgers, l)
	}
	for _, s := range g.servers {
		s.ready()
		g.clients = append(g.clients, s.client(g.servers[0].vkey()))
	}
	g.balance()
	return g
}

// through are a server's arguments with an ordinary user and another address of
// its database.
func (g *group) through(addr string) []string {
	args := slices.Clone(g.args)
	for i, a := range args {
		args[i] = strings.Replace(a, "root@tcp("+g.Members[0].Addr(), "app@tcp("+addr, 1)
	}
	return args
}

// balance leads each door to a member that takes writes, until the test ends.
func (g *group) balance() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	g.Cleanup(func() { cancel(); <-done })
	led := make([]string, len(g.doors))
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			writes := g.Writable(ctx)
			g.mu.Lock()
			g.writes = writes
			g.mu.Unlock()
			for i, d := range g.doors {
				for j := range writes {
					if to := (i + j) % len(writes); writes[to] {
						if addr := g.Members[to].Addr(); led[i] != addr {
							led[i] = addr
							d.move(addr)
						}
						break
					}
				}
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}()
}

// must stops the test at an error.
func (g *group) must(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

// primary is a member that takes writes; another than not.
func (g *group) primary(not int) (member int) {
	g.Helper()
	eventually(g, "a member takes writes", func() error {
		g.mu.Lock()
		defer g.mu.Unlock()
		for i, yes := range g.writes {
			if yes && i != not {
				member = i
				return nil
			}
		}
		return errors.New("none does")
	})
	return member
}

// goOn waits until so many more entries were added through every server.
func (g *group) goOn(what string) {
	g.Helper()
	began := time.Now()
	for i, l := range g.ledgers {
		before := l.len()
		eventually(g, fmt.Sprintf("%s: adds through server %d", what, i), func() error {
			if n := l.len(); n < before+30 {
				return fmt.Errorf("%d entries after %d; %w", n, before, g.servers[i].readiness())
			}
			return nil
		})
	}
	took := time.Since(began)
	g.longest = max(g.longest, took)
	g.Logf("%s: adds went on through every server after %v", what, took.Round(time.Millisecond))
}

// failures are ways in which a member that takes writes is lost and comes back.
func (g *group) failures() []func(ctx context.Context, member int) {
	return []func(context.Context, int){
		func(ctx context.Context, m int) {
			g.must(g.Members[m].Kill())
			g.goOn(fmt.Sprintf("member %d was killed", m))
			g.must(g.Rejoin(ctx, m))
		},
		func(ctx context.Context, m int) {
			g.must(g.Freeze(m, true))
			g.primary(m)
			g.goOn(fmt.Sprintf("member %d does nothing", m))
			g.must(g.Freeze(m, false))
			g.must(g.Online(ctx, m)) // it finds that it was expelled, and joins again
		},
		func(ctx context.Context, m int) {
			g.must(g.Leave(ctx, m))
			g.goOn(fmt.Sprintf("member %d left the group", m))
			g.must(g.Join(ctx, m, false))
		},
		func(ctx context.Context, m int) {
			g.must(g.Members[m].Kill())
			g.goOn(fmt.Sprintf("member %d was killed, with its disk", m))
			g.must(g.Clone(ctx, m))
		},
	}
}

// loseMajority freezes all members but one, for longer than the log waits for an
// answer: a commit on that one neither succeeds nor fails.
func (g *group) loseMajority() {
	m := g.primary(-1)
	for i := range g.Members {
		if i != m {
			g.must(g.Freeze(i, true))
		}
	}
	for _, s := range g.servers {
		s.saysUnready("is not ONLINE in the group's majority at present")
	}
	before := g.sessions(m)
	<-time.After(15 * time.Second)
	if now := g.sessions(m); now > before+10 { // reads go on, through more or fewer
		g.Errorf("%d sessions on member %d became %d while it had no majority", before, m, now)
	}
	for i := range g.Members {
		if i != m {
			g.must(g.Freeze(i, false))
		}
	}
	g.goOn(fmt.Sprintf("member %d was alone for a while", m))
	for i := range g.Members {
		g.must(g.Online(g.Context(), i))
	}
}

// sessions are those that a member has at present.
func (g *group) sessions(m int) int {
	g.Helper()
	n, err := g.Members[m].Sessions(g.Context())
	g.must(err)
	return n
}

// loseAll kills all members and starts the group from the one that got furthest.
func (g *group) loseAll(ctx context.Context) {
	for _, m := range g.Members {
		g.must(m.Kill())
	}
	first, err := g.Boot(ctx)
	g.must(err)
	g.goOn(fmt.Sprintf("all members were killed, and member %d was the first to start", first))
}

// TestLogOnGroup loses members of a MySQL group under load, in several ways, and
// all at once. Nothing that was acknowledged is lost, no two tree heads contradict
// each other, no log is frozen, and adds go on by themselves. FAILOVERS is how many
// members are lost, in each topology; make failovers sets it. Without it two are, in
// a group with one primary.
func TestLogOnGroup(t *testing.T) {
	if failovers, err := strconv.Atoi(os.Getenv("FAILOVERS")); err == nil {
		t.Run("multi-primary", func(t *testing.T) { logOnGroup(t, "multi-primary", false, failovers) })
		t.Run("single-primary", func(t *testing.T) { logOnGroup(t, "single-primary", true, failovers) })
		return
	}
	logOnGroup(t, "single-primary", true, 2)
}

func logOnGroup(t *testing.T, name string, single bool, failovers int) {
	ctx := context.Background()
	g := newGroup(t, single)
	if single {
		g.namesSecondary()
	}
	var stops []func()
	for i, l := range g.ledgers {
		stops = append(stops, l.load(4, g.clients[i]))
	}
	g.goOn("all is well")
	ways := g.failures()
	for n := range failovers {
		m := g.primary(-1)
		if !single {
			m = n % len(g.Members)
		}
		ways[n%len(ways)](ctx, m)
		g.goOn(fmt.Sprintf("member %d is back", m))
	}
	g.loseMajority()
	g.loseAll(ctx)
	for _, stop := range stops {
		stop()
	}
	added := 0
	for _, l := range g.ledgers {
		added += l.len()
	}
	settleAll(t, g.servers, g.clients, g.ledgers)
	version, err := g.Members[0].Version(ctx)
	g.must(err)
	t.Logf("RESULT MySQL %s | %s | %d | %d | %v", version, name, failovers, added, g.longest.Round(100*time.Millisecond))
}

// namesSecondary points a server to a member that takes no writes.
func (g *group) namesSecondary() {
	wrong := newServer(g, g.through(g.Members[1].Addr())...)
	wrong.start()
	wrong.saysUnready("this server is a secondary of a MySQL group, which takes no writes: name its primary in the DSN")
	wrong.stop()
}
