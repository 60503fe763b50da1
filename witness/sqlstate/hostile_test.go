package sqlstate

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"indelible/internal/mysqldb"
	"indelible/witness"
)

func set(t *testing.T, setting string) {
	t.Helper()
	back, err := server.Set(t.Context(), setting)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := back(); err != nil {
			t.Error(err)
		}
	})
}

// user is how an ordinary user connects to an empty database.
func user(t *testing.T) string {
	t.Helper()
	database(t)
	dsn, err := server.User(t.Context(), "w")
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

// life is what a witness does with its database.
func life(t *testing.T, s *Store, dsn string) {
	t.Helper()
	ctx := t.Context()
	var logs []witness.Log
	for i := range 4 {
		logs = append(logs, newLog(t, fmt.Sprintf("log%d.example", i), 1))
	}
	if err := s.AddLogs(ctx, logs); err != nil {
		t.Fatal(err)
	}
	for _, l := range logs {
		if err := s.Swap(ctx, l.Origin, witness.Head{}, newHead(7)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.SetRegister(ctx, "", "one"), s.SetKeys(ctx, logs[0].Origin, logs[0].Keys, newLog(t, "", 2).Keys)); err != nil {
		t.Fatal(err)
	}
	other, err := OpenMySQL(ctx, dsn, mysqldb.Access{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	heads := 0
	if err := other.EachHead(ctx, func(_ string, h witness.Head) error {
		if h.Size == 7 {
			heads++
		}
		return nil
	}); err != nil || heads != len(logs) {
		t.Errorf("another connection sees %d heads: %v", heads, err)
	}
	if all, err := other.Logs(ctx); err != nil || len(all) != len(logs) || all[0].Keys[0].String() == logs[0].Keys[0].String() {
		t.Errorf("another connection sees %d logs: %v", len(all), err)
	}
	if id, err := other.RegisterID(ctx); err != nil || id != "one" {
		t.Errorf("another connection sees register %q: %v", id, err)
	}
}

// Whatever sessions a server gives: a witness works, or is refused at its start
// by the setting's name.
func TestHostileSettings(t *testing.T) {
	try := func(setting, refusal string) {
		t.Run(setting, func(t *testing.T) {
			dsn := user(t)
			set(t, setting)
			s, err := OpenMySQL(t.Context(), dsn, mysqldb.Access{})
			if refusal == "" && err != nil || refusal != "" && (err == nil || !strings.Contains(err.Error(), refusal)) {
				t.Fatal(err)
			}
			if err == nil {
				defer s.Close()
				life(t, s, dsn)
			}
		})
	}
	for _, setting := range server.Hostile() {
		try(setting, "")
	}
	for _, statement := range server.HostileToUsers() {
		refusal := ""
		if strings.HasPrefix(statement, "USE") {
			refusal = "the session's database is information_schema"
		}
		try("init_connect = '"+strings.ReplaceAll(statement, "'", "''")+"'", refusal)
	}
	try("read_only = 1", "read-only (read_only")
	try("binlog_format = 'STATEMENT'", "binlog_format is STATEMENT")
	try("max_allowed_packet = 65536", "max_allowed_packet is 65536")
}

func TestSwallowedSet(t *testing.T) {
	dsn := user(t)
	proxy, err := server.NewDeaf("SET ")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	set(t, "autocommit = 0")
	_, err = OpenMySQL(t.Context(), strings.Replace(dsn, server.Addr(), proxy.Addr(), 1), mysqldb.Access{})
	if !errors.Is(err, mysqldb.ErrSession) || !strings.Contains(err.Error(), "autocommit is OFF, and must be ON") {
		t.Fatal(err)
	}
}
