package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/entry"
	"indelible/internal/words"
	"indelible/keys"
	"indelible/merkle"
)

// searchFlags say what to search for, and how.
type searchFlags struct {
	by     map[entry.IndexBy]*string
	bundle string
	limit  int
	verify bool
}

func (p *program) searchCommand() *cobra.Command {
	flags := searchFlags{by: map[entry.IndexBy]*string{}}
	cmd := &cobra.Command{
		Use: "search", Short: "Find entries by artifact, key or identity", Args: args(cobra.NoArgs),
		Long: "Search the log by artifact, key or identity: give one of the flags. Each entry\n" +
			"that is printed is proven to be in the log.\n\n" +
			"The log keeps only a digest of a statement about an artifact. To find it, give\n" +
			"its signer, or the file of its --bundle, --envelope or --payload; the artifact\n" +
			"does not find it.\n\n" +
			"The log claims, and does not prove, that no entry is missing, up to the size\n" +
			"that it names. --verify proves it: logcli downloads and searches the whole log,\n" +
			"which takes a longer --timeout if the log is large. Exit code 1 means that the\n" +
			"log's search left something out, found what is not there, or is behind the log\n" +
			"by more than a moment. Entries that only --verify found are marked.",
		Example: "  logcli search --artifact release.tar.gz\n  logcli search --bundle release.att.sigstore.json\n  logcli search --subject jane@example.com --verify",
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.search(cmd.Context(), flags) },
	}
	f := cmd.Flags()
	for _, c := range []struct {
		by          entry.IndexBy
		flag, usage string
	}{
		{entry.ByArtifact, "artifact", "what was signed: `FILE|sha256:HEX`"},
		{entry.ByPublicKey, "public-key", "who signed: a file with a public key or certificate, or a fingerprint: `FILE|SHA256:HEX`"},
		{entry.BySubject, "subject", "who signed: the e-mail address, DNS name, URI, IP address or user name in the certificate, whose issuer the log does not check: `NAME`"},
		{entry.ByIssuer, "issuer", "who vouched for the signer: the OIDC issuer in the certificate, which the log does not check: `URL`"},
		{entry.ByPayload, "payload", "the payload of a DSSE envelope, such as an in-toto statement: `FILE|sha256:HEX`"},
		{entry.ByEnvelope, "envelope", "a DSSE envelope; by its digest only as it was sent to Rekor v1's API as a dsse: `FILE|sha256:HEX`"},
	} {
		flags.by[c.by] = f.String(c.flag, "", c.usage)
	}
	f.StringVar(&flags.bundle, "bundle", "", "`FILE` of a Sigstore bundle: finds what it signs")
	f.IntVar(&flags.limit, "limit", 100, "maximum entries to print; 0: all")
	f.BoolVar(&flags.verify, "verify", false, "download the whole log, to prove that no entry is missing")
	return cmd
}

func (p *program) search(ctx context.Context, flags searchFlags) error {
	wanted, err := p.wanted(flags)
	if err != nil {
		return err
	}
	if flags.limit < 0 {
		return usagef("--limit %d: it is 0 or more", flags.limit)
	}
	s := &searching{p: p, keys: wanted, limit: flags.limit}
	if flags.verify {
		return p.asking(ctx, s.verified)
	}
	return p.asking(ctx, s.proven)
}

// wanted is what to search for: an entry with any of the keys is one.
func (p *program) wanted(flags searchFlags) ([]entry.IndexKey, error) {
	var by entry.IndexBy
	given := 0
	for _, b := range entry.IndexedBy() {
		if *flags.by[b] != "" {
			by, given = b, given+1
		}
	}
	if flags.bundle != "" {
		given++
	}
	if given != 1 {
		return nil, usagef("give one of --artifact, --public-key, --subject, --issuer, --payload, --envelope and --bundle")
	}
	if flags.bundle != "" {
		return p.keysOfFile("bundle", flags.bundle, errors.New("a bundle has none"))
	}
	value := *flags.by[by]
	if by == entry.ByPublicKey {
		value = trimFingerprint(value)
	}
	key, err := entry.NewIndexKey(by, value)
	if err == nil {
		return []entry.IndexKey{key}, nil
	}
	if by == entry.ByPublicKey {
		return p.keyInFile(value, err)
	}
	return p.keysOfFile(string(by), value, err)
}

// trimFingerprint is a fingerprint without what logcli prints before it.
func trimFingerprint(s string) string {
	if len(s) > 7 && strings.EqualFold(s[:7], "SHA256:") {
		return s[7:]
	}
	return s
}

// keyInFile is the key in a file, if what was given is no fingerprint for the
// reason given.
func (p *program) keyInFile(file string, reason error) ([]entry.IndexKey, error) {
	data, err := readFile(file, maxKeyFile)
	if err != nil {
		return nil, usagef("--public-key: it is no file that can be read (%w), and no fingerprint: %w", err, reason)
	}
	pub, err := keys.LoadPublic(data)
	if err != nil {
		return nil, usagef("--public-key %s: %w", file, err)
	}
	fp, err := keys.Fingerprint(pub)
	if err != nil {
		return nil, err
	}
	key, err := entry.NewIndexKey(entry.ByPublicKey, trimFingerprint(fp))
	return []entry.IndexKey{key}, err
}

// finder is who found an entry.
type finder string

const (
	bySearch finder = "search" // the log's search
	byAudit  finder = "audit"  // the look through the whole log, alone
)

// foundEntry is an entry as it is printed. A log says when it logged what its
// search found; of what the audit alone found, nobody said it.
type foundEntry struct {
	Index        int64      `json:"index"`
	Kind         entry.Kind `json:"kind"`
	LeafHash     []byte     `json:"leafHash"`
	IntegratedAt string     `json:"integratedAt,omitempty"`
	Canonical    []byte     `json:"canonical"`
	FoundBy      finder     `json:"foundBy"`
}

// searching is a search at work.
type searching struct {
	p      *program
	keys   []entry.IndexKey // an entry with any of them is a hit
	limit  int
	answer searchAnswer
}

// searchAnswer is what is printed.
type searchAnswer struct {
	Origin     string       `json:"origin"`
	Entries    []foundEntry `json:"entries"`
	More       bool         `json:"more"`       // than the limit
	CompleteTo int64        `json:"completeTo"` // all entries below it were searched, the log says
	TreeSize   int64        `json:"treeSize"`   // of the checkpoint that all is proven by
	Verified   bool         `json:"verified"`   // the search found all that the whole log has
	verdict
}

// proven prints what is found, each entry proven to be in the log.
func (s *searching) proven(ctx context.Context, c *client.Client) error {
	at, err := c.Checkpoint(ctx)
	if err != nil {
		return err
	}
	s.answer.Origin, s.answer.TreeSize, s.answer.CompleteTo = at.Origin, at.Size, at.Size
	seen := map[int64]bool{} // one entry may have several of the keys
	for _, key := range s.keys {
		completeTo, err := s.ask(ctx, c, at, key, seen)
		if err != nil {
			return err
		}
		s.answer.CompleteTo = min(s.answer.CompleteTo, completeTo)
	}
	slices.SortFunc(s.answer.Entries, func(a, b foundEntry) int { return cmp.Compare(a.Index, b.Index) })
	return s.print()
}

// ask searches for a key, up to the limit, and proves and keeps what no other
// key had. It returns up to where the search is complete.
func (s *searching) ask(ctx context.Context, c *client.Client, at checkpoint.Opened, key entry.IndexKey, seen map[int64]bool) (completeTo int64, err error) {
	for page, err := range c.Search(ctx, client.Query{By: string(key.By), Value: key.Value}, at) {
		if err != nil {
			return 0, searchRefused(err)
		}
		if err := checkKey(key, page.Hits); err != nil {
			return 0, err
		}
		completeTo = page.CompleteTo
		hits := unseen(page.Hits, seen)
		hits = hits[:s.room(len(hits))]
		if len(hits) > 0 {
			if _, err := c.Prove(ctx, hits, at); err != nil {
				return 0, err
			}
		}
		for _, h := range hits {
			s.keep(h.Index, h.Canonical, &h.IntegratedAt)
		}
		if s.answer.More {
			break
		}
	}
	return completeTo, nil
}

// searchRefused says what a log without search answers.
func searchRefused(err error) error {
	var status *client.StatusError
	if errors.As(err, &status) && (status.Status == 404 || status.Status == 501) {
		return fmt.Errorf("this log has no search: %w", err)
	}
	return err
}

// checkKey checks that the hits are what was asked for.
func checkKey(key entry.IndexKey, hits []client.Hit) error {
	for _, h := range hits {
		if has, err := entry.IndexKeys(h.Canonical); err != nil || !slices.Contains(has, key) {
			return unverified(fmt.Errorf("the log found entry %d, which is not what was asked for: it does not have %s %s", h.Index, key.By, key.Value))
		}
	}
	return nil
}

// unseen are the hits that no other key had.
func unseen(hits []client.Hit, seen map[int64]bool) (fresh []client.Hit) {
	for _, h := range hits {
		if !seen[h.Index] {
			seen[h.Index] = true
			fresh = append(fresh, h)
		}
	}
	return fresh
}

// room is how many of n more entries are printed, and notes if there are more.
func (s *searching) room(n int) int {
	if room := s.limit - len(s.answer.Entries); s.limit > 0 && n > room {
		s.answer.More = true
		return room
	}
	return n
}

// keep takes in an entry, if it is printed. The time, in Unix milliseconds, is
// the search's; without one, the audit alone found it.
func (s *searching) keep(index int64, canonical []byte, at *int64) {
	if s.room(1) == 0 {
		return
	}
	leaf := merkle.LeafHash(canonical)
	kind, _ := entry.KindOf(canonical)
	e := foundEntry{Index: index, Kind: kind, LeafHash: leaf[:], FoundBy: byAudit}
	if s.p.output == "json" {
		e.Canonical = bytes.Clone(canonical) // it lies in a page, which need not stay
	}
	if at != nil {
		e.FoundBy, e.IntegratedAt = bySearch, time.UnixMilli(*at).UTC().Format(time.RFC3339)
	}
	s.answer.Entries = append(s.answer.Entries, e)
}

func (s *searching) print() error {
	a := s.answer
	if a.Entries == nil {
		a.Entries = []foundEntry{}
	}
	if s.p.output == "json" {
		return s.p.print(a, "")
	}
	if len(a.Entries) > 0 {
		if err := a.table(s.p.stdout); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(s.p.stdout, a.summary())
	return err
}

// table lists the entries, and who found them where that was not always the
// search.
func (a searchAnswer) table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	head, alone := "", a.alone() > 0
	if alone {
		head = "\tFOUND BY"
	}
	fmt.Fprintf(w, "INDEX\tKIND\tLOGGED AT (the log's word)\tLEAF HASH%s\n", head)
	for _, e := range a.Entries {
		by := ""
		if alone {
			by = "\t" + string(e.FoundBy)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%x%s\n", e.Index, e.Kind, cmp.Or(e.IntegratedAt, "–"), e.LeafHash, by)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out)
	return err
}

// alone is how many of the printed entries only the audit found.
func (a searchAnswer) alone() (n int) {
	for _, e := range a.Entries {
		if e.FoundBy == byAudit {
			n++
		}
	}
	return n
}

// summary says in words what the answer is worth.
func (a searchAnswer) summary() string {
	found := "No entry found"
	switch n := len(a.Entries); {
	case n == 1:
		found = "1 entry, proven to be in log " + a.Origin
	case n > 1:
		found = fmt.Sprintf("%d entries, proven to be in log %s", n, a.Origin)
	}
	switch n := a.alone(); {
	case n > 0 && n == len(a.Entries):
		found += ", found by the audit alone"
	case n > 0:
		found += fmt.Sprintf("; %d of them found by the audit alone", n)
	}
	if a.More {
		found += "; there are more (--limit 0 prints all)"
	}
	complete := fmt.Sprintf("Complete up to %d of %s", a.CompleteTo, words.Count(a.TreeSize, "entry"))
	switch {
	case a.Verified:
		return found + ".\n" + complete + ", proven."
	case a.Error != "":
		return fmt.Sprintf("%s.\nAll entries (%d) were looked through; the log's search was complete up to %d.", found, a.TreeSize, a.CompleteTo)
	}
	return found + ".\n" + complete + ": the log's word (--verify proves it)."
}
