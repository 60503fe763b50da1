package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/entry"
	"indelible/internal/words"
	"indelible/merkle"
)

func (p *program) listCommand() *cobra.Command {
	var start, limit int64
	cmd := &cobra.Command{
		Use: "list", Short: "List entries, and verify that they are in the log", Args: args(cobra.NoArgs),
		Long: "List the log's entries in their order, from --start on.\n\n" +
			"Verified: the checkpoint's signature, and that each entry is in its tree, with\n" +
			"these bytes and at this index. Not verified: the times, which are the log's\n" +
			"word; the signatures in the entries, which logcli verify checks with the file;\n" +
			"and what certificates say of their owners.",
		Example: "  logcli list\n  logcli list --start -10      the last ten\n  logcli list --start 5000 --limit 1000 -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return usagef("--limit %d: it is 0 or more", limit)
			}
			return p.asking(cmd.Context(), func(ctx context.Context, c *client.Client) error { return p.list(ctx, c, start, limit) })
		},
	}
	cmd.Flags().Int64Var(&start, "start", 0, "index of the first entry, `N`; a negative N counts from the end")
	cmd.Flags().Int64Var(&limit, "limit", 100, "maximum entries to list, `N`; 0: all")
	return cmd
}

// listed is an entry as it is listed.
type listed struct {
	Index        int64      `json:"index"`
	IntegratedAt string     `json:"integratedAt,omitempty"`
	Kind         entry.Kind `json:"kind"`
	Signers      []signedBy `json:"signers"`
	Digest       string     `json:"digest,omitempty"` // of the artifact, or of the envelope's payload
	LeafHash     []byte     `json:"leafHash"`
}

// list prints the entries as they come, page by page, all in the tree of one
// checkpoint.
func (p *program) list(ctx context.Context, c *client.Client, start, limit int64) error {
	at, err := c.Checkpoint(ctx)
	if err != nil {
		return err
	}
	if start < 0 {
		start = max(at.Size+start, 0)
	}
	end := at.Size
	if limit > 0 {
		end = start + min(limit, max(at.Size-start, 0))
	}
	out := listing{p: p, at: at.Checkpoint, start: start, next: start, end: end}
	for out.next < end && err == nil {
		// A page ends where a tile does, so that each tile is fetched once.
		most := min(end-out.next, merkle.TileWidth-out.next%merkle.TileWidth)
		var page []client.Logged
		if page, err = c.ListAt(ctx, out.next, most, at); err == nil {
			err = out.rows(page)
		}
	}
	return out.finish(err)
}

// listing is a list that is being printed.
type listing struct {
	p                *program
	at               checkpoint.Checkpoint
	start, next, end int64
}

func (l *listing) rows(page []client.Logged) error {
	if len(page) == 0 {
		return fmt.Errorf("the log lists nothing from entry %d on, and its checkpoint has size %d: ask again later", l.next, l.at.Size)
	}
	for _, e := range page {
		row, err := listedOf(e)
		if err == nil {
			err = l.row(row)
		}
		if err != nil {
			return err
		}
		l.next++
	}
	return nil
}

func listedOf(e client.Logged) (row listed, err error) {
	row = listed{
		Index: e.Index, Kind: entry.KindRaw, Signers: []signedBy{}, LeafHash: e.LeafHash[:],
		IntegratedAt: integratedAt(e),
	}
	parsed, err := entry.Parse(e.Canonical)
	if err != nil {
		return row, nil // of a kind that is not known here
	}
	row.Kind, row.Digest = parsed.Kind, digestOf(e.Canonical)
	row.Signers, err = signersOf(parsed)
	return row, err
}

// digestOf is the digest of what an entry is of; empty if it says none.
func digestOf(canonical []byte) (digest string) {
	said, err := entry.IndexKeys(canonical)
	if err != nil {
		return ""
	}
	for _, k := range said {
		if k.By == entry.ByArtifact || k.By == entry.ByPayload && digest == "" {
			digest = k.Value
		}
	}
	return digest
}

// row prints an entry. JSON is written piece by piece, so that a long list
// takes no memory: {"origin":…,"treeSize":…,"entries":[…],"next":…}.
func (l *listing) row(row listed) error {
	if l.p.output == "json" {
		data, err := json.Marshal(row)
		if err == nil {
			_, err = fmt.Fprintf(l.p.stdout, "%s%s", l.opening(), data)
		}
		return err
	}
	if l.next == l.start {
		if err := l.line("INDEX", "LOGGED AT (UTC)", "KIND", "SIGNED BY", "DIGEST"); err != nil {
			return err
		}
	}
	at := cmp.Or(strings.NewReplacer("T", " ", "Z", "").Replace(row.IntegratedAt), "–")
	return l.line(strconv.FormatInt(row.Index, 10), at, string(row.Kind), shortSigners(row.Signers), shortDigest(row.Digest))
}

// opening is what comes before an entry's JSON.
func (l *listing) opening() string {
	if l.next > l.start {
		return ","
	}
	origin, _ := json.Marshal(l.at.Origin)
	return fmt.Sprintf(`{"origin":%s,"treeSize":%d,"entries":[`, origin, l.at.Size)
}

// line writes a line of 80 columns; of more only where an index has over 12
// digits.
func (l *listing) line(index, at, kind, signer, digest string) error {
	wide := max(len(strconv.FormatInt(l.end-1, 10)), len("INDEX"))
	room := max(29-wide, 16)
	_, err := fmt.Fprintf(l.p.stdout, "%*s  %-19s  %-12s  %-*s  %s\n", wide, index, at, kind, room, shortened(oneLine(signer), room), digest)
	return err
}

// finish ends the list, with the reason where it ended early.
func (l *listing) finish(err error) error {
	if l.p.output == "json" {
		return l.finishJSON(err)
	}
	if err != nil {
		return err
	}
	if l.next == l.start {
		return l.p.print(nil, "Log %s has %s; number %d is beyond them.\n", l.at.Origin, words.Count(l.at.Size, "entry"), l.start)
	}
	more := ""
	if l.next < l.at.Size {
		more = fmt.Sprintf(" More with --start %d.", l.next)
	}
	return l.p.print(nil, "\nEntries %d to %d of %d, proven to be in log %s.%s\n", l.start, l.next-1, l.at.Size, l.at.Origin, more)
}

func (l *listing) finishJSON(err error) error {
	opening := ""
	if l.next == l.start {
		opening = l.opening()
	}
	if err == nil {
		_, err = fmt.Fprintf(l.p.stdout, "%s],\"next\":%d}\n", opening, l.next)
		return err
	}
	why, _ := json.Marshal(err.Error())
	fmt.Fprintf(l.p.stdout, "%s],\"next\":%d,\"error\":%s,\"exit\":%d}\n", opening, l.next, why, code(err))
	return reported{err}
}

// shortSigners names the first signer, and says how many more there are.
func shortSigners(list []signedBy) string {
	if len(list) == 0 {
		return "nobody"
	}
	name := list[0].Identity
	if name == "" {
		name = shortened(list[0].Fingerprint, len("SHA256:")+12)
	}
	if len(list) > 1 {
		name = fmt.Sprintf("%s +%d", name, len(list)-1)
	}
	return name
}

func shortDigest(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	if hex == "" {
		return "–"
	}
	return hex[:min(len(hex), 12)]
}

// shortened is a text in so many letters, the last of which says that there
// were more.
func shortened(s string, letters int) string {
	if utf8.RuneCountInString(s) <= letters {
		return s
	}
	return string([]rune(s)[:letters-1]) + "…"
}
