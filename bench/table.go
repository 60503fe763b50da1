package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"
)

// row is one line of the table.
type row struct {
	what    string
	heading bool      // and nothing else
	rate    float64   // per second
	limit   float64   // per second; 0: none
	goal    float64   // share of limit that it should reach; 0: none
	runs    []float64 // rate is the median of these, which ascend; nil: of one
	times   latencies
	note    string
}

type table struct{ rows []row }

func (t *table) add(r row) { t.rows = append(t.rows, r) }

// heading begins a group of rows.
func (t *table) heading(name string) { t.add(row{what: strings.ToUpper(name), heading: true}) }

// rate returns a measured rate, 0 if there is none.
func (t *table) rate(what string) float64 {
	i := slices.IndexFunc(t.rows, func(r row) bool { return r.what == what })
	if i < 0 {
		return 0
	}
	return t.rows[i].rate
}

// print writes the table: names to the left, figures to the right, and what else
// there is to say at the end of the line.
func (t *table) print(w io.Writer) error {
	const head = "measured"
	width := len(head)
	for _, r := range t.rows {
		width = max(width, utf8.RuneCountInString(r.what))
	}
	tw := tabwriter.NewWriter(w, 2, 8, 2, ' ', tabwriter.AlignRight)
	line := func(what string, cells ...string) {
		fmt.Fprintf(tw, "%-*s\t%s\t  %s\n", width, what, strings.Join(cells[:len(cells)-1], "\t"), cells[len(cells)-1])
	}
	line(head, "per second", "runs", "limit", "share", "goal", "p50", "p99", "p999", "")
	for _, r := range t.rows {
		line(r.what, r.cells()...)
	}
	return tw.Flush()
}

// cells are what stands after a row's name.
func (r row) cells() []string {
	c := make([]string, 9)
	if r.heading {
		return c
	}
	c[0] = fmt.Sprintf("%.0f", r.rate)
	if len(r.runs) > 1 {
		c[1] = fmt.Sprintf("%.0f–%.0f", r.runs[0], r.runs[len(r.runs)-1])
	}
	if r.limit > 0 {
		c[2], c[3] = fmt.Sprintf("%.0f", r.limit), fmt.Sprintf("%.0f %%", 100*r.rate/r.limit)
	}
	if r.goal > 0 {
		c[4] = fmt.Sprintf("%.0f %%", 100*r.goal)
	}
	c[5], c[6], c[7], c[8] = r.times.text(0.5), r.times.text(0.99), r.times.text(0.999), r.note
	return c
}

// join joins notes of which some may be empty.
func join(notes ...string) string {
	return strings.Join(slices.DeleteFunc(notes, func(n string) bool { return n == "" }), "; ")
}

// latencies are the times of single operations, sorted.
type latencies []time.Duration

// at is the time that a share q of the operations took at most; 0 if there were
// none.
func (l latencies) at(q float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	return l[min(len(l)-1, int(q*float64(len(l))))]
}

// perSecond is how often that time fits into a second.
func (l latencies) perSecond(q float64) float64 {
	if len(l) == 0 {
		return 0
	}
	return 1 / l.at(q).Seconds()
}

func (l latencies) text(q float64) string {
	if len(l) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f ms", float64(l.at(q).Microseconds())/1000)
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
