//go:build unix

package dbtest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"indelible/internal/freeport"
)

// ErrNoGalera: the library that makes a cluster of servers is not installed.
var ErrNoGalera = errors.New("there is no Galera library on this machine: apt-get install galera-4 rsync")

// Cluster is a Galera cluster of servers on this machine. A node that falls
// silent is given up after two seconds.
type Cluster struct {
	Nodes []*Server
	group []string // where each node listens for the others
}

// StartCluster starts a cluster of n nodes, of which each can be written to.
// args are more options of every node.
func StartCluster(ctx context.Context, n int, args ...string) (*Cluster, error) {
	provider, err := galera()
	if err != nil {
		return nil, err
	}
	c := &Cluster{}
	addrs, err := freeport.Addrs(4 * n) // together, so that no two are the same
	if err != nil {
		return nil, err
	}
	for i := range n {
		if err := c.prepare(ctx, addrs[i], addrs[n+i]); err != nil {
			return nil, errors.Join(err, c.Remove())
		}
	}
	for i, node := range c.Nodes {
		c.configure(i, provider, addrs[2*n+i], addrs[3*n+i], args)
		if i == 0 {
			node.once = []string{"--wsrep-new-cluster"}
		}
		if err := c.start(ctx, i); err != nil {
			return nil, errors.Join(err, c.Remove())
		}
	}
	return c, nil
}

// galera is where the provider library is.
func galera() (string, error) {
	for _, path := range []string{"/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so", "/usr/lib64/galera/libgalera_smm.so"} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", ErrNoGalera
}

// prepare makes one more node, with the addresses where it listens for clients
// and for the others. The databases of the second and later come from the first
// when they join.
func (c *Cluster) prepare(ctx context.Context, clients, group string) error {
	s, err := create(ctx, len(c.Nodes) == 0)
	if s != nil {
		c.Nodes = append(c.Nodes, s)
	}
	if err != nil {
		return err
	}
	s.allowRoot()
	c.group = append(c.group, group)
	_, port, err := net.SplitHostPort(clients)
	if err != nil {
		return err
	}
	s.port, err = strconv.Atoi(port)
	return err
}

// allowRoot lets a node that root runs receive its database from another. The
// rsync daemon which receives it would become nobody, who cannot enter the
// folder. Its configuration is written by MariaDB's script, and the one line of
// it that can be given is "log file", whose folder is in MYSQL_TMP_DIR.
func (s *Server) allowRoot() {
	if runAs() != nil {
		s.env = []string{"MYSQL_TMP_DIR=" + s.dir + "/rsync.log\nuid = root\ngid = root\n#"}
	}
}

// configure gives a node its options, with the addresses where it receives what it
// lacks of the databases, or all of them. A node is given up after some seconds
// of silence: sooner than usual, and no sooner than a busy machine may be silent.
// Two that took each other for gone stay without a majority until the third is
// back, however well they are.
func (c *Cluster) configure(i int, provider, incremental, transfer string, args []string) {
	c.Nodes[i].args = append([]string{
		"--wsrep-on=ON", "--binlog-format=ROW", "--wsrep-provider=" + provider, "--wsrep-sst-method=rsync",
		"--wsrep-cluster-address=gcomm://" + strings.Join(c.group, ","), "--wsrep-node-address=127.0.0.1",
		"--wsrep-sst-receive-address=" + transfer,
		"--wsrep-provider-options=gmcast.listen_addr=tcp://" + c.group[i] + ";ist.recv_addr=" + incremental +
			";evs.keepalive_period=PT0.2S;evs.inactive_check_period=PT0.1S;evs.suspect_timeout=PT4S;evs.inactive_timeout=PT8S;evs.install_timeout=PT8S" +
			";gmcast.peer_timeout=PT4S;gmcast.time_wait=PT0.5S;gcache.size=32M;pc.recovery=false",
	}, args...)
}

// start starts a node and waits until it is part of the cluster.
func (c *Cluster) start(ctx context.Context, i int) error {
	if err := c.Nodes[i].Restart(ctx); err != nil {
		return err
	}
	return c.Await(ctx, i)
}

// Rejoin brings a node back that was stopped or killed, as Debian's service
// does: by asking its database first how far it is.
func (c *Cluster) Rejoin(ctx context.Context, i int) error {
	node := c.Nodes[i]
	position, err := node.position(ctx)
	if err != nil {
		return err
	}
	node.once = []string{"--wsrep-start-position=" + position}
	return c.start(ctx, i)
}

// position is the last transaction that a node which does not run has.
func (s *Server) position(ctx context.Context) (string, error) {
	mariadbd, err := program("mariadbd")
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, mariadbd, append(append([]string{"--no-defaults"}, s.options()...), "--wsrep-recover", "--disable-log-error")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("mariadbd --wsrep-recover: %w: %s", err, tail(out))
	}
	found := regexp.MustCompile(`Recovered position:? *([0-9a-f-]+:-?\d+)`).FindSubmatch(out)
	if found == nil {
		return "", fmt.Errorf("mariadbd --wsrep-recover says no position: %s", tail(out))
	}
	return string(bytes.TrimSpace(found[1])), nil
}

// Await waits until a node is part of the cluster and has all it holds.
func (c *Cluster) Await(ctx context.Context, i int) error {
	return c.await(ctx, i, "wsrep_local_state_comment", "Synced")
}

// AwaitSize waits until a node sees a cluster of so many.
func (c *Cluster) AwaitSize(ctx context.Context, i, n int) error {
	return c.await(ctx, i, "wsrep_cluster_size", strconv.Itoa(n))
}

func (c *Cluster) await(ctx context.Context, i int, status, want string) error {
	node := c.Nodes[i]
	db, err := sql.Open("mysql", node.DSN(""))
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		var name, got string
		err := db.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE '"+status+"'").Scan(&name, &got)
		if err == nil && got == want {
			return nil
		}
		select {
		case <-node.done:
			return fmt.Errorf("node %d ended: %s", i, node.Log())
		case <-ctx.Done():
			return fmt.Errorf("node %d: %s is %q, not %s (%w): %s", i, status, got, want, err, node.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Freeze has a node do nothing at all, as a virtual machine that is paused, or
// lets it go on.
func (c *Cluster) Freeze(i int, frozen bool) error {
	signal := syscall.SIGCONT
	if frozen {
		signal = syscall.SIGSTOP
	}
	return c.Nodes[i].cmd.Process.Signal(signal)
}

// Isolate cuts a node off from the others, or lets it back.
func (c *Cluster) Isolate(ctx context.Context, i int, cut bool) error {
	value := "0"
	if cut {
		value = "1"
	}
	return c.Nodes[i].Exec(ctx, "SET GLOBAL wsrep_provider_options = 'gmcast.isolate="+value+"'")
}

// Remove ends all nodes and deletes their folders.
func (c *Cluster) Remove() error {
	var errs []error
	for _, node := range c.Nodes {
		errs = append(errs, node.Remove())
	}
	return errors.Join(errs...)
}
