package log

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"indelible/checkpoint"
	"indelible/guard"
	"indelible/storage"
)

// Signer signs checkpoints, and says by which key.
type Signer interface {
	checkpoint.Signer
	Verifier() checkpoint.Verifier
}

// Config is what a Log is made from. A field's zero value means the default
// that its comment names.
type Config struct {
	Store   storage.Store // required
	Record  storage.Log   // required: the log's row, as FindLog returned it
	Signers []Signer      // required: at least one, each of a key in Record.Keys
	// Cosigners are keys of the log that sign with a time, as an ML-DSA-44 key
	// does; each in Record.Keys. The time is the one that the register has of the
	// tree head: it never goes back as the tree grows, whatever clocks do, and so
	// never says that a smaller tree was the largest later.
	Cosigners []*checkpoint.Cosigner
	Register  guard.Register // required: the one that Record names
	Witness   Witness        // nil: nobody is asked
	Files     Files          // nil: all is read from Store

	MaxBatch      int           // entries in one append; 1,024
	MaxBatchBytes int64         // bytes in one append; 8 MiB
	MaxQueue      int           // entries accepted and not yet answered; 16,384
	MaxQueueBytes int64         // their bytes; 64 MiB
	Linger        time.Duration // how long a batch waits for company; 0: not at all
	CacheBytes    int64         // of hash tiles kept in memory; 64 MiB
	RecentBytes   int64         // of the newest entries kept for Recent; 0: none
	ScrubRate     int64         // entries a second that the scrub compares with the tree; 0: there is no scrub

	// MaxClockStep is how far the clock may stand behind the last entry's time
	// before entries are refused; 10 minutes. A smaller step back is bridged by
	// giving entries the last entry's time.
	MaxClockStep time.Duration
	// LeaseTTL is after what time another replica takes over publishing from
	// one that vanished; 3 s.
	LeaseTTL time.Duration
	// FollowEvery is how often a log without work looks whether another replica
	// published; 1 s.
	FollowEvery time.Duration
	// Rewitness is after what time an idle log has its checkpoint witnessed
	// again; 10 minutes.
	Rewitness time.Duration
	// DrainTimeout bounds the answering of accepted entries after Run's context
	// ended; 15 s.
	DrainTimeout time.Duration
	Replica      string           // names this process among the log's replicas, at most 255 bytes; random
	Now          func() time.Time // time.Now
	Events       Events
}

func (c Config) withDefaults() Config {
	setDefault(&c.MaxBatch, 1024)
	setDefault(&c.MaxBatchBytes, 8<<20)
	setDefault(&c.MaxQueue, 16384)
	setDefault(&c.MaxQueueBytes, 64<<20)
	setDefault(&c.CacheBytes, 64<<20)
	setDefault(&c.MaxClockStep, 10*time.Minute)
	setDefault(&c.LeaseTTL, 3*time.Second)
	setDefault(&c.FollowEvery, time.Second)
	setDefault(&c.Rewitness, 10*time.Minute)
	setDefault(&c.DrainTimeout, 15*time.Second)
	setDefault(&c.Replica, rand.Text())
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// maxReplica is the most bytes of a replica's name.
const maxReplica = 255

// Validate says what is wrong with a configuration.
func (c Config) Validate() error {
	if c.Store == nil || c.Register == nil || len(c.Signers) == 0 {
		return errors.New("log: Store, Register and at least one of Signers are required")
	}
	if c.MaxBatch < 0 || c.MaxBatchBytes < 0 || c.MaxQueue < 0 || c.MaxQueueBytes < 0 || c.CacheBytes < 0 || c.RecentBytes < 0 || c.ScrubRate < 0 || c.Linger < 0 {
		return errors.New("log: a limit is negative")
	}
	if n := len(c.Replica); n > maxReplica {
		return fmt.Errorf("log: Replica has %d bytes; at most %d fit into the lease's row", n, maxReplica)
	}
	if c.Register.ID() != c.Record.Register {
		return fmt.Errorf("log %q belongs to register %s, and this is register %s: give the log's own, since another knows nothing of what was signed",
			c.Record.Origin, c.Record.Register, c.Register.ID())
	}
	for _, k := range c.verifiers() {
		if vkey := k.String(); !slices.Contains(c.Record.Keys, vkey) {
			return fmt.Errorf("key %s is not a key of log %q, whose keys are %q", vkey, c.Record.Origin, c.Record.Keys)
		}
	}
	return nil
}

// verifiers are the keys that checkpoints are signed with.
func (c Config) verifiers() []checkpoint.Verifier {
	var keys []checkpoint.Verifier
	for _, s := range c.Signers {
		keys = append(keys, s.Verifier())
	}
	for _, s := range c.Cosigners {
		keys = append(keys, s.Verifier())
	}
	return keys
}

// Events are called when something happened; each may be nil. They are called
// from the log's own goroutines and must return at once.
type Events struct {
	Queued    func(entries int, bytes int64)                      // what waits now
	Appended  func(entries, duplicates int, took time.Duration)   // one append
	Published func(size int64, entries int64, took time.Duration) // one publication by this replica
	Followed  func(size int64)                                    // a publication was seen: another replica's, or at the start the last one
	Refused   func(bytes int, err error)                          // the database does not take an entry of so many bytes
	Retrying  func(what string, err error)                        // a step failed and will be tried again
	Failing   func(what string, err error)                        // the same, and nil once that step goes well again
	Poisoned  func(reason string)                                 // the log signs no more
	Scrubbed  func(ScrubState)                                    // the scrub is so far
	Mended    func(path string, err error)                        // a file of Files was not what was logged; err: it still is not
	Damaged   func(parts int, err error)                          // so many parts of the log are damaged now; err is of the new one, or nil if one was healed
}

func (e Events) queued(entries int, bytes int64) {
	if e.Queued != nil {
		e.Queued(entries, bytes)
	}
}

func (e Events) appended(entries, duplicates int, took time.Duration) {
	if e.Appended != nil {
		e.Appended(entries, duplicates, took)
	}
}

func (e Events) published(size, entries int64, took time.Duration) {
	if e.Published != nil {
		e.Published(size, entries, took)
	}
}

func (e Events) followed(size int64) {
	if e.Followed != nil {
		e.Followed(size)
	}
}

func (e Events) refused(bytes int, err error) {
	if e.Refused != nil {
		e.Refused(bytes, err)
	}
}

func (e Events) retrying(what string, err error) {
	if e.Retrying != nil {
		e.Retrying(what, err)
	}
}

func (e Events) failing(what string, err error) {
	if e.Failing != nil {
		e.Failing(what, err)
	}
}

func (e Events) scrubbed(s ScrubState) {
	if e.Scrubbed != nil {
		e.Scrubbed(s)
	}
}

func (e Events) mended(path string, err error) {
	if e.Mended != nil {
		e.Mended(path, err)
	}
}

func (e Events) damaged(parts int, err error) {
	if e.Damaged != nil {
		e.Damaged(parts, err)
	}
}

func (e Events) poisoned(reason string) {
	if e.Poisoned != nil {
		e.Poisoned(reason)
	}
}
