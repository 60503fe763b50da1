package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"indelible/client"
	"indelible/entry"
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
		Long: "Find the entries that say something: one of the flags says what. Each is proven\n" +
			"to be in the log.\n\n" +
			"Of a statement about an artifact only a digest is kept, so it is found by its\n" +
			"--bundle, its --envelope or its --payload, each a file, and by its signer, but\n" +
			"not by the artifact.\n\n" +
			"That none is missing is the log's word, up to the size that it names. With\n" +
			"--verify that is proven too: every entry of the log is fetched, and looked\n" +
			"through here. Then --timeout does not apply. Exit code 1 means that the search\n" +
			"left something out, or found what is not there.",
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
		{entry.BySubject, "subject", "who signed: the e-mail address, DNS name or URI in the certificate: `NAME`"},
		{entry.ByIssuer, "issuer", "who vouched for the signer: the OIDC issuer in the certificate: `URL`"},
		{entry.ByPayload, "payload", "the payload of a DSSE envelope, such as an in-toto statement: `FILE|sha256:HEX`"},
		{entry.ByEnvelope, "envelope", "a DSSE envelope; by its digest only as it was sent to Rekor v1's API: `FILE|sha256:HEX`"},
	} {
		flags.by[c.by] = f.String(c.flag, "", c.usage)
	}
	f.StringVar(&flags.bundle, "bundle", "", "what was signed, by its Sigstore bundle: `FILE`")
	f.IntVar(&flags.limit, "limit", 100, "the most entries to print; 0: all")
	f.BoolVar(&flags.verify, "verify", false, "look through the whole log, to prove that none is missing")
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
	s := &searching{p: p, keys: wanted, limit: flags.limit, seen: map[int64]bool{}}
	if flags.verify {
		c, err := p.reader(ctx)
		if err != nil {
			return err
		}
		return s.verified(ctx, c)
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
	data, err := os.ReadFile(file)
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

// foundEntry is an entry as it is printed.
type foundEntry struct {
	Index        int64      `json:"index"`
	Kind         entry.Kind `json:"kind"`
	LeafHash     []byte     `json:"leafHash"`
	IntegratedAt string     `json:"integratedAt"`
	Canonical    []byte     `json:"canonical"`
}

// searching is a search at work.
type searching struct {
	p     *program
	keys  []entry.IndexKey // an entry with any of them is a hit
	limit int

	answer searchAnswer
	seen   map[int64]bool        // hits that were checked: one may have several of the keys
	found  map[int64]merkle.Hash // leaf hashes of all hits, where they are verified
}

// searchAnswer is what is printed.
type searchAnswer struct {
	Origin     string       `json:"origin"`
	Entries    []foundEntry `json:"entries"`
	More       bool         `json:"more"`       // than the limit
	CompleteTo int64        `json:"completeTo"` // all entries below it were searched
	TreeSize   int64        `json:"treeSize"`
	Verified   bool         `json:"verified"` // none below completeTo is missing
}

// proven prints what is found, each entry proven to be in the log.
func (s *searching) proven(ctx context.Context, c *client.Client) error {
	o, err := c.Checkpoint(ctx)
	if err != nil {
		return err
	}
	err = s.ask(ctx, c, func(hits []client.Hit) error {
		_, err := c.Prove(ctx, hits)
		return err
	})
	if err != nil {
		return err
	}
	s.answer.Origin = o.Origin
	return s.print()
}

// ask searches for each key, and has the hits of each page checked. It stops at
// the limit, unless all hits are to be verified.
func (s *searching) ask(ctx context.Context, c *client.Client, check func([]client.Hit) error) error {
	for i, key := range s.keys {
		completeTo := int64(0)
		for page, err := range c.Search(ctx, client.Query{By: string(key.By), Value: key.Value}) {
			if err != nil {
				return searchRefused(err)
			}
			if err := s.checkKeys(key, page.Hits); err != nil {
				return err
			}
			completeTo = page.CompleteTo
			s.answer.TreeSize = max(s.answer.TreeSize, page.TreeSize)
			hits := s.unseen(page.Hits)
			if s.found == nil {
				hits = hits[:s.room(len(hits))]
			}
			if len(hits) > 0 {
				if err := check(hits); err != nil {
					return err
				}
			}
			s.keep(hits)
			if s.found == nil && s.answer.More {
				break
			}
		}
		if i == 0 || completeTo < s.answer.CompleteTo {
			s.answer.CompleteTo = completeTo
		}
	}
	slices.SortFunc(s.answer.Entries, func(a, b foundEntry) int { return cmp.Compare(a.Index, b.Index) })
	return nil
}

// searchRefused says what a log without search answers.
func searchRefused(err error) error {
	var status *client.StatusError
	if errors.As(err, &status) && (status.Status == 404 || status.Status == 501) {
		return fmt.Errorf("this log has no search: %w", err)
	}
	return err
}

// checkKeys checks that the hits are what was asked for.
func (s *searching) checkKeys(key entry.IndexKey, hits []client.Hit) error {
	for _, h := range hits {
		if has, err := entry.IndexKeys(h.Canonical); err != nil || !slices.Contains(has, key) {
			return unverified(fmt.Errorf("the log found entry %d, which is not what was asked for: it does not have %s %s", h.Index, key.By, key.Value))
		}
	}
	return nil
}

// unseen are the hits that no other key had.
func (s *searching) unseen(hits []client.Hit) (fresh []client.Hit) {
	for _, h := range hits {
		if !s.seen[h.Index] {
			s.seen[h.Index] = true
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

func (s *searching) keep(hits []client.Hit) {
	if s.found != nil {
		for _, h := range hits {
			s.found[h.Index] = h.LeafHash
		}
	}
	for _, h := range hits[:s.room(len(hits))] {
		kind, _ := entry.KindOf(h.Canonical)
		e := foundEntry{
			Index: h.Index, Kind: kind, LeafHash: h.LeafHash[:], Canonical: h.Canonical,
			IntegratedAt: time.UnixMilli(h.IntegratedAt).UTC().Format(time.RFC3339),
		}
		s.answer.Entries = append(s.answer.Entries, e)
	}
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
		w := tabwriter.NewWriter(s.p.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "INDEX\tKIND\tLOGGED AT (the log's word)\tLEAF HASH\n")
		for _, e := range a.Entries {
			fmt.Fprintf(w, "%d\t%s\t%s\t%x\n", e.Index, e.Kind, e.IntegratedAt, e.LeafHash)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(s.p.stdout)
	}
	_, err := fmt.Fprintln(s.p.stdout, harmless(a.summary()))
	return err
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
	if a.More {
		found += "; there are more (--limit 0 prints all)"
	}
	complete := fmt.Sprintf("Complete up to %d of %d entries", a.CompleteTo, a.TreeSize)
	if a.Verified {
		return found + ".\n" + complete + ", proven."
	}
	return found + ".\n" + complete + ": the log's word (--verify proves it)."
}
