package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"indelible/checkpoint"
	"indelible/internal/tiledir"
	"indelible/mirror"
	"indelible/mirror/push"
	"indelible/mirror/source"
)

// pushFlags are the flags of logcli mirror push.
type pushFlags struct {
	origin, mirrorKey string
	compress          bool
}

func (p *program) mirrorPushCommand() *cobra.Command {
	var f pushFlags
	cmd := &cobra.Command{
		Use: "push DIR|SOURCE TARGET", Short: "Push a log to a mirror", Args: args(cobra.ExactArgs(2)),
		Long: "Push a log to the mirror at the URL TARGET (C2SP tlog-mirror): a copy in DIR, or\n" +
			"the log at the URL SOURCE. The mirror says what it lacks, proves each block of\n" +
			"256 entries before it stores it, and cosigns the checkpoint in the end. What it\n" +
			"has stored when a push is interrupted need not be sent again.",
		Example: "  logcli mirror push mirror https://mirror.example.com\n" +
			"  logcli mirror push https://log.example.com https://mirror.example.com",
		RunE: func(cmd *cobra.Command, a []string) error { return p.mirrorPush(cmd.Context(), a[0], a[1], f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.origin, "origin", "", "which of several copies in DIR: the log's `NAME`")
	fl.StringVar(&f.mirrorKey, "mirror-key", "", "the mirror's key, by which its cosignatures are verified: `VKEY|FILE`")
	fl.BoolVar(&f.compress, "compress", true, "compress what is sent")
	return cmd
}

func (p *program) mirrorPush(ctx context.Context, from, target string, f pushFlags) error {
	var by []checkpoint.Verifier
	if f.mirrorKey != "" {
		var err error
		if by, err = readKeys(f.mirrorKey); err != nil {
			return err
		}
	}
	opened, tiles, err := p.pushed(ctx, from, f.origin)
	if err != nil {
		return err
	}
	show := p.mirrorProgress()
	c, err := push.NewClient(push.ClientConfig{
		URL: target, Plain: !f.compress, Progress: func(have, total int64) { show.set(mirror.Progress{Done: have, Size: total}) },
		Retrying: func(err error, wait time.Duration) {
			show.clear()
			p.say("%v; it is asked again in %s", err, wait.Round(time.Millisecond))
		},
	})
	if err != nil {
		return usage(err)
	}
	tree := push.TreeOf(tiles, opened.Size)
	if err := c.AddCheckpoint(ctx, opened.Note, opened.Size, tree); err != nil {
		return err
	}
	lines, err := c.AddEntries(ctx, opened.Origin, opened.Size, opened.Size, tree)
	show.clear()
	if err != nil {
		return err
	}
	return p.printPushed(opened, lines, by)
}

// pushed is the newest checkpoint of what is pushed, and where it is read.
func (p *program) pushed(ctx context.Context, from, origin string) (checkpoint.Opened, push.Tiles, error) {
	if strings.HasPrefix(from, "http://") || strings.HasPrefix(from, "https://") {
		p.url, p.urls = from, []string{from}
		c, err := p.reader(ctx)
		if err != nil {
			return checkpoint.Opened{}, nil, err
		}
		opened, err := c.Checkpoint(ctx)
		return opened, c, err
	}
	if err := folderOfCopies(from); err != nil {
		return checkpoint.Opened{}, nil, err
	}
	info, err := oneCopy(from, origin)
	if err != nil {
		return checkpoint.Opened{}, nil, err
	}
	keys, _, err := p.givenLogs()
	if err != nil {
		return checkpoint.Opened{}, nil, err
	}
	if len(keys) == 0 {
		keys = info.Keys
	}
	opened, err := checkpoint.OpenExtended(info.Origin, info.Head.Note, keys)
	if err != nil {
		err = unverified(fmt.Errorf("the checkpoint of the copy %s: %w", info.Path, err))
	}
	return opened, tiledir.Directory(info.Path), err
}

// oneCopy is the copy in a directory that is meant.
func oneCopy(dir, origin string) (mirror.Info, error) {
	copies, err := mirror.Copies(dir)
	if err != nil {
		return mirror.Info{}, err
	}
	var names []string
	var found []mirror.Info
	for _, c := range copies {
		names = append(names, fmt.Sprintf("%q", c.Origin))
		if origin == "" || c.Origin == origin {
			found = append(found, c)
		}
	}
	switch {
	case len(copies) == 0:
		return mirror.Info{}, usagef("there is no copy in %q: make one with logcli mirror SOURCE DIR", dir)
	case len(found) != 1:
		return mirror.Info{}, usagef("there are copies of %s in %q: say which with --origin NAME", strings.Join(names, ", "), dir)
	case found[0].Format != source.Tiles:
		return mirror.Info{}, usagef("the copy of %q is in the format %s, and only entry bundles can be pushed", found[0].Origin, found[0].Format)
	case len(found[0].Head.Note) == 0:
		return mirror.Info{}, errors.New("the copy has no checkpoint yet: finish it with logcli mirror SOURCE DIR")
	}
	return found[0], nil
}

// pushedTo is what push prints.
type pushedTo struct {
	Origin       string `json:"origin"`
	TreeSize     int64  `json:"treeSize"`
	Verified     bool   `json:"verified"` // by --mirror-key
	Cosignatures string `json:"cosignatures"`
}

func (p *program) printPushed(o checkpoint.Opened, lines []checkpoint.Signature, by []checkpoint.Verifier) error {
	verified := false
	for _, s := range lines {
		for _, k := range by {
			if s.Name == k.Name() && s.KeyID == k.KeyHash() {
				if !k.Verify(o.Text(), s.Blob) {
					return unverified(fmt.Errorf("the mirror's cosignature by %s does not verify", k.Name()))
				}
				verified = true
			}
		}
	}
	says := "Nobody verified these cosignatures: give the mirror's vkey with --mirror-key."
	switch {
	case verified:
		says = "The mirror's cosignature verifies."
	case len(by) > 0:
		return unverified(errors.New("the mirror's answer has no cosignature by --mirror-key"))
	}
	text := string(checkpoint.MarshalSignatures(lines))
	return p.print(pushedTo{o.Origin, o.Size, verified, text}, "The mirror has all %d entries of %s. %s\n%s", o.Size, oneLine(o.Origin), says, harmless(text))
}
