package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/term"

	"indelible/keys"
)

// person sits at a pseudo-terminal.
type person struct {
	t       *testing.T
	ours    *os.File // what is typed goes in here, and what is shown comes out
	theirs  *os.File // the program's standard input
	mu      sync.Mutex
	shown   bytes.Buffer
	changed chan struct{}
}

func newPerson(t *testing.T) *person {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var number uint32
	var unlocked int32
	for request, arg := range map[uintptr]unsafe.Pointer{syscall.TIOCSPTLCK: unsafe.Pointer(&unlocked), syscall.TIOCGPTN: unsafe.Pointer(&number)} {
		if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, ours.Fd(), request, uintptr(arg)); e != 0 {
			t.Fatal(e)
		}
	}
	theirs, err := os.OpenFile("/dev/pts/"+strconv.Itoa(int(number)), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, ours: ours, theirs: theirs, changed: make(chan struct{}, 1)}
	go p.watch()
	t.Cleanup(func() {
		theirs.Close()
		ours.Close()
	})
	return p
}

func (p *person) watch() {
	buf := make([]byte, 1024)
	for {
		n, err := p.ours.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.shown.Write(buf[:n])
		p.mu.Unlock()
		select {
		case p.changed <- struct{}{}:
		default:
		}
	}
}

func (p *person) sees() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shown.String()
}

// waits until something is shown for the nth time.
func (p *person) waits(text string, nth int) bool {
	deadline := time.After(3 * time.Minute)
	for strings.Count(p.sees(), text) < nth {
		select {
		case <-p.changed:
		case <-deadline:
			p.t.Errorf("%q was not shown %d times:\n%s", text, nth, p.sees())
			return false
		}
	}
	return true
}

// answer is what is typed when a question is shown for the nth time.
type answer struct {
	question string
	nth      int
	line     string
}

// at runs logcli at the terminal of somebody who answers.
func (w *world) at(p *person, code int, answers []answer, args ...string) (stderr string) {
	w.t.Helper()
	var out, errs bytes.Buffer
	getenv := func(name string) (string, bool) { v, ok := w.env[name]; return v, ok }
	done := make(chan int)
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Minute)
	defer cancel()
	go func() { done <- run(ctx, args, getenv, p.theirs, &out, &errs) }()
	for _, a := range answers {
		if !p.waits(a.question, a.nth) {
			break
		}
		p.hidden()
		if _, err := p.ours.WriteString(a.line + "\n"); err != nil {
			w.t.Fatal(err)
		}
	}
	if got := <-done; got != code {
		w.t.Errorf("logcli %q: exit code %d, want %d\n%s%s%s", args, got, code, &out, &errs, p.sees())
	}
	quiet(w.t, out.String(), errs.String(), p.sees())
	return errs.String()
}

// hidden waits until what is typed is not shown.
func (p *person) hidden() {
	for deadline := time.Now().Add(3 * time.Minute); p.echoes(); {
		if time.Now().After(deadline) {
			p.t.Error("what is typed is shown")
			return
		}
	}
}

func (p *person) echoes() bool {
	var t syscall.Termios
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, p.theirs.Fd(), syscall.TCGETS, uintptr(unsafe.Pointer(&t))); e != 0 {
		p.t.Error(e)
		return false
	}
	return t.Lflag&syscall.ECHO != 0
}

func TestPasswordAtTerminal(t *testing.T) {
	w := newWorld(t)
	f, key := w.file("f", "artifact"), filepath.Join(w.dir, "key")
	const first, again, asked = "Password for the new key in ", "The same password again: ", "Password of the key in "
	errs := w.at(newPerson(t), exitUsage, []answer{{first, 1, password}, {again, 1, mistyped}}, "keygen", "--encrypt", key)
	says(t, errs, "not the same; no key was made")
	errs = w.at(newPerson(t), exitUsage, []answer{{first, 1, ""}}, "keygen", "--encrypt", key)
	says(t, errs, "the password is empty; no key was made")
	if _, err := os.Stat(key); err == nil {
		t.Error("a key was made")
	}
	p := newPerson(t)
	w.at(p, exitDone, []answer{{first, 1, password}, {again, 1, password}}, "keygen", "--encrypt", key)
	if !p.echoes() {
		t.Error("the terminal does not show any more what is typed")
	}
	if _, err := keys.Load(key, []byte(password)); err != nil {
		t.Error(err)
	}
	key = w.encrypted("encrypted")
	p = newPerson(t)
	w.at(p, exitDone, []answer{{asked + key, 1, mistyped}, {asked, 2, ""}, {asked, 3, password}}, "add", "--key", key, f)
	says(t, p.sees(), "That is not its password. Try again.")
	errs = w.at(newPerson(t), exitUsage, []answer{{asked, 1, mistyped}, {asked, 2, mistyped}, {asked, 3, mistyped}}, "add", "--key", key, f)
	says(t, errs, "wrong password")
	w.at(newPerson(t), exitDone, []answer{{asked, 1, password}}, "add", "--key", key, "-o", "json", f)
}

// Whoever gives up finds the terminal as it was.
func TestInterruptedAtPassword(t *testing.T) {
	w := newWorld(t)
	f, key := w.file("f", "artifact"), w.encrypted("key")
	p := newPerson(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		p.waits("Password of", 1)
		p.hidden()
		cancel()
	}()
	var out, errs bytes.Buffer
	getenv := func(name string) (string, bool) { v, ok := w.env[name]; return v, ok }
	if code := run(ctx, []string{"add", "--key", key, f}, getenv, p.theirs, &out, &errs); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
	says(t, errs.String(), "interrupted")
	if !p.echoes() || !term.IsTerminal(int(p.theirs.Fd())) {
		t.Error("the terminal does not show any more what is typed")
	} // The reader is left behind, as the program ends; here it must not be.
	if _, err := p.ours.WriteString("\n"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(3 * time.Minute); p.unread(); {
		if time.Now().After(deadline) {
			t.Fatal("nobody reads any more")
		}
	}
}

// unread reports whether a line was typed that nobody has read.
func (p *person) unread() bool {
	var n int32
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, p.theirs.Fd(), syscall.TIOCINQ, uintptr(unsafe.Pointer(&n))); e != 0 {
		p.t.Error(e)
	}
	return n > 0
}
