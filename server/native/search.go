package native

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "indelible/api/proto/indelible/v1"
	"indelible/entry"
	"indelible/index"
	translog "indelible/log"
)

// Search is what the service needs of the index.
type Search interface {
	Find(ctx context.Context, key entry.IndexKey, after int64, limit int) (index.Hits, error)
}

var _ Search = (*index.Index)(nil)

// defaultPage is how many entries a search returns when no size is asked for.
const defaultPage = 100

// SearchEntries implements the service.
func (s *Service) SearchEntries(ctx context.Context, req *pb.SearchEntriesRequest) (*pb.SearchEntriesResponse, error) {
	if s.cfg.Search == nil {
		return nil, status.Error(codes.Unimplemented, "this log has no search: its operator turned it off with --search=false")
	}
	key, err := criterion(req)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	after, limit, err := page(req)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	leave, err := s.pageOf(ctx, int64(limit))
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	defer leave()
	hits, err := s.cfg.Search.Find(ctx, key, after, limit)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	published, err := s.cfg.Log.Published()
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return found(hits, published.Size), nil
}

// criterion is the one thing that is asked for. Several would have to be looked
// for one by one and compared, which the client can do as well.
func criterion(req *pb.SearchEntriesRequest) (entry.IndexKey, error) {
	var by entry.IndexBy
	var given []string
	for _, b := range entry.IndexedBy() {
		if asked(req, b) != "" {
			by = b
			given = append(given, string(b))
		}
	}
	switch len(given) {
	case 1:
		return entry.NewIndexKey(by, asked(req, by))
	case 0:
		return entry.IndexKey{}, errors.New("the search is for nothing: give one of artifact, publicKey, subject, issuer, payload and envelope")
	}
	return entry.IndexKey{}, fmt.Errorf("the search is for %s: give one of them", strings.Join(given, " and "))
}

func asked(req *pb.SearchEntriesRequest, by entry.IndexBy) string {
	switch by {
	case entry.ByArtifact:
		return req.GetArtifact()
	case entry.ByPublicKey:
		return req.GetPublicKey()
	case entry.BySubject:
		return req.GetSubject()
	case entry.ByIssuer:
		return req.GetIssuer()
	case entry.ByPayload:
		return req.GetPayload()
	case entry.ByEnvelope:
		return req.GetEnvelope()
	}
	return ""
}

// A page token is the index of the last entry of the page before. It means
// nothing to another question, but does no harm there either.
const tokenPrefix = "after-"

func page(req *pb.SearchEntriesRequest) (after int64, limit int, err error) {
	after, limit = -1, int(req.GetPageSize())
	if limit == 0 {
		limit = defaultPage
	}
	if limit < 1 || limit > index.MaxFind {
		return 0, 0, fmt.Errorf("pageSize is %d; it must be 1 to %d", limit, index.MaxFind)
	}
	if token := req.GetPageToken(); token != "" {
		number, ok := strings.CutPrefix(token, tokenPrefix)
		after, err = strconv.ParseInt(number, 10, 64)
		if !ok || err != nil || after < 0 || pageToken(after) != token {
			return 0, 0, fmt.Errorf("pageToken is %.100q; it must be the nextPageToken of an answer", token)
		}
	}
	return after, limit, nil
}

func pageToken(after int64) string { return tokenPrefix + strconv.FormatInt(after, 10) }

// found makes the answer, which ends early when its entries are large.
func found(hits index.Hits, published int64) *pb.SearchEntriesResponse {
	res := &pb.SearchEntriesResponse{CompleteTo: hits.Size, TreeSize: max(published, hits.Size)}
	bytes, more := 0, hits.More
	for _, r := range hits.Records {
		if bytes += len(r.Canonical); bytes > translog.MaxListBytes && len(res.Entries) > 0 {
			more = true
			break
		}
		res.Entries = append(res.Entries, logged(r))
	}
	if n := len(res.Entries); more && n > 0 {
		res.NextPageToken = pageToken(res.Entries[n-1].GetIndex())
	}
	return res
}
