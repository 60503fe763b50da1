//go:build unix

package dbtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"indelible/internal/freeport"
)

// Group is a MySQL group (group replication) of servers on this machine.
type Group struct{ Members []*Server }

// StartGroup starts a group of n members, each of which takes writes, or only the
// first, with single. MySQL must be the make that was chosen.
func StartGroup(ctx context.Context, n int, single bool) (*Group, error) {
	addrs, err := freeport.Addrs(n)
	if err != nil {
		return nil, err
	}
	g := &Group{}
	for i := range n {
		s, err := Start(ctx,
			fmt.Sprintf("--server-id=%d", i+1), "--plugin-load-add=group_replication.so",
			"--loose-group-replication-group-name=6ba7b810-9dad-11d1-80b4-00c04fd430c8", "--loose-group-replication-start-on-boot=OFF",
			"--loose-group-replication-local-address="+addrs[i], "--loose-group-replication-group-seeds="+strings.Join(addrs, ","),
			"--loose-group-replication-single-primary-mode="+onOff(single), "--loose-group-replication-enforce-update-everywhere-checks="+onOff(!single),
			"--report-host=127.0.0.1")
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

// Join brings a member into the group, or begins the group with it.
func (g *Group) Join(ctx context.Context, i int, first bool) error {
	s := g.Members[i]
	err := s.Exec(ctx,
		"SET GLOBAL group_replication_bootstrap_group = "+onOff(first),
		"CHANGE REPLICATION SOURCE TO SOURCE_USER = 'root' FOR CHANNEL 'group_replication_recovery'",
		"SET GLOBAL group_replication_recovery_get_public_key = ON",
		"START GROUP_REPLICATION",
		"SET GLOBAL group_replication_bootstrap_group = OFF")
	if err != nil {
		return fmt.Errorf("member %d: %w: %s", i, err, s.Log())
	}
	return g.await(ctx, i)
}

func (g *Group) await(ctx context.Context, i int) error {
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

// Remove ends all members and deletes their folders.
func (g *Group) Remove() error {
	var errs []error
	for _, s := range g.Members {
		errs = append(errs, s.Remove())
	}
	return errors.Join(errs...)
}
