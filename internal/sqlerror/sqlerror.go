// Package sqlerror tells which errors of a database are about the rows that it
// was given: the same rows are refused the next time as well. Every other error
// may pass. Tables that an administrator changed (a column is unknown, or has no
// default) are such another error: it meets every entry, and the log is not ready
// until the tables are mended.
package sqlerror

import (
	"slices"
	"strings"
)

// MySQL reports whether an error of MySQL or MariaDB, by its number, SQLSTATE and
// text, refuses the rows. A violated unique key does not count: another process
// may have written the row first, which the caller finds out.
func MySQL(number uint16, state, text string) bool {
	switch {
	case slices.Contains(duplicates(), number):
		return false
	case slices.Contains(ofRows(), number):
		return true
	case number == 1105: // an unknown error, which only its text tells
		return strings.Contains(text, "max_long_data_size") || strings.Contains(text, "aximum writeset size")
	case number == 1180: // an error while committing, with the system's number: message too long
		return strings.Contains(text, "error 90 ")
	}
	// A value or a constraint does not fit.
	return strings.HasPrefix(state, "22") || strings.HasPrefix(state, "23")
}

// duplicates are the numbers of a violated unique key.
func duplicates() []uint16 { return []uint16{1022, 1062, 1586, 1859} }

// ofRows are the numbers of errors about rows, whatever their SQLSTATE is.
func ofRows() []uint16 {
	return []uint16{
		1048, // a column cannot be null
		1118, // the row is too large
		1153, // larger than max_allowed_packet
		1197, // larger than max_binlog_cache_size
		1264, // out of range
		1265, // data truncated
		1267, // illegal mix of collations
		1292, // truncated incorrect value
		1300, // invalid character string
		1366, // incorrect value, or incorrect string
		1406, // too long for its column
		1452, // a foreign key that somebody added
		1526, // no partition for the value
		1690, // out of range while computing
		1713, // the undo record is too large
		1748, // not of the partition
		3819, // a check constraint that somebody added (MySQL)
		3988, // impossible conversion between character sets
		4025, // a check constraint that somebody added (MariaDB)
	}
}

// SQLite reports whether an error of SQLite, by its extended code, refuses the
// rows. A violated unique key does not count, as in MySQL. A full disk
// (SQLITE_FULL) does not count either: it may be mended.
func SQLite(code int) bool {
	const (
		tooBig, constraint, mismatch, outOfRange = 18, 19, 20, 25
		primaryKey, unique, rowID                = constraint | 6<<8, constraint | 8<<8, constraint | 10<<8
	)
	switch code {
	case primaryKey, unique, rowID:
		return false
	}
	return slices.Contains([]int{tooBig, constraint, mismatch, outOfRange}, code&0xff)
}
