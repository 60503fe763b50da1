//go:build unix

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"indelible/client"
	"indelible/internal/dbtest"
)

// registerOnGalera is a log of two servers whose register is in a Galera
// cluster, each server with a node of its own for it, and a third node.
type registerOnGalera struct {
	*testing.T
	nodes   *dbtest.Cluster
	servers []*server
	clients []*client.Client
	ledgers []*ledger
}

func newRegisterOnGalera(t *testing.T) *registerOnGalera {
	t.Helper()
	nodes, err := dbtest.StartCluster(context.Background(), 3)
	if err != nil {
		t.Fatal(err)
	}
	g := &registerOnGalera{T: t, nodes: nodes}
	t.Cleanup(func() {
		for i, n := range nodes.Nodes {
			if t.Failed() {
				t.Logf("node %d:\n%s", i, n.Log())
			}
		}
		nodes.Remove()
	})
	places := g.places()
	args := mysqlArgs(t, newMariaDB(t), "log", "--register", places[0])
	for i, place := range places {
		s, l := newServer(t, append(args[:len(args)-1:len(args)-1], place)...), newLedger(t)
		l.prefix = fmt.Sprintf("server %d ", i)
		s.start()
		s.ready()
		g.servers, g.ledgers = append(g.servers, s), append(g.ledgers, l)
		g.clients = append(g.clients, s.client(g.servers[0].vkey()))
	}
	return g
}

// places are the register's as each server names it.
func (g *registerOnGalera) places() []string {
	g.Helper()
	g.must(g.nodes.Nodes[0].Exec(g.Context(), "CREATE DATABASE registers"))
	var places []string
	for i, n := range g.nodes.Nodes[:2] {
		dsn := filepath.Join(g.TempDir(), fmt.Sprint("dsn", i))
		g.must(os.WriteFile(dsn, []byte(n.DSN("registers")), 0o600))
		places = append(places, "mysql:"+dsn)
	}
	return places
}

func (g *registerOnGalera) must(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

// goOn waits until so many more entries were added through each of these servers.
func (g *registerOnGalera) goOn(what string, servers ...int) {
	g.Helper()
	began := time.Now()
	for _, i := range servers {
		before := g.ledgers[i].len()
		eventually(g, fmt.Sprintf("%s: adds through server %d", what, i), func() error {
			if n := g.ledgers[i].len(); n < before+50 {
				return fmt.Errorf("%d entries after %d; %w", n, before, errors.Join(g.servers[0].readiness(), g.servers[1].readiness()))
			}
			return nil
		})
	}
	g.Logf("%s: servers %v went on after %v", what, servers, time.Since(began).Round(time.Millisecond))
}

// TestRegisterOnGalera kills, cuts off and freezes nodes of the cluster that holds
// the register, under load. The server whose node is well goes on, the other does
// when its node is back, all heads are of one tree, and no log is frozen.
func TestRegisterOnGalera(t *testing.T) {
	ctx := context.Background()
	g := newRegisterOnGalera(t)
	var stops []func()
	for i, l := range g.ledgers {
		stops = append(stops, l.load(8, g.clients[i]))
	}
	g.goOn("all is well", 0, 1)
	for i := range g.servers {
		other := 1 - i
		g.must(g.nodes.Nodes[i].Kill())
		g.goOn(fmt.Sprintf("node %d was killed", i), other)
		g.must(g.nodes.Rejoin(ctx, i))
		g.goOn("it is back", 0, 1)
		whole(t, g.nodes)

		g.must(g.nodes.Isolate(ctx, i, true))
		g.goOn(fmt.Sprintf("node %d is cut off", i), other)
		g.must(g.nodes.AwaitSize(ctx, i, 1))
		g.must(g.nodes.Isolate(ctx, i, false))
		g.goOn("it is back", 0, 1)
		whole(t, g.nodes)

		g.must(g.nodes.Freeze(i, true))
		g.goOn(fmt.Sprintf("node %d does nothing", i), other)
		g.must(g.nodes.Freeze(i, false))
		g.goOn("it goes on", 0, 1)
		whole(t, g.nodes)
	}
	for _, stop := range stops {
		stop()
	}
	settleAll(g, g.servers, g.clients, g.ledgers)
}
