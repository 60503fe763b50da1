package server

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"

	pb "indelible/api/proto/indelible/v1"
)

// answer writes the answer to an add, which is most of what a busy server
// writes: the same JSON as protojson's, without its reflection. A string that
// is not plain makes it give up, and protojson takes over.
type answer struct {
	out   []byte
	plain bool
}

// answerSize is a little more than an answer without its canonical bytes and
// its note takes.
const answerSize = 768

// marshalAdded returns false where protojson must do it.
func marshalAdded(r *pb.AddEntryResponse) ([]byte, bool) {
	e, p, c := r.GetEntry(), r.GetProof(), r.GetCheckpoint()
	if e == nil || p == nil || c == nil {
		return nil, false
	}
	size := answerSize + base64.StdEncoding.EncodedLen(len(e.GetCanonical())) + len(c.GetNote()) + 48*len(p.GetHashes())
	a := &answer{out: make([]byte, 0, size), plain: true}
	a.raw(`{"entry":{"index":`).number(e.GetIndex())
	a.raw(`,"leafHash":`).bytes(e.GetLeafHash())
	a.raw(`,"canonical":`).bytes(e.GetCanonical())
	a.raw(`,"integratedAt":`).number(e.GetIntegratedAt())
	a.raw(`,"kind":`).text(e.GetKind())
	a.raw(`},"proof":{"index":`).number(p.GetIndex())
	a.raw(`,"treeSize":`).number(p.GetTreeSize())
	a.raw(`,"hashes":`).list(p.GetHashes())
	a.raw(`,"rootHash":`).bytes(p.GetRootHash())
	a.raw(`},"checkpoint":{"origin":`).text(c.GetOrigin())
	a.raw(`,"treeSize":`).number(c.GetTreeSize())
	a.raw(`,"rootHash":`).bytes(c.GetRootHash())
	a.raw(`,"note":`).text(c.GetNote())
	a.raw(`},"duplicate":`).raw(strconv.FormatBool(r.GetDuplicate())).raw("}")
	return a.out, a.plain
}

func (a *answer) raw(s string) *answer {
	a.out = append(a.out, s...)
	return a
}

// number writes an int64, which is a string in protojson.
func (a *answer) number(n int64) {
	a.out = append(a.out, '"')
	a.out = strconv.AppendInt(a.out, n, 10)
	a.out = append(a.out, '"')
}

func (a *answer) bytes(b []byte) {
	a.out = append(a.out, '"')
	a.out = base64.StdEncoding.AppendEncode(a.out, b)
	a.out = append(a.out, '"')
}

func (a *answer) list(l [][]byte) {
	a.out = append(a.out, '[')
	for i, b := range l {
		if i > 0 {
			a.out = append(a.out, ',')
		}
		a.bytes(b)
	}
	a.out = append(a.out, ']')
}

// text writes a string that holds nothing to escape but newlines, as notes do.
func (a *answer) text(s string) {
	a.plain = a.plain && utf8.ValidString(s)
	a.out = append(a.out, '"')
	for i := range len(s) {
		switch b := s[i]; {
		case b == '\n':
			a.out = append(a.out, '\\', 'n')
		case b < ' ' || b == '"' || b == '\\':
			a.plain = false
		default:
			a.out = append(a.out, b)
		}
	}
	a.out = append(a.out, '"')
}
