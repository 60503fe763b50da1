package testkit

import (
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestBuffer(t *testing.T) {
	var b Buffer
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if n, err := b.Write([]byte("abc")); n != 3 || err != nil {
				t.Error(n, err)
			}
			_ = b.String()
		})
	}
	wg.Wait()
	if got := b.String(); got != strings.Repeat("abc", 10) {
		t.Errorf("%q", got)
	}
}

func TestTail(t *testing.T) {
	if got := Tail("x" + strings.Repeat("y", 4000)); got != strings.Repeat("y", 4000) || Tail("short") != "short" {
		t.Errorf("%d bytes", len(got))
	}
}

func TestAddrs(t *testing.T) {
	addrs := Addrs(t, 2)
	if len(addrs) != 2 || addrs[0] == addrs[1] {
		t.Fatal(addrs)
	}
	for _, addr := range addrs {
		on, err := net.Listen("tcp", addr)
		if err != nil {
			t.Error(err)
			continue
		}
		on.Close()
	}
}

// failing notes that a test failed, and with what.
type failing struct {
	testing.TB
	says string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(_ string, args ...any) {
	f.says = args[1].(error).Error()
	panic(f)
}

func TestEventually(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		Eventually(t, "the third try", func() error {
			if n++; n < 3 {
				return errors.New("not yet")
			}
			return nil
		})
		begin, f := time.Now(), &failing{TB: t}
		defer func() {
			if recover() != f || f.says != "never" || n != 3 || time.Since(begin) < 3*time.Minute {
				t.Errorf("after %s: %q, %d tries", time.Since(begin), f.says, n)
			}
		}()
		Eventually(f, "never", func() error { return errors.New("never") })
	})
}
