package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"indelible/checkpoint"
	"indelible/client"
)

// Formats are the formats that Open knows.
func Formats() []Format { return []Format{Tiles, SumDB, StaticCT, RekorV1} }

// Open reads a log of a format. The empty format is found out: from the keys, or by
// asking for the paths that only one format has.
func Open(ctx context.Context, format Format, cfg Config) (Log, error) {
	ofCT := func(k checkpoint.Verifier) bool { return k.Algorithm() == checkpoint.RFC6962 }
	if format == "" && slices.ContainsFunc(cfg.Client.Keys, ofCT) {
		format = StaticCT
	}
	if format == "" {
		var err error
		if format, _, err = Find(ctx, cfg); err != nil {
			return nil, err
		}
	}
	switch format {
	case Tiles:
		return NewTiles(cfg)
	case SumDB:
		return NewSumDB(cfg)
	case StaticCT:
		return NewStaticCT(cfg)
	case RekorV1:
		return NewRekorV1(ctx, cfg)
	}
	return nil, fmt.Errorf("the format %q is unknown; it is one of %q", format, Formats())
}

// Find finds out the format and the name of a log. Nothing vouches for them: the name
// is for looking up which keys are known of that log. The paths of a static CT log
// are found to be those of Tiles; its keys tell which it is.
func Find(ctx context.Context, cfg Config) (Format, string, error) {
	from, err := newPrefixes(cfg)
	if err != nil {
		return "", "", err
	}
	var missing []error
	for _, f := range []struct {
		path   string
		format Format
	}{{"checkpoint", Tiles}, {"latest", SumDB}, {"api/v1/log", RekorV1}} {
		data, err := from.fetch(ctx, "format", f.path, maxLogInfo, -1, nil)
		switch {
		case errors.Is(err, client.ErrNotFound):
			missing = append(missing, err)
			continue
		case err != nil:
			return "", "", err
		case f.format == RekorV1:
			var info logInfo
			if err := json.Unmarshal(data, &info); err != nil {
				return "", "", from.fault("checkpoint", f.path, -1, err, data)
			}
			data = []byte(info.SignedTreeHead)
		}
		note, err := checkpoint.ParseNote(data)
		if err != nil {
			return "", "", from.fault("checkpoint", f.path, -1, err, data)
		}
		name, _, _ := strings.Cut(string(note.Text), "\n")
		return f.format, name, nil
	}
	return "", "", fmt.Errorf("no log of a known format is there (%q): %w", Formats(), errors.Join(missing...))
}
