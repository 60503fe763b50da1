package dbtest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// startsOne makes this test program start a server, say its process, and wait.
const startsOne = "MARIADB_TEST_STARTS_ONE"

func TestMain(m *testing.M) {
	if os.Getenv(startsOne) == "" {
		os.Exit(m.Run())
	}
	s, err := Start(context.Background())
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(s.PID())
	select {}
}

// A test program that is killed can clean nothing up.
func TestServerDiesWithWhoStartedIt(t *testing.T) {
	program := exec.Command(os.Args[0])
	program.Env = append(os.Environ(), startsOne+"=1", "TMPDIR="+t.TempDir())
	out, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	line, readErr := bufio.NewReader(out).ReadString('\n')
	if err := program.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	program.Wait()
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the program said %q (%v)", line, readErr)
	}
	for end := time.Now().Add(time.Minute); alive(pid); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			if server, err := os.FindProcess(pid); err == nil {
				server.Kill()
			}
			t.Fatalf("mariadbd, process %d, goes on without the program that started it", pid)
		}
	}
}

// alive reports whether a process runs: it may be dead and wait for somebody to
// ask about its end.
func alive(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, after, _ := bytes.Cut(stat, []byte(") "))
	return !bytes.HasPrefix(after, []byte("Z"))
}
