package mysql

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"indelible/storage"
)

// rowsAfter are n entries of a size that follow a head, and the next head.
func rowsAfter(head storage.Head, n, size int) storage.Append {
	w := storage.Append{Head: storage.Head{Size: head.Size + int64(n), IntegratedAt: 1}}
	for i := range n {
		index := head.Size + int64(i)
		w.Entries = append(w.Entries, storage.Entry{
			Index: index, LeafHash: sha256.Sum256(fmt.Append(nil, index)), IntegratedAt: 1,
			Body: []byte(strings.Repeat("x", size)),
		})
	}
	return w
}

// appends appends n entries of a size.
func appends(t *testing.T, s *Store, logID int64, n, size int) error {
	t.Helper()
	tx, err := s.BeginAppend(t.Context(), logID)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := tx.Write(t.Context(), rowsAfter(tx.Head(), n, size)); err != nil {
		return err
	}
	return tx.Commit(t.Context())
}

// However small the server's max_allowed_packet is, an append of many rows is
// made of statements that fit, also when it shrinks while the log runs. Only a
// row that does not fit alone is refused.
func TestMaxAllowedPacket(t *testing.T) {
	server := start(t, "--max-allowed-packet=1M")
	dsn := database(t, server, "test")
	s := open(t, dsn)
	defer s.Close()
	l, err := s.CreateLog(t.Context(), storage.Log{Origin: "a"}, storage.Head{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ n, size int }{{1, 65535}, {16, 65535}, {128, 65535}, {256, 4096}, {1024, 4000}, {1024, 8000}} {
		if err := appends(t, s, l.ID, c.n, c.size); err != nil {
			t.Fatalf("%d of %d bytes: %v", c.n, c.size, err)
		}
	}
	server.Options("--max-allowed-packet=16384")
	if err := errors.Join(server.Stop(), server.Restart(context.Background())); err != nil {
		t.Fatal(err)
	}
	// A try finds out, and the next knows, once there are no connections of before.
	end := time.Now().Add(2 * time.Minute)
	for err := errors.New("not tried"); err != nil; err = appends(t, s, l.ID, 100, 4000) {
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	if err := appends(t, s, l.ID, 1, 16384); !errors.Is(err, storage.ErrRefused) || !strings.Contains(err.Error(), "16384 bytes") || !strings.Contains(err.Error(), "max_allowed_packet") {
		t.Errorf("%v", err)
	}
	head, err := s.Head(t.Context(), l.ID)
	if err != nil || head.Size != 1+16+128+256+2*1024+100 {
		t.Errorf("size %d, %v", head.Size, err)
	}
	if err := appends(t, s, l.ID, 3, 15000); err != nil {
		t.Error(err)
	}
}

// Whatever a server says of rows that it will never take, it is ErrRefused. What it
// says of tables that were changed is not. When the tables are mended the same rows
// are taken.
func TestRefused(t *testing.T) {
	server := start(t)
	s := open(t, database(t, server, "test"))
	defer s.Close()
	l, err := s.CreateLog(t.Context(), storage.Log{Origin: "a"}, storage.Head{})
	if err != nil {
		t.Fatal(err)
	}
	check := "4025"
	if server.MySQL() {
		check = "3819"
	}
	for i, c := range []struct{ number, harm, mend string }{
		{"1406", `ALTER TABLE test.entries MODIFY body VARBINARY(10) NOT NULL`, `ALTER TABLE test.entries MODIFY body MEDIUMBLOB NOT NULL`},
		{"1264", `CREATE TRIGGER test.harm BEFORE INSERT ON test.entries FOR EACH ROW SET NEW.leaf_key = 99999999999999999999`, `DROP TRIGGER test.harm`},
		{"1364", `ALTER TABLE test.entries ADD COLUMN more INT NOT NULL`, `ALTER TABLE test.entries DROP COLUMN more`},
		{"1054", `ALTER TABLE test.entries CHANGE body gone MEDIUMBLOB NOT NULL`, `ALTER TABLE test.entries CHANGE gone body MEDIUMBLOB NOT NULL`},
		{check, `ALTER TABLE test.entries ADD CONSTRAINT small CHECK (idx < 8)`, `ALTER TABLE test.entries DROP CONSTRAINT small`},
		{"1366", `ALTER TABLE test.entries ADD COLUMN word VARCHAR(32) CHARACTER SET utf8mb4; CREATE TRIGGER test.harm BEFORE INSERT ON test.entries FOR EACH ROW SET NEW.word = NEW.leaf_hash`, `DROP TRIGGER test.harm; ALTER TABLE test.entries DROP COLUMN word`},
		{"1062", `INSERT INTO test.entries SELECT 1, size, 0, '', 0, '' FROM test.tree_heads`, `DELETE FROM test.entries WHERE leaf_hash = REPEAT(CHAR(0), 32)`},
		{"1048", `CREATE TRIGGER test.harm BEFORE INSERT ON test.entries FOR EACH ROW SET NEW.body = NULL`, `DROP TRIGGER test.harm`},
	} {
		if err := server.Exec(t.Context(), strings.Split(c.harm, "; ")...); err != nil {
			t.Fatalf("%s: %v", c.harm, err)
		}
		ofTables := c.number == "1364" || c.number == "1054" // no entry is to blame
		if err := appends(t, s, l.ID, 2, 20); err == nil || errors.Is(err, storage.ErrRefused) == ofTables || !strings.Contains(err.Error(), c.number) {
			t.Errorf("%s: %v", c.harm, err)
		}
		if err := server.Exec(t.Context(), strings.Split(c.mend, "; ")...); err != nil {
			t.Fatalf("%s: %v", c.mend, err)
		}
		if err := appends(t, s, l.ID, 2, 20); err != nil {
			t.Errorf("%s: %v", c.mend, err)
		}
		if head, err := s.Head(t.Context(), l.ID); err != nil || head.Size != int64(2*i+2) {
			t.Errorf("%s: size %d, %v", c.number, head.Size, err)
		}
	}
}
