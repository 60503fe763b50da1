package native

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "indelible/api/proto/indelible/v1"
	"indelible/entry"
	"indelible/index"
	translog "indelible/log"
)

// fakeSearch finds entries with indexes below 300 for one key.
type fakeSearch struct {
	key  entry.IndexKey
	body []byte
	err  error
}

func (f *fakeSearch) Find(_ context.Context, key entry.IndexKey, after int64, limit int) (index.Hits, error) {
	hits := index.Hits{Size: 300}
	for i := after + 1; key == f.key && i < 300; i++ {
		if len(hits.Records) == limit {
			hits.More = true
			break
		}
		hits.Records = append(hits.Records, translog.Record{Index: i, Canonical: f.body})
	}
	return hits, f.err
}

// fakePublished is a log of which only the size is asked.
type fakePublished struct{ Log }

func (fakePublished) Published() (translog.Published, error) {
	return translog.Published{Size: 400}, nil
}

var subject = entry.IndexKey{By: entry.BySubject, Value: "jane@example.com"}

func TestSearchPages(t *testing.T) {
	for name, c := range map[string]struct {
		body  int
		size  int32
		pages []int
	}{
		"the usual size": {10, 0, []int{100, 100, 100}},
		"another size":   {10, 256, []int{256, 44}},
		"one by one":     {10, 1, slices.Repeat([]int{1}, 300)},
		"large entries":  {65535, 200, slices.Concat(slices.Repeat([]int{16}, 18), []int{12})}, // 16 of them have 1 MiB
	} {
		s := New(Config{Log: fakePublished{}, Search: &fakeSearch{key: subject, body: make([]byte, c.body)}})
		req := &pb.SearchEntriesRequest{Subject: "Jane@Example.com", PageSize: c.size}
		var pages []int
		for next := int64(0); ; {
			res, err := s.SearchEntries(t.Context(), req)
			if err != nil || res.GetCompleteTo() != 300 || res.GetTreeSize() != 400 {
				t.Fatal(name, err, res.GetCompleteTo())
			}
			for _, e := range res.GetEntries() {
				if e.GetIndex() != next {
					t.Fatalf("%s: entry %d, not %d", name, e.GetIndex(), next)
				}
				next++
			}
			pages = append(pages, len(res.GetEntries()))
			if req.PageToken = res.GetNextPageToken(); req.PageToken == "" {
				break
			}
		}
		if !slices.Equal(pages, c.pages) {
			t.Errorf("%s: pages of %v", name, pages)
		}
	}
}

func TestSearchRefused(t *testing.T) {
	search := &fakeSearch{key: subject}
	s := New(Config{Log: fakePublished{}, Search: search})
	jane := "jane@example.com"
	for _, c := range []struct {
		req  *pb.SearchEntriesRequest
		says string
	}{
		{&pb.SearchEntriesRequest{}, "the search is for nothing"},
		{&pb.SearchEntriesRequest{Subject: jane, Issuer: "b"}, "the search is for subject and issuer"},
		{&pb.SearchEntriesRequest{Artifact: "b"}, `"b" is not a digest`},
		{&pb.SearchEntriesRequest{PublicKey: "b"}, `"b" is not the fingerprint`},
		{&pb.SearchEntriesRequest{Payload: "sha256:12"}, "is not a digest"},
		{&pb.SearchEntriesRequest{Envelope: "sha256:12"}, "is not a digest"},
		{&pb.SearchEntriesRequest{Subject: jane, PageSize: -1}, "pageSize is -1"},
		{&pb.SearchEntriesRequest{Subject: jane, PageSize: 257}, "1 to 256"},
		{&pb.SearchEntriesRequest{Subject: jane, PageToken: "x"}, `pageToken is "x"`},
		{&pb.SearchEntriesRequest{Subject: jane, PageToken: "after-"}, "pageToken is"},
		{&pb.SearchEntriesRequest{Subject: jane, PageToken: "after--1"}, "pageToken is"},
		{&pb.SearchEntriesRequest{Subject: jane, PageToken: "after-+1"}, "pageToken is"},
		{&pb.SearchEntriesRequest{Subject: jane, PageToken: "after-01"}, "pageToken is"},
		{&pb.SearchEntriesRequest{Subject: jane, PageToken: "after-9223372036854775808"}, "pageToken is"},
	} {
		if _, err := s.SearchEntries(t.Context(), c.req); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v", c.req, err)
		}
	}
	// A token beyond the end asks for nothing more.
	res, err := s.SearchEntries(t.Context(), &pb.SearchEntriesRequest{Subject: jane, PageToken: "after-9223372036854775806"})
	if err != nil || len(res.GetEntries()) != 0 || res.GetNextPageToken() != "" {
		t.Error(res, err)
	}
	search.err = fmt.Errorf("%w: at 10.0.0.1", translog.ErrUnavailable)
	if _, err := s.SearchEntries(t.Context(), &pb.SearchEntriesRequest{Subject: jane}); status.Code(err) != codes.Unavailable || strings.Contains(err.Error(), "10.0.0.1") {
		t.Error(err)
	}
	search.err = errors.New("secret")
	if _, err := s.SearchEntries(t.Context(), &pb.SearchEntriesRequest{Subject: jane}); status.Code(err) != codes.Internal || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	off := New(Config{Log: fakePublished{}})
	if _, err := off.SearchEntries(t.Context(), &pb.SearchEntriesRequest{Subject: jane}); status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "--search") {
		t.Error(err)
	}
}
