package dbtest

import "syscall"

// dieWithUs has the kernel kill the server when the thread that started it
// ends, as it does with the process: tests that are killed leave no server.
func dieWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
