package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// row is one line of the table.
type row struct {
	what  string
	rate  float64 // per second
	limit float64 // per second; 0: none
	goal  float64 // share of limit that it should reach; 0: none
	times latencies
	note  string
}

type table struct{ rows []row }

func (t *table) add(r row) { t.rows = append(t.rows, r) }

// rate returns a measured rate, 0 if there is none.
func (t *table) rate(what string) float64 {
	i := slices.IndexFunc(t.rows, func(r row) bool { return r.what == what })
	if i < 0 {
		return 0
	}
	return t.rows[i].rate
}

func (t *table) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 2, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "measured\tper second\tlimit\tshare\tgoal\tp50\tp99\tp999\t note\t")
	for _, r := range t.rows {
		limit, share, goal := "", "", ""
		if r.limit > 0 {
			limit, share = fmt.Sprintf("%.0f", r.limit), fmt.Sprintf("%.0f %%", 100*r.rate/r.limit)
		}
		if r.goal > 0 {
			goal = fmt.Sprintf("%.0f %%", 100*r.goal)
		}
		fmt.Fprintf(tw, "%s\t%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t %s\t\n", r.what, r.rate, limit, share, goal,
			r.times.at(0.5), r.times.at(0.99), r.times.at(0.999), r.note)
	}
	return tw.Flush()
}

// latencies are the times of single operations, sorted.
type latencies []time.Duration

func (l latencies) at(q float64) string {
	if len(l) == 0 {
		return ""
	}
	d := l[min(len(l)-1, int(q*float64(len(l))))]
	return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000)
}

// bound is the rate of work that takes each of the steps once, one after the
// other on the same machine: 1/(1/a + 1/b + …). A step of rate 0 is unknown.
func bound(rates ...float64) float64 {
	var t float64
	for _, r := range rates {
		if r == 0 {
			return 0
		}
		t += 1 / r
	}
	return 1 / t
}
