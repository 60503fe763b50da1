package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	rekorpb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"google.golang.org/grpc"

	"indelible/index"
	"indelible/internal/answers"
	"indelible/internal/config"
	"indelible/internal/requestid"
	"indelible/internal/transport"
	translog "indelible/log"
	"indelible/merkle"
	"indelible/server"
	"indelible/server/admission"
	"indelible/server/native"
	"indelible/server/rekorv1"
	"indelible/server/rekorv2"
	"indelible/server/tiles"
	"indelible/server/trustfiles"
	"indelible/trust"
	"indelible/writers/gate"
)

// apis are what the log answers. Those that are turned off are nil.
type apis struct {
	writers   *gate.Gate // nil: everybody may write
	admission *admission.Admission
	native    *native.Service
	static    *tiles.Handler
	rekorV2   *rekorv2.Service
	rekorV1   *rekorv1.Handler
	trust     http.Handler
	answers   *answers.Gate // of what they answer to reads
}

// cachedTiles is the log, whose tiles and bundles are those that are kept.
type cachedTiles struct {
	*translog.Log
	static *tiles.Handler
}

// Tile returns a tile's bytes.
func (c cachedTiles) Tile(ctx context.Context, t merkle.Tile) ([]byte, error) {
	return c.static.Tile(ctx, t)
}

// Bundle returns a bundle's bytes.
func (c cachedTiles) Bundle(ctx context.Context, b merkle.Bundle) ([]byte, error) {
	return c.static.Bundle(ctx, b)
}

func newAPIs(ctx context.Context, v config.Values, l *translog.Log, x *index.Index, parts *opened, who *gate.Gate, logger *slog.Logger) (a apis, err error) {
	fault := faults(logger)
	proxies, err := trustedProxies(v)
	if err != nil {
		return a, err
	}
	a.writers = who
	a.admission = admission.New(admission.Config{TrustedProxies: proxies, Writers: who})
	a.answers = answers.New(0)
	a.answers.Adding = l.Adding
	own := native.Config{Log: l, Kinds: kinds(v), Timeout: v.Duration("add-timeout"), Fault: fault, Admission: a.admission, Answers: a.answers}
	if x != nil { // an interface that holds a nil pointer is not nil
		own.Search = x
	}
	a.native = native.New(own)
	a.static = tiles.New(l, v.Size("response-cache"), a.answers)
	a.static.Fault = fault
	if v.Bool("rekor-v2") {
		keyID, err := trust.LogID(parts.signer.Verifier())
		if err != nil {
			return a, err
		}
		a.rekorV2 = rekorv2.New(rekorv2.Config{
			Log: cachedTiles{l, a.static}, KeyID: keyID, Kinds: kinds(v), Timeout: v.Duration("add-timeout"), Tiles: a.static, MaxBody: v.Size("max-body"), Fault: fault,
			Admission: a.admission,
		})
	}
	var v1Key []byte
	if v.Bool("rekor-v1") {
		if a.rekorV1, v1Key, err = newRekorV1(ctx, v, l, x, parts, a, logger); err != nil {
			return a, err
		}
	}
	a.trust = trustHandler(v, parts, v1Key, logger)
	return a, nil
}

// trustedProxies are the proxies whose word about clients is taken.
func trustedProxies(v config.Values) ([]netip.Prefix, error) {
	prefixes, err := admission.ParseProxies(v.List("trusted-proxies"))
	if err != nil {
		return nil, fmt.Errorf("--trusted-proxies: %w", err)
	}
	return prefixes, nil
}

// faults writes down the errors that clients are not shown.
func faults(logger *slog.Logger) func(context.Context, error) {
	return func(ctx context.Context, err error) {
		logger.Error("a fault that clients are not shown", "request", requestid.Of(ctx), "error", err)
	}
}

// newRekorV1 makes Rekor v1's API, and returns its public key, SPKI in DER.
func newRekorV1(ctx context.Context, v config.Values, l *translog.Log, x *index.Index, parts *opened, a apis, logger *slog.Logger) (*rekorv1.Handler, []byte, error) {
	key, err := parts.rekorV1Key(ctx, v, logger)
	if err != nil {
		return nil, nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, nil, err
	}
	treeID, err := rekorv1.TreeID(parts.record.Instance)
	if err != nil {
		return nil, nil, err
	}
	cfg := rekorv1.Config{
		Log: l, Key: key, Host: cmp.Or(v.Text("rekor-v1-host"), l.Origin()), TreeID: treeID, Kinds: kinds(v),
		Timeout: v.Duration("add-timeout"), Conflict: v.Bool("rekor-v1-conflict"),
		MaxBody: v.Size("max-body"), CacheBytes: v.Size("response-cache"), Fault: faults(logger), Admission: a.admission, Answers: a.answers,
	}
	if x != nil {
		cfg.Search = x
	}
	h, err := rekorv1.New(cfg)
	return h, spki, err
}

// trustHandler serves the files with which clients trust the log, and warns
// where its URL stops some of them.
func trustHandler(v config.Values, parts *opened, v1Key []byte, logger *slog.Logger) http.Handler {
	l := trust.Log{
		Origin: parts.record.Origin, Keys: parts.record.Keys, RekorV1Key: v1Key, RekorV2: v.Bool("rekor-v2"),
		// The day, since clients compare it with times of whole seconds, and with
		// those of other replicas' clocks.
		Since: parts.record.CreatedAt.Truncate(24 * time.Hour),
	}
	at := func(url string) trust.Log {
		l := l
		l.URL = url
		return l
	}
	public := v.Text("public-url")
	if public != "" {
		for _, m := range trust.Misfits(at(public)) {
			logger.Warn(m.What, "do", m.Do)
		}
	}
	return trustfiles.New(func(url string) ([]trust.File, error) { return trust.Files(at(url)) }, public)
}

// handler is the HTTP port's.
func (a apis) handler(ctx context.Context, v config.Values, l *translog.Log, parts *opened, ready func() error, budget *transport.Budget) (http.Handler, error) {
	cfg := server.Config{
		Native: a.native, Tiles: a.static, Trust: a.trust, Origin: l.Origin(), PublicURL: v.Text("public-url"), Keys: parts.record.Keys,
		Size: func() int64 { pub, _ := l.Published(); return pub.Size }, Ready: ready, MaxBody: v.Size("max-body"), Budget: budget,
		Admission: a.admission, Answers: a.answers, Version: config.ThisBuild().String(),
	}
	if a.rekorV2 != nil {
		cfg.RekorV2 = a.rekorV2.Handler()
	}
	if a.rekorV1 != nil {
		cfg.RekorV1 = a.rekorV1
	}
	return server.Handler(ctx, cfg)
}

// register adds the services of the gRPC port.
func (a apis) register(s grpc.ServiceRegistrar) {
	native.Register(s, a.native)
	if a.rekorV2 != nil {
		rekorpb.RegisterRekorServer(s, a.rekorV2)
	}
}
