package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func ofRate(perSecond int64) measured {
	return measured{result: result{ops: perSecond, took: time.Second}}
}

func TestAlternate(t *testing.T) {
	var order []string
	says := func(name string, rates ...int64) way {
		return func(_ context.Context, round int) (measured, error) {
			order = append(order, fmt.Sprint(name, round))
			return ofRate(rates[round]), nil
		}
	}
	b := &bench{o: options{rounds: 3}}
	m, err := b.alternate(t.Context(), says("A", 30, 10, 20), says("B", 1, 3, 2))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, " "); got != "A0 B0 A1 B1 A2 B2" {
		t.Errorf("measured in the order %s", got)
	}
	if m[0].rate() != 20 || m[1].rate() != 2 || !slices.Equal(m[0].rates, []float64{10, 20, 30}) {
		t.Errorf("medians %v and %v", m[0], m[1])
	}
	// The lower of two; and an error ends it, wherever it is.
	b.o.rounds = 2
	m, err = b.alternate(t.Context(), says("A", 30, 10))
	if err != nil || m[0].rate() != 10 {
		t.Errorf("median %v, %v", m[0], err)
	}
	broken := errors.New("broken")
	failing := func(context.Context, int) (measured, error) { return measured{result: result{err: broken}}, nil }
	if _, err := b.alternate(t.Context(), says("A", 1, 2), failing); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

// The columns stand below each other.
func TestTable(t *testing.T) {
	var tab table
	tab.heading("group")
	tab.add(row{what: "one", rate: 1000, note: "a note"})
	tab.add(row{what: "another", rate: 20, runs: []float64{10, 20, 30}, limit: 40, goal: 0.5, times: latencies{time.Millisecond}})
	var out bytes.Buffer
	if err := tab.print(&out); err != nil {
		t.Fatal(err)
	}
	want := `
  measured  per second   runs  limit  share  goal      p50      p99     p999
  GROUP
  one             1000                                                        a note
  another           20  10–30     40   50 %  50 %  1.00 ms  1.00 ms  1.00 ms
`
	var got strings.Builder
	got.WriteString("\n")
	for line := range strings.Lines(out.String()) {
		got.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	if got.String() != want {
		t.Errorf("got%swant%s", got.String(), want)
	}
}
