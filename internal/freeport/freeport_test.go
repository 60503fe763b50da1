package freeport

import (
	"net"
	"slices"
	"testing"
)

func TestAddrs(t *testing.T) {
	addrs, err := Addrs(50)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range addrs {
		if slices.Contains(addrs[:i], a) {
			t.Errorf("%s twice", a)
		}
		l, err := net.Listen("tcp", a)
		if err != nil {
			t.Errorf("not free: %v", err)
			continue
		}
		defer l.Close()
		if port := l.Addr().(*net.TCPAddr).Port; port < lowest || port > highest {
			t.Errorf("port %d", port)
		}
	}
}
