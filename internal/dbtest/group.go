//go:build unix

package dbtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"indelible/internal/freeport"
)

// Group is a MySQL group (group replication) of servers on this machine.
type Group struct{ Members []*Server }

// StartGroup starts a group of n members, each of which takes writes, or only the
// first, with single. args are more options of every member. MySQL must be the
// make that was chosen.
func StartGroup(ctx context.Context, n int, single bool, args ...string) (*Group, error) {
	addrs, err := freeport.Addrs(n)
	if err != nil {
		return nil, err
	}
	g := &Group{}
	for i := range n {
		s, err := Start(ctx, append([]string{
			fmt.Sprintf("--server-id=%d", i+1), "--plugin-load-add=group_replication.so", "--plugin-load-add=mysql_clone.so",
			"--loose-group-replication-group-name=6ba7b810-9dad-11d1-80b4-00c04fd430c8", "--loose-group-replication-start-on-boot=OFF",
			"--loose-group-replication-local-address=" + addrs[i], "--loose-group-replication-group-seeds=" + strings.Join(addrs, ","),
			"--loose-group-replication-single-primary-mode=" + onOff(single), "--loose-group-replication-enforce-update-everywhere-checks=" + onOff(!single),
			"--report-host=127.0.0.1",
		}, args...)...)
		if err != nil {
			return nil, errors.Join(err, g.Remove())
		}
		g.Members = append(g.Members, s)
		if err := g.Join(ctx, i, i == 0); err != nil {
			return nil, errors.Join(err, g.Remove())
		}
	}
	return g, nil
}

func onOff(on bool) string {
	if on {
		return "ON"
	}
	return "OFF"
}

// Join brings a member into the group, or begins the group with it. The others may
// refuse it for as long as they take it for the member that it was.
func (g *Group) Join(ctx context.Context, i int, first bool) error {
	s := g.Members[i]
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := s.Exec(ctx,
			"STOP GROUP_REPLICATION",
			"SET GLOBAL group_replication_bootstrap_group = "+onOff(first),
			"CHANGE REPLICATION SOURCE TO SOURCE_USER = 'root' FOR CHANNEL 'group_replication_recovery'",
			"SET GLOBAL group_replication_recovery_get_public_key = ON",
			"START GROUP_REPLICATION",
			"SET GLOBAL group_replication_bootstrap_group = OFF")
		if err == nil {
			return g.Online(ctx, i)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("member %d: %w: %s", i, err, s.Log())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Leave has a member stop to talk with the others.
func (g *Group) Leave(ctx context.Context, i int) error {
	return g.Members[i].Exec(ctx, "STOP GROUP_REPLICATION")
}

// Rejoin starts a member that was killed, and brings it back into the group.
func (g *Group) Rejoin(ctx context.Context, i int) error {
	if err := g.Members[i].Restart(ctx); err != nil {
		return err
	}
	return g.Join(ctx, i, false)
}

// Clone replaces a member that was killed by a new one, which copies the whole
// database from another member.
func (g *Group) Clone(ctx context.Context, i int) error {
	s := g.Members[i]
	if err := os.RemoveAll(s.data()); err != nil {
		return err
	}
	if err := s.make.install(ctx, s); err != nil {
		return err
	}
	if err := s.Restart(ctx); err != nil {
		return err
	}
	err := s.Exec(ctx,
		"RESET BINARY LOGS AND GTIDS",
		"SET GLOBAL group_replication_clone_threshold = 1",
		"CHANGE REPLICATION SOURCE TO SOURCE_USER = 'root' FOR CHANNEL 'group_replication_recovery'",
		"SET GLOBAL group_replication_recovery_get_public_key = ON",
		"START GROUP_REPLICATION")
	if err != nil {
		return fmt.Errorf("member %d: %w: %s", i, err, s.Log())
	}
	// A server ends when it has a copy, and whoever runs it starts it again.
	select {
	case <-s.done:
	case <-time.After(startTimeout):
		return fmt.Errorf("member %d did not clone: %s", i, s.Log())
	}
	if err := s.Restart(ctx); err != nil {
		return err
	}
	cloned, err := s.ask(ctx, "SELECT state FROM performance_schema.clone_status")
	if err != nil || cloned != "Completed" {
		return fmt.Errorf("member %d: the copy is %q: %w", i, cloned, err)
	}
	return g.Join(ctx, i, false)
}

// Boot starts a group of which all members ended, from the one that got
// furthest, and returns which one that was.
func (g *Group) Boot(ctx context.Context) (first int, err error) {
	sets := make([]string, len(g.Members))
	for i, s := range g.Members {
		if err := s.Restart(ctx); err != nil {
			return 0, err
		}
		// What a member received and did not apply is part of what it has.
		if sets[i], err = s.ask(ctx, `SELECT CONCAT(@@GLOBAL.gtid_executed, ',', COALESCE((SELECT received_transaction_set
			FROM performance_schema.replication_connection_status WHERE channel_name = 'group_replication_applier'), ''))`); err != nil {
			return 0, err
		}
	}
	for i := range sets {
		has, err := g.Members[0].ask(ctx, fmt.Sprintf("SELECT GTID_SUBSET('%s', '%s')", sets[i], sets[first]))
		if err != nil {
			return 0, err
		}
		if has == "0" {
			first = i
		}
	}
	if err := g.Join(ctx, first, true); err != nil {
		return 0, err
	}
	for i := range g.Members {
		if i != first {
			if err := g.Join(ctx, i, false); err != nil {
				return 0, err
			}
		}
	}
	return first, nil
}

// Online waits until a member is part of the group.
func (g *Group) Online(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s := g.Members[i]
	for {
		state, err := s.ask(ctx, "SELECT member_state FROM performance_schema.replication_group_members WHERE member_id = @@server_uuid")
		if state == "ONLINE" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("member %d is %q: %w: %s", i, state, err, s.Log())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Freeze has a member do nothing at all, as a virtual machine that is paused, or
// lets it go on.
func (g *Group) Freeze(i int, frozen bool) error {
	signal := syscall.SIGCONT
	if frozen {
		signal = syscall.SIGSTOP
	}
	return g.Members[i].cmd.Process.Signal(signal)
}

// Writable reports which members take writes, by what each says of itself and of
// its group. One that does not answer within a second does not.
func (g *Group) Writable(ctx context.Context) []bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	takes := make([]bool, len(g.Members))
	var asked sync.WaitGroup
	for i, s := range g.Members {
		asked.Go(func() {
			n, err := s.ask(ctx, `SELECT COUNT(*) FROM performance_schema.replication_group_members
				WHERE member_state = 'ONLINE' AND member_id = @@server_uuid AND NOT @@GLOBAL.super_read_only
				AND (SELECT 2 * SUM(member_state = 'ONLINE') > COUNT(*) FROM performance_schema.replication_group_members)`)
			takes[i] = err == nil && n == "1"
		})
	}
	asked.Wait()
	return takes
}

// Sessions counts the connections of a member that are not its own.
func (s *Server) Sessions(ctx context.Context) (int, error) {
	n, err := s.ask(ctx, "SELECT COUNT(*) FROM performance_schema.threads WHERE type = 'FOREGROUND' AND processlist_user IS NOT NULL AND processlist_user NOT IN ('event_scheduler', 'system user')")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(n)
}

// Version is what the server calls itself.
func (s *Server) Version(ctx context.Context) (string, error) { return s.ask(ctx, "SELECT VERSION()") }

// Remove ends all members and deletes their folders.
func (g *Group) Remove() error {
	var errs []error
	for _, s := range g.Members {
		errs = append(errs, s.Remove())
	}
	return errors.Join(errs...)
}
