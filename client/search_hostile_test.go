package client

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// searchPages answers searches with pages of given indexes, one after the
// other, and with the last one for ever.
func (f *fake) searchPages(completeTo int64, pages ...[]int64) (asked *atomic.Int64) {
	asked = new(atomic.Int64)
	f.replace["/v1/entries:search"] = func(w http.ResponseWriter, _ *http.Request) {
		n := int(asked.Add(1))
		var entries []string
		for _, i := range pages[min(n, len(pages))-1] {
			entries = append(entries, fmt.Sprintf(`{"index":"%d","canonical":%q}`, i, base64.StdEncoding.EncodeToString(entryOf(int(i)))))
		}
		token := "more"
		if n == len(pages) && len(pages) > 1 {
			token = ""
		}
		fmt.Fprintf(w, `{"entries":[%s],"nextPageToken":%q,"completeTo":"%d","treeSize":"%d"}`, strings.Join(entries, ","), token, completeTo, completeTo)
	}
	return asked
}

// searchAll searches the tree of a size, and returns what was found.
func searchAll(t *testing.T, f *fake, c *Client, size int) (found []int64, completeTo int64, err error) {
	t.Helper()
	at, err := c.Open([]byte(f.note(size)))
	if err != nil {
		t.Fatal(err)
	}
	for page, err := range c.Search(t.Context(), Query{By: "subject", Value: "x"}, at) {
		if err != nil {
			return found, 0, err
		}
		for _, h := range page.Hits {
			found = append(found, h.Index)
		}
		completeTo = page.CompleteTo
	}
	return found, completeTo, nil
}

// A log that could answer for ever is asked once or twice.
func TestSearchHasAnEnd(t *testing.T) {
	for name, l := range map[string]struct {
		completeTo int64
		pages      [][]int64
		asked      int64
		says       string
	}{
		"more entries than it has signed": {1 << 62, [][]int64{{0, 1, 2, 3, 4, 5, 6}}, 1, "complete up to 4611686018427387904 entries, and the log's checkpoint has 5"},
		"all entries that there can be":   {math.MaxInt64, [][]int64{{}}, 1, "a page of 0 entries"},
		"the same page again":             {5, [][]int64{{0, 2}}, 2, "found entry 0 after entry 2"},
		"indexes that do not rise":        {5, [][]int64{{0, 2}, {2, 3}}, 2, "found entry 2 after entry 2"},
	} {
		t.Run(name, func(t *testing.T) {
			f, c := newFake(t)
			asked := f.searchPages(l.completeTo, l.pages...)
			_, _, err := searchAll(t, f, c, 5)
			if !errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), l.says) || asked.Load() != l.asked {
				t.Errorf("asked %d times: %v", asked.Load(), err)
			}
		})
	}
}

// A search is of one tree: what the log has beyond it is left out, and not asked
// for.
func TestSearchOfATree(t *testing.T) {
	f, c := newFake(t)
	asked := f.searchPages(5, []int64{0, 1, 3, 4})
	found, completeTo, err := searchAll(t, f, c, 3)
	if err != nil || fmt.Sprint(found) != "[0 1]" || completeTo != 3 || asked.Load() != 1 {
		t.Errorf("found %v up to %d, asked %d times: %v", found, completeTo, asked.Load(), err)
	}
	f.searchPages(5, []int64{0}, []int64{1}, []int64{2}, []int64{3})
	if found, completeTo, err = searchAll(t, f, c, 5); err != nil || fmt.Sprint(found) != "[0 1 2 3]" || completeTo != 5 {
		t.Errorf("found %v up to %d: %v", found, completeTo, err)
	}
}

// A checkpoint may come from a replica that is a moment behind the search.
func TestSearchAheadOfCheckpoint(t *testing.T) {
	f, c := newFake(t)
	f.searchPages(5, []int64{0, 2})
	served := new(atomic.Int64)
	f.replace["/checkpoint"] = func(w http.ResponseWriter, _ *http.Request) {
		if served.Add(1) < 3 {
			io.WriteString(w, f.note(3))
			return
		}
		io.WriteString(w, f.note(5))
	}
	if found, completeTo, err := searchAll(t, f, c, 3); err != nil || fmt.Sprint(found) != "[0 2]" || completeTo != 3 || served.Load() != 3 {
		t.Errorf("found %v up to %d, %d checkpoints: %v", found, completeTo, served.Load(), err)
	}
}

// Without a limit, a list has as many entries as the API says at most.
func TestListWithoutALimit(t *testing.T) {
	f, c := newFake(t)
	f.replace["/v1/entries"] = list(make([]string, maxList+1)...)
	if _, err := c.List(t.Context(), 0, 0); !errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), "it listed 1001") {
		t.Error(err)
	}
}
