package server

import (
	"encoding/base64"

	pb "indelible/api/proto/indelible/v1"
	"indelible/server/rest"
)

// entrySize is a little more than an entry without its canonical bytes takes.
const entrySize = 256

// pageSize is a little more than entries take, so that the buffer is made once.
func pageSize(entries []*pb.LoggedEntry) int {
	size := answerSize
	for _, e := range entries {
		size += entrySize + base64.StdEncoding.EncodedLen(len(e.GetCanonical()))
	}
	return size
}

// writeEntry writes an entry as protojson does.
func writeEntry(a *rest.Answer, e *pb.LoggedEntry) {
	a.Raw(`{"index":`).Number(e.GetIndex())
	a.Raw(`,"leafHash":`).Bytes(e.GetLeafHash())
	a.Raw(`,"canonical":`).Bytes(e.GetCanonical())
	a.Raw(`,"integratedAt":`).Number(e.GetIntegratedAt())
	a.Raw(`,"kind":`).Text(e.GetKind())
	a.Raw(`}`)
}

// writeEntries writes a list of them, and returns false where one is nil.
func writeEntries(a *rest.Answer, entries []*pb.LoggedEntry) bool {
	a.Raw(`[`)
	for i, e := range entries {
		if e == nil {
			return false
		}
		if i > 0 {
			a.Raw(`,`)
		}
		writeEntry(a, e)
	}
	a.Raw(`]`)
	return true
}

// marshalListed writes a page of a list. It returns false where protojson must do
// it, as the functions below do.
func marshalListed(r *pb.ListEntriesResponse) ([]byte, bool) {
	a := rest.NewAnswer(pageSize(r.GetEntries()))
	a.Raw(`{"entries":`)
	if !writeEntries(a, r.GetEntries()) {
		return nil, false
	}
	a.Raw(`,"next":`).Number(r.GetNext())
	a.Raw(`,"treeSize":`).Number(r.GetTreeSize())
	return a.Raw(`}`).Done()
}

// marshalFound writes a page of a search.
func marshalFound(r *pb.SearchEntriesResponse) ([]byte, bool) {
	a := rest.NewAnswer(pageSize(r.GetEntries()))
	a.Raw(`{"entries":`)
	if !writeEntries(a, r.GetEntries()) {
		return nil, false
	}
	a.Raw(`,"nextPageToken":`).Text(r.GetNextPageToken())
	a.Raw(`,"completeTo":`).Number(r.GetCompleteTo())
	a.Raw(`,"treeSize":`).Number(r.GetTreeSize())
	return a.Raw(`}`).Done()
}
