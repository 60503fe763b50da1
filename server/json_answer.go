package server

import (
	"encoding/base64"
	"strconv"

	pb "indelible/api/proto/indelible/v1"
	"indelible/server/rest"
)

// answerSize is a little more than an answer without its canonical bytes and
// its note takes.
const answerSize = 768

// marshalAdded writes the answer to an add. It returns false where protojson
// must do it.
func marshalAdded(r *pb.AddEntryResponse) ([]byte, bool) {
	e, p, c := r.GetEntry(), r.GetProof(), r.GetCheckpoint()
	if e == nil || p == nil || c == nil {
		return nil, false
	}
	a := rest.NewAnswer(answerSize + base64.StdEncoding.EncodedLen(len(e.GetCanonical())) + len(c.GetNote()) + 48*len(p.GetHashes()))
	a.Raw(`{"entry":`)
	writeEntry(a, e)
	a.Raw(`,"proof":{"index":`).Number(p.GetIndex())
	a.Raw(`,"treeSize":`).Number(p.GetTreeSize())
	a.Raw(`,"hashes":`).List(p.GetHashes())
	a.Raw(`,"rootHash":`).Bytes(p.GetRootHash())
	a.Raw(`},"checkpoint":{"origin":`).Text(c.GetOrigin())
	a.Raw(`,"treeSize":`).Number(c.GetTreeSize())
	a.Raw(`,"rootHash":`).Bytes(c.GetRootHash())
	a.Raw(`,"note":`).Text(c.GetNote())
	a.Raw(`},"duplicate":`).Raw(strconv.FormatBool(r.GetDuplicate())).Raw("}")
	return a.Done()
}
