package monitor

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// metrics is what a monitor shows to Prometheus.
type metrics struct {
	mu     sync.Mutex
	state  State
	rate   float64
	alarms map[Kind]bool
}

func (m *metrics) set(r Report) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.rate = r.State, r.Rate
}

func (m *metrics) setNext(s *State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = *s
}

func (m *metrics) setAlarms(lasting map[Kind]Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.alarms = make(map[Kind]bool)
	for kind := range lasting {
		m.alarms[kind] = true
	}
}

// Alarms are the kinds that are alarms, the worst first.
func Alarms() []Kind { return []Kind{Forked, Shrunk, False, Stale, Behind, Unreachable} }

// Metrics serves what the monitor knows, in the text format of Prometheus. It may
// be asked at any time.
func (m *Monitor) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		w.Write([]byte(m.metrics.text()))
	})
}

func (m *metrics) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	log := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(m.state.Origin)
	one := func(name, kind, help string, value float64) {
		fmt.Fprintf(&b, "# HELP indelible_monitor_%s %s\n# TYPE indelible_monitor_%s %s\nindelible_monitor_%s{log=\"%s\"} %.15g\n", name, help, name, kind, name, log, value)
	}
	s := &m.state
	if s.Head != nil {
		one("head_size", "gauge", "Entries below the newest head.", float64(s.Head.Size))
		if !s.Head.Time.IsZero() {
			one("head_time_seconds", "gauge", "Newest time that a signature of that head states.", float64(s.Head.Time.Unix()))
		}
		one("looked_time_seconds", "gauge", "When the log last answered.", float64(s.Looked.Unix()))
	}
	one("next_entry", "gauge", "First entry that was not read yet.", float64(s.Next))
	one("since_entry", "gauge", "First entry that was compared with the patterns.", float64(s.Since.Index))
	one("entries_per_second", "gauge", "Rate of the last look.", m.rate)
	one("found_total", "counter", "Entries that matched a pattern.", float64(s.Found))
	one("opaque_total", "counter", "Entries that say nothing that could be compared.", float64(s.Opaque))
	one("unreadable_total", "counter", "Entries that could not be read.", float64(s.Unreadable))
	b.WriteString("# HELP indelible_monitor_alarm Whether an alarm lasts.\n# TYPE indelible_monitor_alarm gauge\n")
	for _, kind := range Alarms() {
		on := 0
		if m.alarms[kind] {
			on = 1
		}
		fmt.Fprintf(&b, "indelible_monitor_alarm{log=\"%s\",kind=\"%s\"} %d\n", log, kind, on)
	}
	return b.String()
}
