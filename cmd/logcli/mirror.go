package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/internal/progress"
	"indelible/internal/redact"
	"indelible/internal/words"
	"indelible/mirror"
	"indelible/mirror/source"
)

// mirrorFlags are the flags of logcli mirror.
type mirrorFlags struct {
	format, origin, contact string
	rate                    float64
	parallel, memory        int
	follow, dryRun          bool
	poll, staleAfter        time.Duration
}

func (f *mirrorFlags) check() error {
	switch {
	case f.rate < 0:
		return usagef("--rate %g: it is 0 (no limit) or more requests a second", f.rate)
	case f.parallel < 1 || f.parallel > 256:
		return usagef("--parallel %d: it is 1 to 256", f.parallel)
	case f.memory < 1 || f.memory > 1<<20:
		return usagef("--memory %d: it is 1 to %d (MiB)", f.memory, 1<<20)
	case f.poll <= 0 || f.staleAfter <= 0:
		return usagef("--poll and --stale-after are over 0, as in 1m")
	case f.follow && f.dryRun:
		return usagef("give one of --follow and --dry-run")
	}
	return nil
}

func (p *program) mirrorCommand() *cobra.Command {
	var f mirrorFlags
	cmd := &cobra.Command{
		Use:   "mirror SOURCE [SOURCE…] DIR",
		Short: "Keep a verified copy of a log",
		Long: "Keep a verified copy of the log at the URL SOURCE in DIR. Several SOURCEs are\n" +
			"places that serve the same log: requests are spread over them.\n\n" +
			"The newest checkpoint is proven to extend the one before, each block of 256\n" +
			"entries is verified as it arrives, and nothing that does not verify is stored.\n" +
			"The copy goes on where it was when the command was interrupted. Any web server\n" +
			"can serve it: it has the layout of C2SP tlog-tiles, below DIR/<hex\n" +
			"SHA-256(origin)>. --timeout does not apply, and --stall-timeout does.\n\n" +
			"Exit codes: 0 the copy has the newest checkpoint; 1 the log contradicts what it\n" +
			"signed (it forked, it shrank, or it served something that is not in its tree):\n" +
			"evidence is in DIR if any can be made; 2 wrong usage; 3 the log could not be\n" +
			"asked, serves an older checkpoint than before, or DIR cannot be written.",
		Example: "  logcli mirror https://log.example.com mirror --log-key log.vkey\n" +
			"  logcli mirror https://log.example.com mirror --follow",
		Args: args(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, a []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if err := folderOfCopies(a[len(a)-1]); err != nil {
				return err
			}
			return p.mirror(cmd.Context(), a[:len(a)-1], a[len(a)-1], f)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.format, "format", "", "tlog-tiles, sumdb, static-ct or rekor-v1 (default: found out)")
	fl.StringVar(&f.origin, "origin", "", "the log's `NAME`, if its key has another")
	fl.StringVar(&f.contact, "contact", "", "an e-mail address or URL for the log's operator to reach you, sent with each request")
	fl.Float64Var(&f.rate, "rate", 10, "maximum requests a second; 0: no limit")
	fl.IntVar(&f.parallel, "parallel", 8, "maximum requests at the same time")
	fl.IntVar(&f.memory, "memory", 32, "maximum `MiB` of entries that are fetched at the same time")
	fl.BoolVar(&f.follow, "follow", false, "go on when the copy is complete, until interrupted")
	fl.BoolVar(&f.dryRun, "dry-run", false, "print how many requests, bytes and hours it takes, and store nothing")
	fl.DurationVar(&f.poll, "poll", time.Minute, "with --follow: time between two looks at the log")
	fl.DurationVar(&f.staleAfter, "stale-after", 10*time.Minute, "with --follow: how long the log may serve an older checkpoint than before")
	cmd.AddCommand(p.mirrorVerifyCommand(), p.mirrorServeCommand(), p.mirrorPushCommand())
	return cmd
}

// folderOfCopies refuses a file in the place of the directory that copies are in.
func folderOfCopies(dir string) error {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return usagef("%q is a file: name the directory that the copies of logs are in", dir)
	}
	return nil
}

func (p *program) mirror(ctx context.Context, urls []string, dir string, f mirrorFlags) error {
	pace := mirror.NewPace(f.rate)
	log, keys, err := p.source(ctx, urls, dir, f, pace)
	if err != nil {
		return err
	}
	if f.dryRun {
		return p.estimate(ctx, log, dir, f.rate)
	}
	c, err := mirror.Open(mirror.Config{Dir: dir, Origin: log.Origin(), Format: log.Format(), URLs: shownURLs(urls), Keys: keys})
	if err != nil {
		return err
	}
	defer c.Close()
	// What is freed is to be used again before more is asked for.
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(int64(f.memory+80) << 20))
	show := p.mirrorProgress()
	report, err := mirror.Run(ctx, c, log, mirror.Options{
		Keys: keys, Parallel: f.parallel, Memory: int64(f.memory) << 20, Follow: f.follow, Poll: f.poll, StaleAfter: f.staleAfter,
		Progress: show.set, Event: func(text string) { show.clear(); p.say("logcli: %s", text) },
	})
	show.clear()
	if err != nil {
		return err
	}
	return p.printMirror(report, c.Path())
}

// source is the log at some URLs, with the keys that are trusted.
func (p *program) source(ctx context.Context, urls []string, dir string, f mirrorFlags, pace *mirror.Pace) (source.Log, []checkpoint.Verifier, error) {
	p.url, p.urls = urls[0], urls // for messages
	keys, policy, err := p.givenLogs()
	if err != nil {
		return nil, nil, err
	}
	if len(keys) == 0 && policy == nil {
		if keys, err = p.copiedKeys(urls, dir); err != nil {
			return nil, nil, err
		}
	}
	agent := "indelible-mirror"
	if f.contact != "" {
		agent += " (" + f.contact + ")"
	}
	cfg := source.Config{URLs: urls, Origin: f.origin, Client: client.Config{
		Policy: policy, Tries: mirrorTries, Stall: p.stall, FollowRedirects: p.redirects, UserAgent: agent,
		MaxWait: time.Hour, Before: pace.Wait, Retrying: pace.Retrying,
	}}
	if len(keys) == 0 && policy == nil {
		if keys, err = p.pinnedOf(ctx, cfg); err != nil {
			return nil, nil, err
		}
	}
	cfg.Client.Keys = keys
	log, err := source.Open(ctx, source.Format(f.format), cfg)
	return log, keys, err
}

// pinnedOf are the keys that are remembered of the log that is there. The log says its
// name; what counts is the keys that are remembered under it.
func (p *program) pinnedOf(ctx context.Context, cfg source.Config) ([]checkpoint.Verifier, error) {
	origin := cfg.Origin
	if origin == "" {
		var err error
		if _, origin, err = source.Find(ctx, cfg); err != nil {
			return nil, err
		}
	}
	list, _, err := p.pinned(origin)
	if err == nil && len(list) == 0 {
		err = usagef("no key of the log %q is known: give --log-key VKEY|FILE or --policy FILE, or let it be remembered by logcli trust add", origin)
	}
	return list, err
}

// mirrorTries is how often a log is asked the same: that takes about a minute.
const mirrorTries = 8

// shownURLs are URLs without secrets, as a copy remembers them: its directory is
// served, copied and backed up.
func shownURLs(urls []string) []string {
	shown := make([]string, len(urls))
	for i, u := range urls {
		shown[i] = redact.URL(u)
	}
	return shown
}

// copiedKeys are the keys of the copy that was made from these URLs.
func (p *program) copiedKeys(urls []string, dir string) ([]checkpoint.Verifier, error) {
	copies, err := mirror.Copies(dir)
	if err != nil {
		return nil, err
	}
	for _, c := range copies {
		for _, u := range c.URLs {
			if strings.TrimRight(u, "/") == strings.TrimRight(shownURLs(urls)[0], "/") {
				return c.Keys, nil
			}
		}
	}
	return nil, nil
}

func (p *program) estimate(ctx context.Context, log source.Log, dir string, rate float64) error {
	info, err := mirror.Find(dir, log.Origin())
	if err != nil && !errors.Is(err, mirror.ErrNoCopy) {
		return err
	}
	e, err := mirror.NewEstimate(ctx, log, info.Next)
	if err != nil {
		return err
	}
	hours, at := 0.0, "without a limit of requests (--rate 0)"
	if rate > 0 {
		hours = e.Hours(rate)
		at = fmt.Sprintf("%.1f hours at %g requests a second (--rate)", hours, rate)
	}
	return p.print(struct {
		mirror.Estimate
		Hours float64 `json:"hours"`
	}{e, hours}, "Log %s has %s. The copy in %s lacks %d of them:\n%s, %s to fetch, %s on disk, %s.\nNothing was stored (--dry-run).\n",
		oneLine(e.Origin), words.Count(e.Size, "entry"), oneLine(dir), e.Entries, words.Count(e.Requests, "request"), size(e.Bytes), size(e.Disk), at)
}

// size is a number of bytes as people write it.
func size(n int64) string {
	for _, u := range []struct {
		name string
		of   int64
	}{{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if n >= u.of {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.of), u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

func (p *program) printMirror(r mirror.Report, path string) error {
	more := ""
	if r.WideCount > 0 {
		more = fmt.Sprintf("%d blocks have entries that no bundle can hold; they are in tile/entries32.\n", r.WideCount)
	}
	return p.print(struct {
		mirror.Report
		Path string `json:"path"`
	}{r, path}, "Log %s: the copy has all entries (%d), verified; %d of them (%s) are new.\nIt is in %s.\n%s",
		oneLine(r.Origin), r.Size, r.Fetched, size(r.Bytes), oneLine(path), more)
}

// mirrorProgress shows how far a copy has come: a bar on a terminal, and a line now and
// then elsewhere.
type mirrorProgress struct {
	p     *program
	bar   *progress.Bar
	began time.Time
	first int64
	said  time.Time
}

// lineEvery is how often a line of progress is written.
const lineEvery = 10 * time.Second

func (p *program) mirrorProgress() *mirrorProgress {
	m := &mirrorProgress{p: p}
	if f, ok := p.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) && p.output == "text" {
		m.bar = progress.New(f, "mirroring")
	}
	return m
}

func (m *mirrorProgress) set(at mirror.Progress) {
	now := time.Now()
	if m.began.IsZero() || at.Done <= m.first {
		m.began, m.first, m.said = now, at.Done, now
	}
	note := pacing(at, float64(at.Done-m.first)/max(now.Sub(m.began).Seconds(), 1e-9))
	if m.bar != nil {
		m.bar.Note(note)
		m.bar.Set(at.Done, at.Size)
		return
	}
	if now.Sub(m.said) >= lineEvery {
		m.said = now
		m.p.say("logcli: %d of %d entries (%.1f%%), %s", at.Done, at.Size, 100*float64(at.Done)/float64(max(at.Size, 1)), note)
	}
}

// pacing says how fast a copy grows, and when it has all if that goes on.
func pacing(at mirror.Progress, rate float64) string {
	text := fmt.Sprintf("%.0f entries/s", rate)
	left := float64(at.Size - at.Done)
	switch {
	case left <= 0 || rate <= 0:
		return text
	case at.Growth >= rate:
		return fmt.Sprintf("%s; it never catches up: the log grows by %.0f/s", text, at.Growth)
	}
	return fmt.Sprintf("%s, %s left", text, time.Duration(left/(rate-at.Growth)*float64(time.Second)).Round(time.Second))
}

func (m *mirrorProgress) clear() {
	if m.bar != nil {
		m.bar.Set(1, 1)
	}
}
