package witness

import (
	"bytes"
	"fmt"
	"math"
	"strings"

	"indelible/checkpoint"
)

// maxLogList bounds a list, in bytes: some 40,000 logs.
const maxLogList = 16 << 20

// ParseLogList parses a list of logs in the form of the witness network:
//
//	logs/v0
//
//	vkey example.com/log+ab3a2178+AXd26HC5M1TyoLJMI/KjbMToDiIyGMG5eSb90Bg5aiub
//	origin example.com/log
//	qpd 86400
//	contact someone at example.com
//
// Lines that are empty or begin with # are ignored. Each log begins with vkey;
// origin, whose default is the key's name, qpd (queries per day, default any
// number) and contact follow in this order, each at most once.
// SPEC: witness-network.org, logs/v0.
func ParseLogList(data []byte) ([]Log, error) {
	if len(data) > maxLogList {
		return nil, fmt.Errorf("the list has %d bytes; at most %d are read", len(data), maxLogList)
	}
	p := listParser{origins: make(map[string]bool)}
	n := 0
	for line := range bytes.Lines(data) {
		n++
		text := strings.TrimSuffix(string(line), "\n")
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if err := p.line(text); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if !p.begun {
		return nil, fmt.Errorf("the list does not begin with the line logs/v0")
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	return p.logs, nil
}

// listParser reads a list line by line.
type listParser struct {
	begun   bool
	logs    []Log
	open    *Log // the log that is being read
	after   int  // the place of its last line in the order of lines
	origins map[string]bool
}

func (p *listParser) line(text string) error {
	if !p.begun {
		if text != "logs/v0" {
			return fmt.Errorf("it is %.60q; a list begins with logs/v0", text)
		}
		p.begun = true
		return nil
	}
	word, value, _ := strings.Cut(text, " ")
	if value == "" || strings.TrimSpace(value) != value {
		return fmt.Errorf("%.60q: it must be a word, one space and a value", text)
	}
	if word == "vkey" {
		if err := p.end(); err != nil {
			return err
		}
		return p.begin(value)
	}
	return p.detail(word, value)
}

func (p *listParser) begin(vkey string) error {
	key, err := checkpoint.ParseVerifier(vkey)
	if err != nil {
		return err
	}
	if key.IsCosigner() {
		return fmt.Errorf("key %s is a cosigner's, and a log signs with another", key.Name())
	}
	p.open, p.after = &Log{Origin: key.Name(), Keys: []checkpoint.Verifier{key}}, 0
	return nil
}

// detail reads a line that belongs to the open log.
func (p *listParser) detail(word, value string) error {
	place := strings.Index("origin qpd contact", word)
	switch {
	case word != "origin" && word != "qpd" && word != "contact":
		return fmt.Errorf("the word %.30q is unknown; vkey, origin, qpd and contact are known", word)
	case p.open == nil:
		return fmt.Errorf("%s before any vkey", word)
	case place+1 <= p.after:
		return fmt.Errorf("%s must come once, and in the order origin, qpd, contact", word)
	}
	p.after = place + 1
	switch word {
	case "origin":
		p.open.Origin = value
	case "qpd":
		n, ok := parseSize(value)
		if !ok || n < 1 || n > math.MaxInt32 {
			return fmt.Errorf("qpd %.30q; it must be 1 to %d, without leading zeros", value, math.MaxInt32)
		}
		p.open.PerDay = n
	default:
		p.open.Contact = value
	}
	return nil
}

// end takes the open log into the list.
func (p *listParser) end() error {
	if p.open == nil {
		return nil
	}
	if p.origins[p.open.Origin] {
		return fmt.Errorf("the log %q is there twice", p.open.Origin)
	}
	p.origins[p.open.Origin] = true
	p.logs = append(p.logs, *p.open)
	p.open = nil
	return nil
}
