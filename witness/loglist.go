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

// maxOrigin is what can be cosigned. SPEC: tlog-cosignature: one byte has the length.
const maxOrigin = 255

// Skipped is a log of a list that cannot be used, or a line that says nothing
// that is known.
type Skipped struct {
	Line int // of the list, from 1
	Why  error
}

// ParseLogList parses a list of logs (C2SP tlog-list):
//
//	logs/v0
//
//	vkey example.com/log+ab3a2178+AXd26HC5M1TyoLJMI/KjbMToDiIyGMG5eSb90Bg5aiub
//	origin example.com/log
//	qpd 86400
//	contact someone at example.com
//
// Each log begins with vkey. Its other lines may be left out: without origin the
// log is called as its key is, without qpd it may send any number of requests.
// A list is made by somebody else, so one log that cannot be used takes nothing
// from the others: it is in skipped, and so is a line with an unknown word. Of two
// logs with one origin the first counts. The error says that data is no list.
//
// SPEC: tlog-list: spaces and tabs at both ends of a line, empty lines and lines
// that begin with # say nothing. Carriage returns are taken for spaces.
func ParseLogList(data []byte) (logs []Log, skipped []Skipped, err error) {
	if len(data) > maxLogList {
		return nil, nil, fmt.Errorf("the list has %d bytes; the maximum is %d", len(data), maxLogList)
	}
	p := listParser{origins: make(map[string]bool)}
	for line := range bytes.Lines(data) {
		p.n++
		text := strings.Trim(string(line), " \t\r\n")
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if !p.begun && text != "logs/v0" {
			return nil, nil, fmt.Errorf("line %d: it is %.60q; a list begins with logs/v0", p.n, text)
		}
		if p.begun {
			p.line(text)
		}
		p.begun = true
	}
	if !p.begun {
		return nil, nil, fmt.Errorf("the list does not begin with the line logs/v0")
	}
	p.end()
	return p.logs, p.skipped, nil
}

// listParser reads a list line by line.
type listParser struct {
	n       int // the line
	begun   bool
	logs    []Log
	skipped []Skipped
	open    *Log // the log that is being read; nil after one that is skipped
	at      int  // the line of its vkey
	origins map[string]bool
}

func (p *listParser) skip(line int, why error) { p.skipped = append(p.skipped, Skipped{line, why}) }

func (p *listParser) line(text string) {
	word, value := text, ""
	if i := strings.IndexAny(text, " \t"); i >= 0 {
		word, value = text[:i], strings.Trim(text[i:], " \t")
	}
	switch word {
	case "vkey":
		p.end()
		p.begin(value)
	case "origin", "qpd", "contact":
		p.detail(word, value)
	default:
		p.skip(p.n, fmt.Errorf("the word %.30q is unknown; vkey, origin, qpd and contact are known", word))
	}
}

// begin opens a log. SPEC: tlog-checkpoint: a log may sign with ML-DSA-44 alone,
// and with a witness's 0x04 never.
func (p *listParser) begin(vkey string) {
	key, err := checkpoint.ParseVerifier(vkey)
	if err == nil && key.Algorithm() == checkpoint.CosignatureV1Ed25519 {
		err = fmt.Errorf("key %s has the type 0x04, which is a witness's; a log signs with Ed25519 (0x01) or ML-DSA-44 (0x06)", key.Name())
	}
	if err != nil {
		p.skip(p.n, err)
		return
	}
	p.open, p.at = &Log{Origin: key.Name(), Keys: []checkpoint.Verifier{key}}, p.n
}

// detail reads a line that belongs to the open log.
func (p *listParser) detail(word, value string) {
	if p.open == nil {
		if len(p.skipped) == 0 {
			p.skip(p.n, fmt.Errorf("%s before any vkey", word))
		}
		return
	}
	switch word {
	case "origin":
		p.open.Origin = value
	case "qpd":
		n, ok := parseSize(value)
		if !ok || n < 1 || n > math.MaxInt32 {
			p.skip(p.at, fmt.Errorf("qpd %.30q; it must be 1 to %d, without leading zeros", value, math.MaxInt32))
			p.open = nil
			return
		}
		p.open.PerDay = n
	default:
		p.open.Contact = value
	}
}

// end takes the open log into the list.
func (p *listParser) end() {
	if p.open == nil {
		return
	}
	switch l := *p.open; {
	case l.Origin == "" || len(l.Origin) > maxOrigin:
		p.skip(p.at, fmt.Errorf("its origin has %d bytes; it must have 1 to %d", len(l.Origin), maxOrigin))
	case p.origins[l.Origin]:
		p.skip(p.at, fmt.Errorf("the log %q is there twice; the first counts", l.Origin))
	default:
		p.origins[l.Origin] = true
		p.logs = append(p.logs, l)
	}
	p.open = nil
}

// LogList returns the list of logs that the witness cosigns for, as ParseLogList
// reads it, in the order of their origins. Of a log with several keys it has the
// first.
func (w *Witness) LogList() []byte {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.list
}

// logList prints a list.
func logList(logs []Log) []byte {
	b := bytes.NewBufferString("logs/v0\n")
	for _, l := range logs {
		fmt.Fprintf(b, "\nvkey %s\n", l.Keys[0])
		if l.Origin != l.Keys[0].Name() {
			fmt.Fprintf(b, "origin %s\n", l.Origin)
		}
		if l.PerDay > 0 {
			fmt.Fprintf(b, "qpd %d\n", l.PerDay)
		}
		if l.Contact != "" {
			fmt.Fprintf(b, "contact %s\n", l.Contact)
		}
	}
	return b.Bytes()
}
