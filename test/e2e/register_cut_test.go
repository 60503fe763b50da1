//go:build unix

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestOneServerWithoutTheRegister cuts one of two servers off from the register
// that they share, while it publishes. The other one publishes instead, for both.
func TestOneServerWithoutTheRegister(t *testing.T) {
	db, registers := newMariaDB(t), newMariaDB(t)
	k := keptIn(t, registers)
	wire := newDoor(t, registers.Addr())
	through := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(through, []byte("root@tcp("+wire.addr()+")/registers"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := mysqlArgs(t, db, "log", "--register", k.where)
	cut, whole := newServer(t, append(args[:len(args)-1:len(args)-1], "mysql:"+through)...), newServer(t, args...)
	for _, s := range []*server{cut, whole} {
		s.start()
		s.ready()
	}
	l, other := newLedger(t), newLedger(t)
	other.prefix = "other "
	goOn := func(what string, l *ledger) {
		t.Helper()
		n := l.len()
		eventually(t, what, func() error {
			if now := l.len(); now < n+100 {
				return fmt.Errorf("%d entries after %d; %w", now, n, errors.Join(cut.readiness(), whole.readiness()))
			}
			return nil
		})
	}
	keys := cut.vkey()
	stop := l.load(8, cut.client(keys)) // the other has no reason to publish
	goOn("adds", l)
	wire.move(freeAddrs(t, 1)[0])
	cut.saysUnready("publish: ")
	stopOther := other.load(8, whole.client(keys))
	goOn("adds through the server that is well", other)
	goOn("adds through the server that is cut off, which the other publishes", l)
	wire.move(registers.Addr())
	cut.ready()
	stopOther()
	goOn("adds through the server that was cut off, which it publishes", l)
	stop()
	for _, s := range []*server{cut, whole} {
		l.settle(s.client(keys))
		other.settle(s.client(keys))
		s.stop()
	}
}
