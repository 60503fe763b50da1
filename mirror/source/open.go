package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"indelible/checkpoint"
	"indelible/client"
)

// Formats are the formats that Open knows.
func Formats() []Format { return []Format{Tiles, SumDB, StaticCT, RekorV1} }

// Open reads a log of a format. The empty format is found out: from the keys, or by
// asking for the paths that only one format has.
func Open(ctx context.Context, format Format, cfg Config) (Log, error) {
	if format == "" {
		var err error
		if format, err = probe(ctx, cfg); err != nil {
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

// probe finds out the format of a log.
func probe(ctx context.Context, cfg Config) (Format, error) {
	ofCT := func(k checkpoint.Verifier) bool { return k.Algorithm() == checkpoint.RFC6962 }
	if slices.ContainsFunc(cfg.Client.Keys, ofCT) {
		return StaticCT, nil
	}
	from, err := newPrefixes(cfg)
	if err != nil {
		return "", err
	}
	var missing []error
	for _, p := range []struct {
		path, begins string
		format       Format
	}{{"checkpoint", "", Tiles}, {"latest", SumDBOrigin + "\n", SumDB}, {"api/v1/log", "{", RekorV1}} {
		data, err := from.fetch(ctx, "format", p.path, maxLogInfo, -1, nil)
		switch {
		case err == nil && bytes.HasPrefix(bytes.TrimSpace(data), []byte(p.begins)):
			return p.format, nil
		case err != nil && !errors.Is(err, client.ErrNotFound):
			return "", err
		}
		missing = append(missing, err)
	}
	return "", fmt.Errorf("no log of a known format is there (%q): %w", Formats(), errors.Join(missing...))
}
