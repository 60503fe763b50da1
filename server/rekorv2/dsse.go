package rekorv2

//lint:file-ignore SA1019 Rekor deprecates dsse requests, and older clients send them.

import (
	"fmt"

	rekorpb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"google.golang.org/protobuf/encoding/protojson"

	"indelible/entry"
)

// newDSSE makes an entry of an envelope, which is read as JSON: that is what is
// strict about envelopes.
func newDSSE(work entry.Work, spec *rekorpb.CreateEntryRequest_DsseRequestV002) (entry.Entry, error) {
	r := spec.DsseRequestV002
	if r.GetEnvelope() == nil {
		return entry.Entry{}, invalid("envelope is missing")
	}
	// Before they are written, and read again.
	if n := len(r.GetEnvelope().GetSignatures()); n > entry.MaxSignatures {
		return entry.Entry{}, invalid("envelope: it has %d signatures; at most %d are logged", n, entry.MaxSignatures)
	}
	if n := len(r.GetVerifiers()); n > entry.MaxSignatures {
		return entry.Entry{}, invalid("there are %d verifiers; give 1 to %d", n, entry.MaxSignatures)
	}
	envelope, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(r.GetEnvelope())
	if err != nil {
		return entry.Entry{}, invalid("envelope: %w", err)
	}
	without := -1 // the verifier that says no key details
	verifiers := make([]entry.Verifier, len(r.GetVerifiers()))
	for i, v := range r.GetVerifiers() {
		if verifiers[i], err = verifier(v); err != nil {
			return entry.Entry{}, invalid("verifiers[%d]: %w", i, err)
		}
		if verifiers[i].KeyDetails == "" && without < 0 {
			without = i
		}
	}
	e, err := entry.NewDSSE(entry.DSSE{Envelope: envelope, Verifiers: verifiers, Work: work})
	if err == nil && without >= 0 {
		err = detailsMissing(e, fmt.Sprintf("verifiers[%d]", without))
	}
	return e, err
}
