package server

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "indelible/api/proto/indelible/v1"
	"indelible/checkpoint"
	"indelible/merkle"
	"indelible/server/failure"
)

// proofFiles answers GET /v1/entries/{index}/proof with a proof file (C2SP
// tlog-proof) up to the newest checkpoint, and leaves everything else to next.
func proofFiles(native pb.LogServer, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.EscapedPath()
		index, ok := strings.CutPrefix(path, "/v1/entries/")
		index, isProof := strings.CutSuffix(index, "/proof")
		if !ok || !isProof {
			next.ServeHTTP(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", methods(path))
			failure.Write(w, http.StatusMethodNotAllowed, codes.Unimplemented, fmt.Sprintf("%.200q takes %s, and not %.20q", path, methods(path), r.Method))
			return
		}
		n, err := strconv.ParseInt(index, 10, 64)
		if err != nil || n < 0 || strconv.FormatInt(n, 10) != index {
			failure.WriteError(w, status.Errorf(codes.InvalidArgument, "%.200q does not have the index of an entry, a whole number from 0 up, before /proof", path))
			return
		}
		if r.URL.RawQuery != "" {
			failure.WriteError(w, status.Errorf(codes.InvalidArgument, "unknown query parameters %.100q; %s %.200q has none", r.URL.RawQuery, r.Method, path))
			return
		}
		answer, err := native.GetEntry(r.Context(), &pb.GetEntryRequest{Index: &n})
		if err != nil {
			failure.WriteError(w, err)
			return
		}
		text, err := proofFile(answer)
		if err != nil {
			failure.WriteError(w, err)
			return
		}
		head := w.Header()
		head.Set("Content-Type", "text/plain; charset=utf-8")
		head.Set("Content-Disposition", `attachment; filename="`+index+`.tlog-proof"`)
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Cache-Control", "no-store")
		w.Write(text)
	})
}

// proofFile is what an answer proves, as a file.
func proofFile(answer *pb.GetEntryResponse) ([]byte, error) {
	p := checkpoint.Proof{
		Extra: answer.GetEntry().GetCanonical(), HasExtra: true, Index: answer.GetProof().GetIndex(), Checkpoint: []byte(answer.GetCheckpoint().GetNote()),
	}
	for _, h := range answer.GetProof().GetHashes() {
		p.Hashes = append(p.Hashes, merkle.Hash(h))
	}
	return p.Marshal()
}
