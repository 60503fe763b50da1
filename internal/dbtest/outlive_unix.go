//go:build unix && !linux

package dbtest

import "syscall"

// dieWithUs: only Linux kills a process with the one that started it.
func dieWithUs() *syscall.SysProcAttr { return nil }
