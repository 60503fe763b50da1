//go:build unix

package dbtest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Follow has the server replicate all that another commits, as it commits it:
// asynchronously. Both need a --server-id of their own, and the other --log-bin
// since its first start.
func (s *Server) Follow(ctx context.Context, other *Server) error {
	return s.change(ctx, "MASTER_HOST = '127.0.0.1', MASTER_PORT = "+strconv.Itoa(other.port)+", MASTER_USER = 'root', MASTER_USE_GTID = slave_pos")
}

// Lag has a server that replicates apply what the other commits so many seconds
// later.
func (s *Server) Lag(ctx context.Context, seconds int) error {
	if err := s.Exec(ctx, s.words("STOP SLAVE")); err != nil {
		return err
	}
	return s.change(ctx, "MASTER_DELAY = "+strconv.Itoa(seconds))
}

// StopReceiving has a server that replicates get nothing more from the other.
func (s *Server) StopReceiving(ctx context.Context) error {
	return s.Exec(ctx, s.words("STOP SLAVE IO_THREAD"))
}

// SemiSync has the server acknowledge no commit, nor show one, before another that
// replicates it has received it.
func (s *Server) SemiSync(ctx context.Context, replica *Server) error {
	if s.make.MySQL() {
		if err := s.Exec(ctx, "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'"); err != nil {
			return err
		}
		if err := replica.Exec(ctx, "INSTALL PLUGIN rpl_semi_sync_replica SONAME 'semisync_replica.so'"); err != nil {
			return err
		}
	}
	if err := replica.Exec(ctx, replica.words("SET GLOBAL rpl_semi_sync_SLAVE_enabled = 1"), replica.words("STOP SLAVE"), replica.words("START SLAVE")); err != nil {
		return err
	}
	return s.Exec(ctx, s.words("SET GLOBAL rpl_semi_sync_MASTER_wait_point = 'AFTER_SYNC'"), s.words("SET GLOBAL rpl_semi_sync_MASTER_timeout = 3600000"),
		s.words("SET GLOBAL rpl_semi_sync_MASTER_enabled = 1"))
}

// Applied waits until a server that replicates has applied all that it received.
func (s *Server) Applied(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		n, err := s.ask(ctx, "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE '%has read all relay log%'")
		if err == nil && n != "0" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the replica does not apply what it received: %w: %s", ctx.Err(), s.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Promote has a server that replicates stop that, and take writes.
func (s *Server) Promote(ctx context.Context) error {
	return s.Exec(ctx, s.words("STOP SLAVE"), s.words("RESET SLAVE ALL"), "SET GLOBAL read_only = OFF")
}

// change sets options of replication, and starts it.
func (s *Server) change(ctx context.Context, options string) error {
	return s.Exec(ctx, s.words("CHANGE MASTER TO "+options), s.words("START SLAVE"))
}

// words are a statement about replication in the words of the make.
func (s *Server) words(statement string) string {
	if !s.make.MySQL() {
		return statement
	}
	return strings.NewReplacer(
		"CHANGE MASTER TO", "CHANGE REPLICATION SOURCE TO",
		"MASTER_USE_GTID = slave_pos", "SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1",
		"MASTER_", "SOURCE_", "_MASTER", "_SOURCE", "SLAVE", "REPLICA",
	).Replace(statement)
}
