package monitor_test

import (
	"fmt"
	"testing"

	"indelible/mirror/source"
	"indelible/monitor"
)

// thousand are 1,000 patterns: exact ones, globs and regular expressions, of
// which most begin alike.
func thousand() (list []monitor.Pattern) {
	for i := range 250 {
		list = append(list,
			monitor.Pattern{Identity: monitor.Text{Exact: fmt.Sprintf("https://github.com/example/project%d/.github/workflows/release.yml@refs/heads/main", i)}},
			monitor.Pattern{Identity: monitor.Text{Glob: fmt.Sprintf("https://github.com/example%d/*/.github/workflows/*@refs/tags/v*", i)}},
			monitor.Pattern{
				Identity: monitor.Text{Regexp: fmt.Sprintf(`^https://github\.com/acme/(app|lib)-%d/\.github/workflows/.+@refs/heads/(main|release-[0-9]+)$`, i)},
				Issuer:   monitor.Text{Exact: "https://token.actions.githubusercontent.com"},
			},
			monitor.Pattern{Identity: monitor.Text{Regexp: fmt.Sprintf(`^[^@]+@(mail\.)?team%d\.example\.(com|org)$`, i)}},
		)
	}
	return list
}

// benchEntries are entries by workflows and people, of whom one in 64 is watched.
func benchEntries(b *testing.B) (list [][]byte) {
	ca := newFulcio(b)
	for i := range 256 {
		key := newKey(b)
		san := fmt.Sprintf("https://github.com/someone%d/thing/.github/workflows/release.yml@refs/heads/main", i)
		issuer := "https://token.actions.githubusercontent.com"
		switch {
		case i%64 == 0:
			san = fmt.Sprintf("https://github.com/acme/lib-%d/.github/workflows/release.yml@refs/heads/main", i%250)
		case i%8 == 0:
			san, issuer = fmt.Sprintf("person%d@example.com", i), "https://accounts.example.com"
		}
		list = append(list, signed(b, key, ca.issue(b, key, san, issuer), fmt.Sprint("artifact ", i)))
	}
	return list
}

// BenchmarkParse is the time for one entry's facts alone.
func BenchmarkParse(b *testing.B) {
	entries := benchEntries(b)
	var facts []monitor.Fact
	var err error
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if facts, err = monitor.Facts(facts[:0], source.Tiles, entries[i%256]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkMonitor is the time for one entry, compared with 1,000 patterns.
func BenchmarkMonitor(b *testing.B) {
	entries := benchEntries(b)
	m, err := monitor.NewMatcher(thousand())
	if err != nil {
		b.Fatal(err)
	}
	var facts []monitor.Fact
	matched, i := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		if facts, err = monitor.Facts(facts[:0], source.Tiles, entries[i%256]); err != nil {
			b.Fatal(err)
		}
		matched += len(m.Match(facts))
		i++
	}
	if i >= 256 && matched == 0 {
		b.Fatal("nothing matched")
	}
}
