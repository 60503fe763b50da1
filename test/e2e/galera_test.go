//go:build unix

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"indelible/client"
	"indelible/internal/dbtest"
)

// galera is a log that three servers write to, each through its own node of a
// Galera cluster.
type galera struct {
	*testing.T
	nodes   *dbtest.Cluster
	doors   []*door // before each node, as a balancer is
	servers []*server
	clients []*client.Client
	ledgers []*ledger
}

func newGalera(t *testing.T) *galera {
	t.Helper()
	nodes, err := dbtest.StartCluster(context.Background(), 3)
	if err != nil {
		t.Fatal(err)
	}
	g := &galera{T: t, nodes: nodes}
	t.Cleanup(func() {
		for i, n := range nodes.Nodes {
			if t.Failed() {
				t.Logf("node %d:\n%s", i, n.Log())
			}
		}
		nodes.Remove()
	})
	args := mysqlArgs(t, nodes.Nodes[0], "log")
	for i, n := range nodes.Nodes {
		d := newDoor(t, n.Addr())
		g.doors = append(g.doors, d)
		own := make([]string, len(args))
		for j, a := range args {
			own[j] = strings.Replace(a, nodes.Nodes[0].Addr(), d.addr(), 1)
		}
		s, l := newServer(t, own...), newLedger(t)
		l.prefix = fmt.Sprintf("node %d ", i)
		s.start()
		s.ready()
		g.servers, g.ledgers = append(g.servers, s), append(g.ledgers, l)
		g.clients = append(g.clients, s.client(g.servers[0].vkey()))
	}
	return g
}

// must stops the test at an error.
func (g *galera) must(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

// goOn waits until so many more entries were added through each of these nodes.
func (g *galera) goOn(what string, nodes ...int) {
	g.Helper()
	began := time.Now()
	for _, i := range nodes {
		before := g.ledgers[i].len()
		eventually(g, fmt.Sprintf("%s: adds through node %d", what, i), func() error {
			if n := g.ledgers[i].len(); n < before+50 {
				return fmt.Errorf("%d entries after %d; %w", n, before, g.servers[i].readiness())
			}
			return nil
		})
	}
	g.Logf("%s: nodes %v went on after %v", what, nodes, time.Since(began).Round(time.Millisecond))
}

// whole waits until all nodes of a cluster are part of it again. Servers go on before
// that, and if one more node went then, those that are left would be no majority.
func whole(t testing.TB, nodes *dbtest.Cluster) {
	t.Helper()
	for i := range nodes.Nodes {
		if err := errors.Join(nodes.AwaitSize(t.Context(), i, len(nodes.Nodes)), nodes.Await(t.Context(), i)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGalera kills, cuts off and freezes nodes of a cluster under load through
// all of them. All appends have one order, nothing that was acknowledged is
// lost, no two tree heads contradict each other, and no log is frozen for what
// a node did not know.
func TestGalera(t *testing.T) {
	ctx := context.Background()
	g := newGalera(t)
	var stops []func()
	for i, l := range g.ledgers {
		stops = append(stops, l.load(8, g.clients[i]))
	}
	<-time.After(2 * time.Second)
	for i, l := range g.ledgers {
		t.Logf("%d adds through node %d", l.len(), i)
	}
	g.goOn("all is well", 0, 1, 2)

	g.must(g.nodes.Nodes[2].Kill())
	g.goOn("node 2 was killed", 0, 1)
	g.must(g.nodes.Rejoin(ctx, 2))
	g.goOn("node 2 is back", 0, 1, 2)
	whole(t, g.nodes)

	g.must(g.nodes.Isolate(ctx, 1, true))
	g.goOn("node 1 is cut off", 0, 2)
	if err := g.nodes.AwaitSize(ctx, 1, 1); err != nil {
		t.Error(err)
	}
	// A balancer that keeps the connections there are and leads new ones elsewhere.
	other := g.nodes.Nodes[2].Addr()
	g.doors[1].to.Store(&other)
	g.goOn("its server is led to node 2", 1)
	g.doors[1].move(g.nodes.Nodes[1].Addr())
	g.must(g.nodes.Isolate(ctx, 1, false))
	g.goOn("node 1 is back", 0, 1, 2)
	whole(t, g.nodes)

	g.must(g.nodes.Freeze(0, true))
	g.goOn("node 0 does nothing", 1, 2)
	g.must(g.nodes.Freeze(0, false))
	g.goOn("node 0 goes on", 0, 1, 2)

	for _, stop := range stops {
		stop()
	}
	settleAll(g, g.servers, g.clients, g.ledgers)
}

// settleAll checks every promise through every server, then that each is well
// when it has stopped.
func settleAll(t testing.TB, servers []*server, clients []*client.Client, ledgers []*ledger) {
	t.Helper()
	for i, s := range servers {
		s.ready()
		for _, l := range ledgers {
			l.settle(clients[i])
		}
		if strings.Contains(s.out.String(), "poison") {
			t.Errorf("server %d:\n%s", i, s.out.String())
		}
	}
	for _, s := range servers {
		s.stop()
	}
	for _, s := range servers {
		must(t, nil, "logserver", append([]string{"fsck"}, s.args...)...)
		status := must(t, nil, "logserver", append([]string{"guard", "status"}, s.args...)...)
		if strings.Contains(status, "behind") || strings.Contains(status, "older") || strings.Contains(status, "oisoned") {
			t.Errorf("guard status:\n%s", status)
		}
	}
}
