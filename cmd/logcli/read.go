package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/entry"
	"indelible/keys"
	"indelible/merkle"
	"indelible/mirror/source"
)

// reader is a client that trusts the log's key as given, or as remembered.
func (p *program) reader(ctx context.Context) (*client.Client, error) {
	logs, policy, err := p.givenLogs()
	if err != nil {
		return nil, err
	}
	cfg := client.Config{Keys: logs, Policy: policy}
	if len(logs) == 0 {
		if cfg.Keys, cfg.Origin, err = p.remembered(ctx); err != nil {
			return nil, err
		}
	}
	c, err := p.client(ctx, p.remembering(cfg))
	if err != nil {
		return nil, usage(err)
	}
	return c, nil
}

// remembered are the keys that are remembered of the log, and its name. The log says
// the name; what counts is the keys that are remembered under it.
func (p *program) remembered(ctx context.Context) (keys []checkpoint.Verifier, origin string, err error) {
	c, err := p.client(ctx, client.Config{})
	if err != nil {
		return nil, "", usage(err)
	}
	hint := "ask its operator for it"
	said, err := c.Keys(ctx)
	if err == nil {
		origin, hint = said[0].Name(), fmt.Sprintf("the log says %s; ask its operator", said[0])
	} else if errors.Is(err, client.ErrNotFound) {
		_, origin, err = source.Find(ctx, p.sourceConfig(ctx, client.Config{}))
	}
	if err != nil {
		return nil, "", err
	}
	keys, file, err := p.pinned(origin)
	if err == nil && len(keys) == 0 {
		err = usagef("no key of log %q is known: give --log-key VKEY|FILE (%s), or let it be remembered, by logcli trust add or your first add", origin, hint)
	}
	if err == nil && len(said) > 0 && !keys[0].Equal(said[0]) {
		p.say("Note: the log says that its key is %s, and %s remembers another.", said[0], file)
	}
	return keys, origin, err
}

// asking runs f with a reader, for as long as --timeout allows.
func (p *program) asking(ctx context.Context, f func(context.Context, *client.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	c, err := p.reader(ctx)
	if err != nil {
		return err
	}
	return f(ctx, c)
}

func (p *program) getCommand() *cobra.Command {
	return &cobra.Command{
		Use: "get INDEX|LEAFHASH", Short: "Fetch an entry, and verify that it is in the log", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			fetch, err := fetcher(a[0])
			if err != nil {
				return err
			}
			return p.asking(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				l, err := fetch(ctx, c)
				if err != nil {
					return err
				}
				return p.printEntry(l)
			})
		},
	}
}

// fetcher returns what finds an entry by what a person typed: an index, or a leaf
// hash in hex or base64.
func fetcher(what string) (func(context.Context, *client.Client) (client.Logged, error), error) {
	if index, ok := parseIndex(what); ok {
		return func(ctx context.Context, c *client.Client) (client.Logged, error) { return c.Get(ctx, index) }, nil
	}
	leaf, err := hex.DecodeString(what)
	if err != nil {
		leaf, err = base64.StdEncoding.DecodeString(what)
	}
	if err != nil || len(leaf) != merkle.HashSize {
		return nil, usagef("%q is neither an index nor a leaf hash (32 bytes in hex or base64)", what)
	}
	return func(ctx context.Context, c *client.Client) (client.Logged, error) {
		return c.Lookup(ctx, merkle.Hash(leaf))
	}, nil
}

// parseIndex reads an entry's index as it is printed: without a sign, and without
// zeros before it.
func parseIndex(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && strconv.FormatInt(n, 10) == s
}

// signedBy is a key that signed an entry; --signer takes the fingerprint.
// Identity is what its certificate says, unchecked; of a bare key it is empty.
type signedBy struct {
	KeyDetails  string `json:"keyDetails"`
	Fingerprint string `json:"fingerprint"`
	Identity    string `json:"identity,omitempty"`
}

func (s signedBy) String() string {
	key := oneLine(s.Fingerprint) + "\n           " + oneLine(s.KeyDetails)
	if s.Identity == "" {
		return key
	}
	return key + "\n           with a certificate of " + oneLine(s.Identity) + " (not checked)"
}

func signersOf(parsed entry.Parsed) ([]signedBy, error) {
	list := []signedBy{}
	for _, s := range parsed.Signers() {
		fp, err := keys.Fingerprint(s.PublicKey)
		if err != nil {
			return nil, err
		}
		by := signedBy{KeyDetails: string(s.KeyDetails), Fingerprint: fp}
		if s.Certificate != nil {
			by.Identity = identities(s.Certificate)
		}
		list = append(list, by)
	}
	return list, nil
}

func (p *program) printEntry(l client.Logged) error {
	kind, signers := entry.KindRaw, []signedBy{}
	if parsed, err := entry.Parse(l.Canonical); err == nil {
		kind = parsed.Kind
		if signers, err = signersOf(parsed); err != nil {
			return err
		}
	}
	who := []string{}
	for _, s := range signers {
		who = append(who, s.String())
	}
	if len(who) == 0 {
		who = []string{"nobody"}
	}
	at, word := integratedAt(l), " (the log's word)"
	if at == "" {
		word = "a time that the log does not say"
	}
	return p.print(map[string]any{
		"index": l.Index, "kind": kind, "leafHash": l.LeafHash[:], "canonical": l.Canonical, "integratedAt": at,
		"treeSize": l.Checkpoint.Size, "origin": l.Checkpoint.Origin, "signers": signers,
	}, "index      %d of %d in log %s (proven)\nkind       %s\nsigned by  %s\nleaf hash  %x\nlogged at  %s%s\n\n%s\n",
		l.Index, l.Checkpoint.Size, oneLine(l.Checkpoint.Origin), kind, strings.Join(who, "\n           "), l.LeafHash, at, word, printable(l.Canonical))
}

// integratedAt is when the log says that an entry was logged; empty if it does not.
func integratedAt(l client.Logged) string {
	if l.IntegratedAt == 0 {
		return ""
	}
	return time.UnixMilli(l.IntegratedAt).UTC().Format(time.RFC3339)
}

// printable shows bytes that a terminal can show, and hex of others.
func printable(b []byte) string {
	for _, c := range string(b) {
		if c == unicode.ReplacementChar || c != '\n' && c != '\t' && !unicode.IsPrint(c) {
			return hex.Dump(b)
		}
	}
	return harmless(string(b))
}

func (p *program) proveCommand() *cobra.Command {
	out := ""
	cmd := &cobra.Command{
		Use: "prove INDEX|FILE", Short: "Fetch a fresh proof of an entry, or of a file that has one", Args: args(cobra.ExactArgs(1)),
		Long: "Fetch a fresh proof, up to the newest checkpoint.\n\n" +
			"INDEX: of that entry; it goes to standard output, or to --out.\nFILE: of the entry in FILE" + proofSuffix + ", which is replaced.",
		RunE: func(cmd *cobra.Command, a []string) error {
			return p.asking(cmd.Context(), func(ctx context.Context, c *client.Client) error { return p.prove(ctx, c, a[0], out) })
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "`FILE` to write the proof to")
	return cmd
}

// proved is what is said of a fresh proof. Text is the proof itself, if it did
// not go to a file.
type proved struct {
	added
	Text string `json:"text,omitempty"`
}

func (p *program) prove(ctx context.Context, c *client.Client, what, out string) error {
	var l client.Logged
	var err error
	if index, ok := parseIndex(what); ok {
		l, err = c.Get(ctx, index)
	} else {
		l, err = reprove(ctx, c, what)
		if out == "" {
			out = what + proofSuffix
		}
	}
	if err != nil {
		return err
	}
	data, err := l.Proof().Marshal()
	if err != nil {
		return err
	}
	a := proved{added: added{File: what, Proof: out, Origin: l.Checkpoint.Origin, Index: l.Index, TreeSize: l.Checkpoint.Size, LeafHash: l.LeafHash[:]}}
	if out == "" {
		a.Text = string(data)
		return p.print(a, "%s", data)
	}
	if err := writeFile(out, data, 0o644); err != nil {
		return err
	}
	return p.print(a, "Entry %d of %d in log %s; proof in %s\n", l.Index, l.Checkpoint.Size, oneLine(l.Checkpoint.Origin), oneLine(out))
}

// reprove asks again for the entry of an old proof.
func reprove(ctx context.Context, c *client.Client, file string) (client.Logged, error) {
	data, err := readLimited(file + proofSuffix)
	if err != nil {
		return client.Logged{}, err
	}
	old, err := checkpoint.ParseProof(data)
	if err != nil {
		return client.Logged{}, unverified(fmt.Errorf("%s: %w", file+proofSuffix, err))
	}
	if !old.HasExtra {
		return client.Logged{}, unverified(fmt.Errorf("%s has no extra line, which carries the logged entry: fetch the proof by the entry's index", file+proofSuffix))
	}
	leaf := merkle.LeafHash(old.Extra)
	l, err := c.Get(ctx, old.Index)
	if err == nil && l.LeafHash == leaf {
		return l, nil
	}
	return c.Lookup(ctx, leaf) // the index in the proof is not that of the entry
}

func (p *program) checkpointCommand() *cobra.Command {
	return &cobra.Command{
		Use: "checkpoint", Short: "Fetch the log's checkpoint, and verify its signature", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.asking(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				o, err := c.Checkpoint(ctx)
				if err != nil {
					return err
				}
				return p.print(map[string]any{"origin": o.Origin, "treeSize": o.Size, "rootHash": o.Root[:], "note": string(o.Note)}, "%s", o.Note)
			})
		},
	}
}

func (p *program) consistencyCommand() *cobra.Command {
	newerFile := ""
	cmd := &cobra.Command{
		Use: "consistency OLD-CHECKPOINT", Short: "Prove that the log has only grown since an older checkpoint", Args: args(cobra.ExactArgs(1)),
		Long: "Prove that the log has only grown since the checkpoint in the file\n" +
			"OLD-CHECKPOINT (as logcli checkpoint prints it). Exit code 1 means that it has\n" +
			"not, or does not prove it.",
		RunE: func(cmd *cobra.Command, a []string) error {
			older, err := readCheckpoint(a[0])
			if err != nil {
				return err
			}
			var newer []byte
			if newerFile != "" {
				if newer, err = readCheckpoint(newerFile); err != nil {
					return err
				}
			}
			return p.asking(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				return p.consistency(ctx, c, noteFile{a[0], older}, noteFile{newerFile, newer})
			})
		},
	}
	cmd.Flags().StringVar(&newerFile, "to", "", "`FILE` with the newer checkpoint (default: the log's newest)")
	return cmd
}

// noteFile is what a file holds.
type noteFile struct {
	file string
	note []byte
}

func (p *program) consistency(ctx context.Context, c *client.Client, olderNote, newerNote noteFile) error {
	older, err := olderNote.open(c)
	if err != nil {
		return err
	}
	newer, err := c.Checkpoint(ctx)
	if err == nil && newerNote.file != "" {
		newer, err = newerNote.open(c)
	}
	if err != nil {
		return err
	}
	if older.Size > newer.Size {
		return unverified(fmt.Errorf("the newer checkpoint has size %d, and the older one %d: it comes from a server or cache that is behind, or the two were mixed up; "+
			"if it stays so, the log was rolled back, and both are evidence\n\n%s\n%s", newer.Size, older.Size, older.Note, newer.Note))
	}
	root, proof, err := c.Prefix(ctx, older.Size, newer.Checkpoint)
	if err != nil {
		return err
	}
	if root != older.Root {
		fork := &source.ForkError{Older: headOf(older), Newer: headOf(newer), Root: root, Proof: proof}
		return p.forked(fork, newer.Origin, older.Verified)
	}
	return p.print(map[string]any{"origin": newer.Origin, "from": older.Size, "to": newer.Size, "hashes": encode(proof), "consistent": true},
		"Log %s has only grown: its tree of size %d is a prefix of that of size %d.\n", newer.Origin, older.Size, newer.Size)
}

func encode(hashes []merkle.Hash) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}

// readCheckpoint reads a file that must look like a checkpoint.
func readCheckpoint(file string) ([]byte, error) {
	data, err := readFile(file, maxProof)
	if err != nil {
		return nil, err
	}
	note, err := checkpoint.ParseNote(data)
	if err == nil {
		_, err = checkpoint.ParseText(note.Text)
	}
	if err != nil {
		return nil, notCheckpoint(file)
	}
	return data, nil
}

// notCheckpoint is no error of what a log answered.
func notCheckpoint(file string) error {
	return &exitError{exitUnasked, fmt.Errorf("%s is no checkpoint, as logcli checkpoint prints them", file)}
}

func (n noteFile) open(c *client.Client) (checkpoint.Opened, error) {
	o, err := c.Open(n.note)
	if errors.Is(err, checkpoint.ErrMalformed) {
		return o, notCheckpoint(n.file)
	}
	if err != nil {
		return o, fmt.Errorf("%s: %w", n.file, err)
	}
	return o, nil
}
