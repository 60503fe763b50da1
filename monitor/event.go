package monitor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// Kind says what happened.
type Kind string

// The kinds. All but Found and Cleared are alarms, which last until they are
// cleared.
const (
	// Found: an entry matches a pattern.
	Found Kind = "found"
	// Forked: the log signed two histories. It stays in the state.
	Forked Kind = "forked"
	// Shrunk: the log shows a smaller tree than it did, again and again.
	Shrunk Kind = "shrunk"
	// False: the log, or whoever answers in its place, served something that
	// contradicts what it signed, or a checkpoint without its signature.
	False Kind = "false"
	// Stale: the newest head is too old.
	Stale Kind = "stale"
	// Behind: entries are left that were not read in time.
	Behind Kind = "behind"
	// Unreachable: the log does not answer.
	Unreachable Kind = "unreachable"
	// Cleared: an alarm has ended; its message says which.
	Cleared Kind = "cleared"
)

// Event is something that is delivered.
type Event struct {
	// ID is the same when an event is delivered again.
	ID      string    `json:"id"`
	Kind    Kind      `json:"kind"`
	Log     string    `json:"log"` // its origin
	At      time.Time `json:"at"`  // when the monitor noticed
	Message string    `json:"message"`
	Entry   *Entry    `json:"entry,omitempty"` // what was found
	// Evidence is the file that proves a fork, or a log that shrank.
	Evidence string `json:"evidence,omitempty"`
}

// Entry is an entry that was found.
type Entry struct {
	Index    int64    `json:"index"`
	LeafHash []byte   `json:"leafHash"`
	Patterns []string `json:"patterns"` // that it matches
	// Facts are what it proves, up to 64; More is how many others there are.
	Facts []Fact `json:"facts"`
	More  int    `json:"more,omitempty"`
	// Signature is what is known of the signature in the entry: "verified", "false"
	// or "unchecked", where only the log has seen what was signed.
	Signature string `json:"signature,omitempty"`
}

// maxFacts bounds the facts of one event: a certificate may have thousands of names.
const maxFacts = 64

// Sink takes events.
type Sink interface {
	// Deliver returns nil when all events are where they belong. After an error it
	// is called again with the same ones.
	Deliver(ctx context.Context, events []Event) error
}

// Sinks deliver to each of them.
type Sinks []Sink

// Deliver stops at the first sink that fails.
func (s Sinks) Deliver(ctx context.Context, events []Event) error {
	for _, one := range s {
		if err := one.Deliver(ctx, events); err != nil {
			return err
		}
	}
	return nil
}

// NewAlarm is an alarm about a log of which nothing else is known.
func NewAlarm(kind Kind, origin, message string) Event {
	return Event{ID: eventID(kind, origin, message), Kind: kind, Log: origin, At: now(), Message: message}
}

// eventID is made from what an event is about.
func eventID(kind Kind, origin string, about ...any) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%v", kind, origin, about))
	return fmt.Sprintf("%x", sum[:16])
}

// Marshal writes JSON in which every character that is not printed stands as
// \uXXXX: certificates have a say in it, and terminals obey some.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return escaped(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

func escaped(data []byte) []byte {
	if bytes.IndexFunc(data, unprinted) < 0 {
		return data
	}
	var out []byte
	for _, r := range string(data) {
		switch {
		case !unprinted(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

func unprinted(r rune) bool { return !unicode.IsPrint(r) }

// counted is a number of things.
func counted(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatInt(n, 10) + " " + many
}
