// Package freeport chooses ports of the loopback interface for servers that
// tests and benchmarks start as processes: such a server is told its port, and
// keeps it when it is killed and started again.
//
// A port that the system chooses (by listening on port 0) lies where it takes
// the ports of outgoing connections from. Any of those can have it by the time
// that the server listens, and between its end and its next start. So these
// ports lie below: in 10000 to 29999, at random, since others choose as well.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

const (
	lowest  = 10000
	highest = 29999
	tries   = 1000
)

// Port returns a port that nobody listens on.
func Port() (int, error) {
	l, err := listen()
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Addrs returns the addresses, host and port, of n ports that nobody listens on,
// no two the same.
func Addrs(n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := listen()
		if err != nil {
			return nil, err
		}
		defer l.Close() // not before all are chosen
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

func listen() (net.Listener, error) {
	for range tries {
		port := lowest + rand.IntN(highest-lowest+1)
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("of %d ports from %d to %d none is free", tries, lowest, highest)
}
