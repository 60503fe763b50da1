// Package progress draws a bar on a terminal, on one line that it clears in the
// end:
//
//	auditing  45% |██████████████████                      | (450/1000, 123/s) [4s:5s]
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

const (
	width = 40                     // of the bar
	every = 100 * time.Millisecond // how often it is drawn at most
)

// Bar is a bar. Any number of goroutines may use it.
type Bar struct {
	out     io.Writer
	what    string
	now     func() time.Time
	columns func() int // of the terminal; 0: not known

	mu           sync.Mutex
	began, drawn time.Time
	start        int64 // what was done when it began
	note         string
}

// New makes a bar. It draws nothing before Set.
func New(out io.Writer, what string) *Bar {
	return &Bar{out: out, what: what, now: time.Now, columns: func() int { return columns(out) }}
}

func columns(out io.Writer) int {
	f, ok := out.(*os.File)
	if !ok {
		return 0
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return n
}

// Note replaces what the bar says about the rate and the time that is left.
func (b *Bar) Note(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.note = text
}

// Set draws how much is done. When all is, the line is cleared.
func (b *Bar) Set(done, of int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	switch {
	case done >= of:
		fmt.Fprint(b.out, "\r\x1b[K")
		return
	case b.began.IsZero():
		b.began, b.start = now, done
	case now.Sub(b.drawn) < every:
		return
	}
	b.drawn = now
	fmt.Fprintf(b.out, "\r%s\x1b[K", fit(b.line(done, of, now.Sub(b.began)), b.columns()))
}

// fit makes a line fit a terminal, since one that wraps is not cleared: it leaves
// the bar out, and then what is too long.
func fit(line string, columns int) string {
	if columns <= 0 || utf8.RuneCountInString(line) < columns {
		return line
	}
	if head, rest, ok := strings.Cut(line, " |"); ok {
		if _, numbers, ok := strings.Cut(rest, "| "); ok {
			line = head + " " + numbers
		}
	}
	runes := []rune(line)
	return string(runes[:min(len(runes), columns-1)])
}

func (b *Bar) line(done, of int64, took time.Duration) string {
	share := float64(max(done, 0)) / float64(of)
	full := int(share * width)
	line := fmt.Sprintf("%s %3.0f%% |%s%s| (%d/%d", b.what, 100*share, strings.Repeat("█", full), strings.Repeat(" ", width-full), done, of)
	if b.note != "" {
		return line + ") " + b.note
	}
	rate := float64(done-b.start) / max(took.Seconds(), 1e-9)
	if took < every || rate <= 0 {
		return line + ")"
	}
	left := time.Duration(float64(of-done) / rate * float64(time.Second))
	return line + fmt.Sprintf(", %.0f/s) [%s:%s]", rate, took.Round(time.Second), left.Round(time.Second))
}
