package sqlerror

import "testing"

// What waiting cures is never taken for a refusal: an entry would be refused for
// a fault that passes.
func TestMySQL(t *testing.T) {
	for _, c := range []struct {
		number      uint16
		state, text string
		want        bool
	}{
		{1153, "08S01", "", true},
		{1406, "22001", "", true},
		{1264, "22003", "", true},
		{1048, "23000", "", true},
		{1366, "HY000", "", true},
		{3988, "HY000", "", true},
		{1292, "22007", "", true},
		{1197, "HY000", "", true},
		{1105, "HY000", "Maximum writeset size exceeded by 1", true},
		{1180, "HY000", `Got error 90 "Message too long" during COMMIT`, true},
		{9999, "22042", "a value of a later version", true},
		{9999, "23042", "a constraint of a later version", true},

		{1054, "42S22", "", false}, // an administrator changed the tables, as in the next two
		{1136, "21S01", "", false},
		{1364, "HY000", "", false},
		{1062, "23000", "", false}, // another may have been first
		{1180, "HY000", `Got error 5 "Input/output error" during COMMIT`, false},
		{1105, "HY000", "", false},
		{1213, "40001", "", false},
		{1205, "HY000", "", false},
		{1290, "HY000", "", false},
		{1836, "HY000", "", false},
		{1047, "08S01", "", false},
		{3101, "HY000", "", false},
		{1021, "HY000", "", false}, // the disk is full
		{1114, "HY000", "", false}, // the table is full
		{1041, "HY000", "", false}, // out of memory
		{1040, "08004", "", false}, // too many connections
		{1142, "42000", "", false}, // a right that is missing may be given
		{1317, "70100", "", false}, // interrupted
	} {
		if got := MySQL(c.number, c.state, c.text); got != c.want {
			t.Errorf("%d %s %q: %v", c.number, c.state, c.text, got)
		}
	}
}

func TestSQLite(t *testing.T) {
	for code, want := range map[int]bool{
		18: true, 19: true, 20: true, 25: true, 275 /* check */ : true, 1299 /* not null */ : true, 3091 /* type */ : true,
		1555 /* primary key */ : false, 2067 /* unique */ : false, 2579 /* rowid */ : false,
		13 /* full */ : false, 5 /* busy */ : false, 10 /* I/O */ : false, 8 /* read-only */ : false, 11 /* corrupt */ : false,
	} {
		if got := SQLite(code); got != want {
			t.Errorf("%d: %v", code, got)
		}
	}
}
