package rekorv2

import (
	"encoding/base64"

	entrypb "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"indelible/server/rest"
)

// answerSize is a little more than an answer without its canonical bytes, its
// hashes and its note takes.
const answerSize = 512

// marshal writes an entry as grpc-gateway does: every field is there.
func marshal(e *entrypb.TransparencyLogEntry) ([]byte, error) {
	if data, ok := marshalPlain(e); ok {
		return data, nil
	}
	return protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(e)
}

// marshalPlain returns false where protojson must do it.
func marshalPlain(e *entrypb.TransparencyLogEntry) ([]byte, bool) {
	p, note := e.GetInclusionProof(), e.GetInclusionProof().GetCheckpoint()
	if e.GetLogId() == nil || e.GetKindVersion() == nil || note == nil || e.GetInclusionPromise() != nil {
		return nil, false
	}
	a := rest.NewAnswer(answerSize + base64.StdEncoding.EncodedLen(len(e.GetCanonicalizedBody())) + len(note.GetEnvelope()) + 48*len(p.GetHashes()))
	a.Raw(`{"logIndex":`).Number(e.GetLogIndex())
	a.Raw(`,"logId":{"keyId":`).Bytes(e.GetLogId().GetKeyId())
	a.Raw(`},"kindVersion":{"kind":`).Text(e.GetKindVersion().GetKind())
	a.Raw(`,"version":`).Text(e.GetKindVersion().GetVersion())
	a.Raw(`},"integratedTime":`).Number(e.GetIntegratedTime())
	a.Raw(`,"inclusionPromise":null,"inclusionProof":{"logIndex":`).Number(p.GetLogIndex())
	a.Raw(`,"rootHash":`).Bytes(p.GetRootHash())
	a.Raw(`,"treeSize":`).Number(p.GetTreeSize())
	a.Raw(`,"hashes":`).List(p.GetHashes())
	a.Raw(`,"checkpoint":{"envelope":`).Text(note.GetEnvelope())
	a.Raw(`}},"canonicalizedBody":`).Bytes(e.GetCanonicalizedBody())
	a.Raw("}")
	return a.Done()
}
