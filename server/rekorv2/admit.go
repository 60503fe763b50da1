package rekorv2

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	commonpb "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	rekorpb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"

	"indelible/entry"
)

// invalid is the error of a request that is wrong.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{entry.ErrInvalid}, args...)...)
}

// admit makes an entry of what a client asks to be logged.
func (s *Service) admit(work entry.Work, req *rekorpb.CreateEntryRequest) (entry.Entry, error) {
	switch spec := req.GetSpec().(type) {
	case *rekorpb.CreateEntryRequest_HashedRekordRequestV002:
		if err := s.takes(entry.KindHashedRekord); err != nil {
			return entry.Entry{}, err
		}
		return newHashedRekord(work, spec.HashedRekordRequestV002)
	case *rekorpb.CreateEntryRequest_DsseRequestV002:
		if err := s.takes(entry.KindDSSE); err != nil {
			return entry.Entry{}, err
		}
		return newDSSE(work, spec)
	}
	return entry.Entry{}, invalid("it has no entry; give hashedRekordRequestV002, or dsseRequestV002")
}

func (s *Service) takes(kind entry.Kind) error {
	if slices.Contains(s.cfg.Kinds, kind) {
		return nil
	}
	return invalid("entries of kind %s are not taken by this log (the operator sets it with --entry-kinds)", kind)
}

// newHashedRekord looks for what is missing in Rekor's order.
func newHashedRekord(work entry.Work, r *rekorpb.HashedRekordRequestV002) (entry.Entry, error) {
	switch {
	case len(r.GetSignature().GetContent()) == 0:
		return entry.Entry{}, invalid("signature.content is missing")
	case r.GetSignature().GetVerifier() == nil:
		return entry.Entry{}, invalid("signature.verifier is missing")
	case len(r.GetDigest()) == 0:
		return entry.Entry{}, invalid("digest is missing")
	}
	v, err := verifier(r.GetSignature().GetVerifier())
	if err != nil {
		return entry.Entry{}, invalid("signature.verifier: %w", err)
	}
	e, err := entry.NewHashedRekord(entry.HashedRekord{Digest: r.GetDigest(), Signature: r.GetSignature().GetContent(), Verifier: v, Work: work})
	if err == nil && v.KeyDetails == "" {
		err = detailsMissing(e, "signature.verifier")
	}
	return e, err
}

// verifier translates a verifier; package entry finds what is wrong with its
// bytes.
func verifier(v *rekorpb.Verifier) (entry.Verifier, error) {
	out := entry.Verifier{PublicKey: v.GetPublicKey().GetRawBytes(), Certificate: v.GetX509Certificate().GetRawBytes()}
	raw := slices.Concat(out.PublicKey, out.Certificate) // one of them is empty
	switch {
	case len(raw) == 0:
		return out, errors.New("rawBytes is missing; give publicKey.rawBytes or x509Certificate.rawBytes")
	// Package entry would take it, and Rekor does not.
	case bytes.HasPrefix(raw, []byte("-----BEGIN")):
		return out, errors.New("rawBytes holds PEM; give its DER: what is between the lines of dashes, as base64")
	}
	if d := v.GetKeyDetails(); d != commonpb.PublicKeyDetails_PUBLIC_KEY_DETAILS_UNSPECIFIED {
		out.KeyDetails = entry.KeyDetails(d.String())
	}
	return out, nil
}

// detailsMissing says which key details an entry needs that was admitted
// without: those that its key usually has.
func detailsMissing(e entry.Entry, where string) error {
	p, err := entry.Parse(e.Canonical())
	if err != nil {
		return err
	}
	var names []string
	for _, signer := range p.Signers() {
		names = append(names, string(signer.KeyDetails))
	}
	slices.Sort(names)
	return invalid("%s.keyDetails is missing; for what signed here it is %s", where, strings.Join(slices.Compact(names), " or "))
}
