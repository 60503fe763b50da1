package client

import (
	"errors"
	"testing"
)

func TestReadFound(t *testing.T) {
	page := func(complete, size int64, next string, indexes ...int64) *searchResponse {
		p := &searchResponse{CompleteTo: number(complete), TreeSize: number(size), NextPageToken: next}
		for _, i := range indexes {
			p.Entries = append(p.Entries, loggedEntry{Index: number(i), Canonical: []byte("x")})
		}
		return p
	}
	if f, err := readFound(page(7, 9, "x", 3, 6), 2); err != nil || len(f.Hits) != 2 || f.Hits[1].Index != 6 || f.CompleteTo != 7 {
		t.Fatal(f, err)
	}
	many := make([]int64, searchPage+1)
	for i := range many {
		many[i] = int64(i)
	}
	for name, p := range map[string]*searchResponse{
		"the last entry again":       page(7, 9, "", 2),
		"twice the same":             page(7, 9, "", 4, 4),
		"beyond what it searched":    page(7, 9, "", 7),
		"a negative index":           page(7, 9, "", -1),
		"complete beyond the log":    page(10, 9, "", 3),
		"complete up to less than 0": page(-1, 9, ""),
		"an empty page and more":     page(7, 9, "x"),
		"more than asked for":        page(1000, 1000, "", many...),
	} {
		last := int64(2)
		if len(p.Entries) > 10 {
			last = -1
		}
		if f, err := readFound(p, last); !errors.Is(err, ErrUntrusted) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
}
