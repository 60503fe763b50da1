package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"time"

	"indelible/entry"
	"indelible/mirror/source"
	"indelible/monitor"
)

// measureMonitor compares entries with certificates as Fulcio makes them with 1,000
// patterns, on one core.
func measureMonitor(ctx context.Context, b *bench) error {
	block, err := certifiedBlock()
	if err != nil {
		return err
	}
	patterns, err := monitor.NewMatcher(thousandPatterns())
	if err != nil {
		return err
	}
	var facts []monitor.Fact
	parse := func(data []byte) (err error) {
		facts, err = monitor.Facts(facts[:0], source.Tiles, data)
		return err
	}
	m, err := b.alternate(ctx,
		b.overBlock(block, func(data []byte) error { _, err := entry.IndexKeys(data); return err }),
		b.overBlock(block, parse),
		b.overBlock(block, func(data []byte) error {
			if err := parse(data); err != nil {
				return err
			}
			patterns.Match(facts)
			return nil
		}))
	if err != nil {
		return err
	}
	b.table.add(m[0].row("entries with Fulcio certificates parsed by crypto/x509, one core"))
	b.table.add(m[1].row("the same parsed by the monitor, one core"))
	r := m[2].against(m[1], "the same compared with 1,000 patterns, one core", "parsed by the monitor", 0.7)
	b.table.add(r)
	b.table.add(row{what: "that, as a share of 20,000 a second", rate: r.rate, limit: 20_000, goal: 1})
	return nil
}

// overBlock does something with the entries of a block, again and again. It counts
// the time of the processor, the collector's too, and not that of the neighbours.
func (b *bench) overBlock(block [][]byte, do func([]byte) error) way {
	return func(ctx context.Context, _ int) (measured, error) {
		begun := usageOf(os.Getpid()).cpu
		blocks := int64(0)
		r := closedLoop(ctx, 1, b.o.duration/2, func(context.Context, int, int64) error {
			blocks++
			for _, data := range block {
				if err := do(data); err != nil {
					return err
				}
			}
			return nil
		})
		if took := usageOf(os.Getpid()).cpu - begun; took > 0 {
			r.ops, r.took, r.times = blocks*int64(len(block)), took, nil
		}
		return measured{result: r}, r.err
	}
}

// thousandPatterns are exact names, globs and regular expressions, of which most
// begin alike.
func thousandPatterns() (list []monitor.Pattern) {
	for i := range 250 {
		list = append(list,
			monitor.Pattern{Identity: monitor.Text{Exact: fmt.Sprintf("https://github.com/example/project%d/.github/workflows/release.yml@refs/heads/main", i)}},
			monitor.Pattern{Identity: monitor.Text{Glob: fmt.Sprintf("https://github.com/example%d/*/.github/workflows/*@refs/tags/v*", i)}},
			monitor.Pattern{Identity: monitor.Text{Regexp: fmt.Sprintf(`^https://github\.com/acme/(app|lib)-%d/\.github/workflows/.+@refs/heads/(main|release-[0-9]+)$`, i)}},
			monitor.Pattern{Identity: monitor.Text{Regexp: fmt.Sprintf(`^[^@]+@(mail\.)?team%d\.example\.(com|org)$`, i)}},
		)
	}
	return list
}

// certifiedBlock is a block of hashedrekords by workflows, of which one in 64 matches.
func certifiedBlock() (block [][]byte, err error) {
	authority, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	for i := 0; i < source.BlockSize && err == nil; i++ {
		name := fmt.Sprintf("https://github.com/someone%d/thing/.github/workflows/release.yml@refs/heads/main", i)
		if i%64 == 0 {
			name = fmt.Sprintf("https://github.com/acme/lib-%d/.github/workflows/release.yml@refs/heads/main", i%250)
		}
		var data []byte
		data, err = certifiedEntry(authority, name)
		block = append(block, data)
	}
	return block, err
}

func certifiedEntry(authority *ecdsa.PrivateKey, name string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert, err := fulcioCertificate(authority, key, name)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256([]byte(name))
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		return nil, err
	}
	e, err := entry.NewHashedRekord(entry.HashedRekord{Digest: digest[:], Signature: sig, Verifier: entry.Verifier{Certificate: cert}})
	return e.Canonical(), err
}

// fulcioCertificate has the extensions of what a workflow was.
func fulcioCertificate(authority, key *ecdsa.PrivateKey, name string) ([]byte, error) {
	u, err := url.Parse(name)
	if err != nil {
		return nil, err
	}
	parent := &x509.Certificate{Subject: pkix.Name{Organization: []string{"sigstore.dev"}, CommonName: "sigstore-intermediate"}}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now(), NotAfter: time.Now().Add(10 * time.Minute), URIs: []*url.URL{u},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	const issuer = "https://token.actions.githubusercontent.com"
	var failed error
	for n := 1; n <= 22; n++ {
		value := []byte(issuer)
		if n >= 8 {
			text := issuer
			if n > 8 {
				text = name
			}
			value, err = asn1.MarshalWithParams(text, "utf8")
			failed = errors.Join(failed, err)
		}
		tmpl.ExtraExtensions = append(tmpl.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, n}, Value: value})
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), authority)
	return der, errors.Join(failed, err)
}
