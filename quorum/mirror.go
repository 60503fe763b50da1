package quorum

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"indelible/checkpoint"
	"indelible/mirror/push"
)

const (
	// mirrorPatience is how many times as long as a witness a mirror may take for an
	// answer: it may have much to fetch up. What it stored until then is kept.
	mirrorPatience = 20
	// unknown stands for the first entry that a mirror lacks, before it said so.
	unknown = math.MaxInt64
)

// newMirrors makes a client for each witness that is a mirror.
func (w *Witnesses) newMirrors() error {
	for _, name := range w.cfg.Mirrors {
		at := slices.IndexFunc(w.lanes, func(l *lane) bool { return l.witness.Name == name })
		if at < 0 {
			return fmt.Errorf("the mirror %q is not a witness of the policy with a URL", name)
		}
		l := w.lanes[at]
		var err error
		if l.mirror, err = push.NewClient(push.ClientConfig{URL: l.witness.URL, HTTP: w.cfg.Client, UserAgent: userAgent, Tries: 1}); err != nil {
			return err
		}
		l.lacks = unknown
	}
	return nil
}

// upload brings a mirror everything that it lacks of a checkpoint that is pending
// there. It cosigns what it has completely.
func (l *lane) upload(ctx context.Context, r *round) ([]checkpoint.Signature, error) {
	lacks := l.lacks
	l.size, l.lacks = r.opened.Size, unknown
	all, err := l.mirror.AddEntries(ctx, r.opened.Origin, lacks, r.opened.Size, r.tree)
	ahead, status := (*push.AheadError)(nil), (*push.StatusError)(nil)
	switch {
	case errors.As(err, &ahead):
		return nil, fmt.Errorf("%w size %d already; most likely another replica published", errAhead, ahead.Size)
	case errors.As(err, &status) && status.RetryAfter() > 0:
		l.leaveAlone(min(status.RetryAfter(), maxRetryAfter))
	}
	if err != nil {
		return nil, fmt.Errorf("send it the entries: %w", err)
	}
	signatures, err := l.own(r, all)
	if err == nil {
		l.lacks = r.opened.Size
	}
	return signatures, err
}
