// Package filelock keeps a file for one process.
package filelock

import "errors"

// ErrInUse: another process has the lock.
var ErrInUse = errors.New("another process uses it; let that one end first")
