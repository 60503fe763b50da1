package sqlstate

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"indelible/witness"
)

// A head that the database does not take is refused alone: the others of its
// group are swapped.
func TestRefusedAlone(t *testing.T) {
	on(t, func(t *testing.T, open func() *Store) {
		ctx, s := t.Context(), open()
		defer s.Close()
		harm := `CREATE TRIGGER small BEFORE UPDATE ON witness_heads WHEN length(NEW.note) > 1000 BEGIN SELECT RAISE(ABORT, 'too long'); END`
		if strings.HasPrefix(s.dialect.ignore, "INSERT IGNORE") {
			harm = `ALTER TABLE witness_heads MODIFY note VARBINARY(1000) NOT NULL`
		}
		if _, err := s.write.ExecContext(ctx, harm); err != nil {
			t.Fatal(err)
		}
		var logs []witness.Log
		var swaps []swap
		for i := range byte(9) {
			l := newLog(t, fmt.Sprint("log ", i), i+1)
			to := newHead(int64(i) + 1)
			if i == 4 {
				to.Note = make([]byte, 1001)
			}
			logs, swaps = append(logs, l), append(swaps, swap{origin: l.Origin, to: to})
		}
		swaps[7].from.Size = 99 // one that comes too late is told so
		if err := s.AddLogs(ctx, logs); err != nil {
			t.Fatal(err)
		}
		for i, err := range s.swapAll(swaps) {
			h, read := s.Head(ctx, swaps[i].origin)
			if read != nil {
				t.Fatal(read)
			}
			switch i {
			case 4:
				if err == nil || errors.Is(err, witness.ErrMoved) || h.Size != 0 {
					t.Errorf("the one that is too long: %v, size %d", err, h.Size)
				}
			case 7:
				if !errors.Is(err, witness.ErrMoved) || h.Size != 0 {
					t.Errorf("the one that comes too late: %v, size %d", err, h.Size)
				}
			default:
				if err != nil || h.Size != int64(i)+1 {
					t.Errorf("%d: %v, size %d", i, err, h.Size)
				}
			}
		}
	})
}
