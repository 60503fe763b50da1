// Package monitor watches a transparency log for entries that its owner asked
// about, and raises an alarm when the log is not what it was.
//
// A [Monitor] reads a log through a [source.Log], which authenticates each block
// of entries against a signed head: an entry that is not proven to be in the log
// is never reported. It reads every entry from the first one on, or from where it
// began, one block after the other, and skips none. What it knows is in a file
// ([State]): up to which entry it has read, and the newest head. That file only
// moves forward, and only when every event before it was delivered.
//
// # Patterns
//
// A [Pattern] names an identity or an issuer in a signer's certificate (exact, a
// glob, or a regular expression), a key, a digest, a Go module, or a domain. A
// [Matcher] is made of many patterns and does not try them in turn: exact ones are
// looked up, and of the others only those are tried of which four letters stand
// in the value. Letters match in both cases.
//
// Only what an entry proves is compared, as [entry.IndexKeys] tells: a digest that
// nobody verified is not.
//
// # Alarms
//
// A log is forked when it signed two histories, shrunk when it shows a smaller
// tree than before, false when it served something that contradicts what it
// signed, stale when its head is old, behind when the monitor does not keep up
// with it, and unreachable when it does not answer. See [Kind].
//
// # Delivery
//
// Events go to a [Sink]: text, JSON lines, or a signed webhook. They are delivered
// at least once: a monitor that is killed between delivery and its note of it
// delivers again, with the same ID.
package monitor
