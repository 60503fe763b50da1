package merkle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

func leaf(i int64) Hash { return LeafHash(fmt.Append(nil, "leaf ", i)) }

func leavesOf(from, to int64) []Hash {
	var out []Hash
	for i := from; i < to; i++ {
		out = append(out, leaf(i))
	}
	return out
}

// naiveRoot is RFC 6962 section 2.1, word for word.
func naiveRoot(leaves []Hash) Hash {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	default:
		k := 1
		for 2*k < n {
			k *= 2
		}
		return NodeHash(naiveRoot(leaves[:k]), naiveRoot(leaves[k:]))
	}
}

// oracle is x/mod's tree over the same leaves.
type oracle []tlog.Hash

func (o *oracle) add(t testing.TB, n int64) {
	t.Helper()
	hashes, err := tlog.StoredHashesForRecordHash(n, tlog.Hash(leaf(n)), *o)
	if err != nil {
		t.Fatal(err)
	}
	*o = append(*o, hashes...)
}

func (o oracle) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = o[x]
	}
	return out, nil
}

// tiles keeps the full tiles that Append hands out.
type tiles map[Tile][]Hash

func (ts tiles) keep(t testing.TB, full []FullTile) {
	t.Helper()
	for _, f := range full {
		key := Tile{f.Level, f.Index, TileWidth}
		if _, ok := ts[key]; ok || len(f.Hashes) != TileWidth {
			t.Fatalf("%s: %d hashes, completed before: %v", key.Path(), len(f.Hashes), ok)
		}
		ts[key] = f.Hashes
	}
}

// get answers a plan from the full tiles and an edge.
func (ts tiles) get(edge Edge) func(Tile) (*Nodes, error) {
	return func(t Tile) (*Nodes, error) {
		if full, ok := ts[Tile{t.Level, t.Index, TileWidth}]; ok {
			return Expand(full)
		}
		if t.Index != TilesAt(t.Level, edge.Size()) {
			return nil, fmt.Errorf("no tile %s", t.Path())
		}
		return Expand(edge.Partial(t.Level))
	}
}

// grow appends leaves up to size in batches of random sizes.
func grow(t testing.TB, size int64) (Edge, tiles) {
	t.Helper()
	var edge Edge
	ts := tiles{}
	for edge.Size() < size {
		next, full := edge.Append(leavesOf(edge.Size(), min(size, edge.Size()+1+rand.Int64N(700))))
		ts.keep(t, full)
		edge = next
	}
	return edge, ts
}

func TestRootsAgainstOracles(t *testing.T) {
	var o oracle
	var edge Edge
	all := sha256.New()
	for n := int64(0); n <= 1000; n++ {
		before := edge.Root()
		if n > 0 {
			o.add(t, n-1)
			next, _ := edge.Append(leavesOf(n-1, n))
			if edge.Root() != before {
				t.Fatal("Append changed the edge it was called on")
			}
			edge = next
			want, err := tlog.TreeHash(n, o)
			if err != nil {
				t.Fatal(err)
			}
			if edge.Root() != Hash(want) {
				t.Fatalf("size %d: root %x, x/mod says %x", n, edge.Root(), want)
			}
		}
		if n < 300 && edge.Root() != naiveRoot(leavesOf(0, n)) {
			t.Fatalf("size %d: not the root of RFC 6962", n)
		}
		if root, err := RangeRoot(n, edge.Range()); err != nil || root != edge.Root() {
			t.Fatalf("size %d: the compact range leads to %x, %v", n, root, err)
		}
		r := edge.Root()
		all.Write(r[:])
	}
	const want = "d31d2f3f45e4b5bbf0e7c354ed44f35a" // of all roots above; fixes them for good
	if got := hex.EncodeToString(all.Sum(nil)[:16]); got != want {
		t.Errorf("the roots of all sizes hash to %s", got)
	}
}

func TestBatchesMakeNoDifference(t *testing.T) {
	for _, size := range []int64{1, 255, 256, 257, 511, 512, 65535, 65536, 65537, 70000} {
		edge, ts := grow(t, size)
		once, full := Edge{}.Append(leavesOf(0, size))
		if once.Root() != edge.Root() || len(full) != len(ts) {
			t.Fatalf("size %d: roots %x and %x, %d and %d tiles", size, once.Root(), edge.Root(), len(full), len(ts))
		}
		for _, f := range full {
			if !bytes.Equal(EncodeTile(f.Hashes), EncodeTile(ts[Tile{f.Level, f.Index, TileWidth}])) {
				t.Fatalf("size %d: tile %d/%d differs", size, f.Level, f.Index)
			}
		}
		again, err := NewEdge(size, func(level int) ([]Hash, error) { return edge.Partial(level), nil })
		if err != nil || again.Root() != edge.Root() || again.Levels() != edge.Levels() {
			t.Fatalf("size %d: an edge from its own tiles: %v", size, err)
		}
	}
}

// The example of the issue: 70,000 leaves make 273 full tiles and one of 112 at
// level 0, one full and one of 17 at level 1, one of 1 at level 2.
func TestTileCounts(t *testing.T) {
	const size = 70000
	for level, want := range [][2]int{{273, 112}, {1, 17}, {0, 1}, {0, 0}} {
		if full, part := TilesAt(level, size), PartialWidth(level, size); full != int64(want[0]) || part != want[1] {
			t.Errorf("level %d: %d full and %d, want %v", level, full, part, want)
		}
	}
	if HashesAt(63, 1<<62) != 0 || HashesAt(7, 1<<62) != 64 {
		t.Error("high levels")
	}
}

func TestProofsAgainstXMod(t *testing.T) {
	const max = 600
	var o oracle
	for n := range int64(max) {
		o.add(t, n)
	}
	edge, ts := grow(t, max)
	get := ts.get(edge) // of the biggest tree: wider tiles must serve smaller sizes
	for size := int64(1); size <= max; size += 1 + size/7 {
		root, err := tlog.TreeHash(size, o)
		if err != nil {
			t.Fatal(err)
		}
		for index := int64(0); index < size; index += 1 + size/23 {
			plan, err := PlanInclusion(index, size)
			if err != nil {
				t.Fatal(err)
			}
			proof, err := plan.Compute(get)
			if err != nil {
				t.Fatal(err)
			}
			want, err := tlog.ProveRecord(size, index, o)
			if err != nil || !sameProof(proof, want) {
				t.Fatalf("%d in %d: %x, x/mod says %x, %v", index, size, proof, want, err)
			}
			if err := VerifyInclusion(index, size, leaf(index), proof, Hash(root)); err != nil {
				t.Fatalf("%d in %d: %v", index, size, err)
			}
		}
		for from := int64(1); from <= size; from += 1 + size/23 {
			plan, err := PlanConsistency(from, size)
			if err != nil {
				t.Fatal(err)
			}
			proof, err := plan.Compute(get)
			if err != nil {
				t.Fatal(err)
			}
			want, err := tlog.ProveTree(size, from, o)
			if err != nil || !sameProof(proof, want) {
				t.Fatalf("%d to %d: %x, x/mod says %x, %v", from, size, proof, want, err)
			}
			old, err := tlog.TreeHash(from, o)
			if err != nil {
				t.Fatal(err)
			}
			if err := VerifyConsistency(from, size, Hash(old), Hash(root), proof); err != nil {
				t.Fatalf("%d to %d: %v", from, size, err)
			}
		}
	}
}

func sameProof(a []Hash, b []tlog.Hash) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != Hash(b[i]) {
			return false
		}
	}
	return true
}

func TestProofsInABigTree(t *testing.T) {
	const size = 140_000
	edge, ts := grow(t, size)
	get := ts.get(edge)
	for range 300 {
		to := 1 + rand.Int64N(size)
		index, from := rand.Int64N(to), rand.Int64N(to+1)
		rng, err := PlanRange(to)
		if err != nil {
			t.Fatal(err)
		}
		hashes, err := rng.Compute(get)
		if err != nil {
			t.Fatal(err)
		}
		root, err := RangeRoot(to, hashes)
		if err != nil {
			t.Fatal(err)
		}
		plan, _ := PlanInclusion(index, to)
		proof, err := plan.Compute(get)
		if err != nil {
			t.Fatal(err)
		}
		if err := VerifyInclusion(index, to, leaf(index), proof, root); err != nil {
			t.Fatalf("%d in %d: %v", index, to, err)
		}
		for i := range proof {
			bad := append([]Hash(nil), proof...)
			bad[i][rand.IntN(HashSize)] ^= 1 << rand.IntN(8)
			if VerifyInclusion(index, to, leaf(index), bad, root) == nil {
				t.Fatal("a damaged proof verifies")
			}
		}
		if len(plan.Tiles()) > 2*edge.Levels() {
			t.Fatalf("%d in %d needs %d tiles", index, to, len(plan.Tiles()))
		}
		frm, err := PlanRange(from)
		if err != nil {
			t.Fatal(err)
		}
		hashes, err = frm.Compute(get)
		if err != nil {
			t.Fatal(err)
		}
		old, err := RangeRoot(from, hashes)
		if err != nil {
			t.Fatal(err)
		}
		cons, _ := PlanConsistency(from, to)
		proof, err = cons.Compute(get)
		if err != nil {
			t.Fatal(err)
		}
		if err := VerifyConsistency(from, to, old, root, proof); err != nil {
			t.Fatalf("%d to %d: %v", from, to, err)
		}
	}
	root := edge.Root()
	if root != func() Hash { e, _ := Edge{}.Append(leavesOf(0, size)); return e.Root() }() {
		t.Fatal("roots differ")
	}
}

func TestOutOfRange(t *testing.T) {
	for _, c := range [][2]int64{{-1, 5}, {5, 5}, {0, 0}, {3, -1}} {
		if _, err := PlanInclusion(c[0], c[1]); err == nil {
			t.Errorf("PlanInclusion(%v)", c)
		}
		if VerifyInclusion(c[0], c[1], Hash{}, nil, Hash{}) == nil {
			t.Errorf("VerifyInclusion(%v)", c)
		}
	}
	for _, c := range [][2]int64{{-1, 5}, {6, 5}} {
		if _, err := PlanConsistency(c[0], c[1]); err == nil {
			t.Errorf("PlanConsistency(%v)", c)
		}
		if VerifyConsistency(c[0], c[1], Hash{}, Hash{}, nil) == nil {
			t.Errorf("VerifyConsistency(%v)", c)
		}
	}
	if VerifyConsistency(0, 5, EmptyRoot(), leaf(1), []Hash{{}}) == nil || VerifyConsistency(0, 5, leaf(0), leaf(1), nil) == nil ||
		VerifyConsistency(3, 3, leaf(0), leaf(1), nil) == nil || VerifyConsistency(0, 0, EmptyRoot(), leaf(1), nil) == nil {
		t.Error("a wrong proof from the empty tree, or of a tree to itself")
	}
	if err := VerifyConsistency(0, 5, EmptyRoot(), leaf(1), nil); err != nil {
		t.Error(err)
	}
	if _, err := NewEdge(5, func(int) ([]Hash, error) { return leavesOf(0, 4), nil }); err == nil {
		t.Error("an edge with a hash missing")
	}
	if _, err := Expand(nil); err == nil {
		t.Error("an empty tile")
	}
	plan, _ := PlanInclusion(0, 100)
	if _, err := plan.Compute(func(Tile) (*Nodes, error) { return Expand(leavesOf(0, 3)) }); err == nil {
		t.Error("a tile that is too narrow")
	}
}

func TestPaths(t *testing.T) {
	for _, c := range []struct {
		tile Tile
		path string
	}{
		{Tile{0, 5, 256}, "tile/0/005"},
		{Tile{63, 1234067, 1}, "tile/63/x001/x234/067.p/1"},
		{Tile{3, 999, 255}, "tile/3/999.p/255"},
		{Tile{1, 1000, 256}, "tile/1/x001/000"},
		{Tile{0, 1<<55 - 1, 255}, "tile/0/x036/x028/x797/x018/x963/967.p/255"},
	} {
		got, err := ParseTilePath(c.tile.Path())
		if c.tile.Path() != c.path || err != nil || got != c.tile {
			t.Errorf("%+v: path %s, parsed %+v, %v", c.tile, c.tile.Path(), got, err)
		}
	}
	for _, bad := range []string{
		"", "tile", "tile/", "tile/0", "tile/0/", "tile/00/000", "tile/64/000", "tile/-1/000", "tile/0/5", "tile/0/0005", "tile/0/x000/005",
		"tile/0/001/005", "tile/0/x001/x005", "tile/0/x1/005", "tile/0/005.p/0", "tile/0/005.p/256", "tile/0/005.p/01", "tile/0/005.p/",
		"tile/0/005.p/+1", "tile/0/005/", "/tile/0/005", "tile/0//005", "tile/0/xx001/005", "tile/0/+05", "tile/0/x009/x223/x372/x036/x854/x775/808",
		"tile/0/x036/x028/x797/x018/x963/968", "tile/0/x072/x057/x594/x037/x927/936", "tile/0/x009/x223/x372/x036/x854/x775/807",
		"tile/entries/005", "tile/0/005.P/1", "tile/0/00a", "tile/+1/005", "tile/0/x001/234/067",
	} {
		if got, err := ParseTilePath(bad); err == nil {
			t.Errorf("%q is %+v", bad, got)
		}
	}
	for _, bad := range []string{
		"tile/entries/5", "tile/entries/x000/005", "tile/entries/005.p/256", "tile/entries", "tile/0/005", "tile/entries/005.p/1/",
		"tile/entries/x072/x057/x594/x037/x927/936", "tile/entries/x072/x057/x594/x037/x927/936.p/1",
	} {
		if got, err := ParseBundlePath(bad); err == nil {
			t.Errorf("%q is %+v", bad, got)
		}
	}
}

func TestBundles(t *testing.T) {
	var data []byte
	var err error
	entries := [][]byte{[]byte("a"), {}, bytes.Repeat([]byte{7}, MaxBundleEntry)}
	for _, e := range entries {
		if data, err = AppendBundleEntry(data, e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := AppendBundleEntry(nil, make([]byte, MaxBundleEntry+1)); err == nil {
		t.Error("an entry that is too long")
	}
	got, err := ParseBundle(data, 3)
	if err != nil || len(got) != 3 || !bytes.Equal(got[2], entries[2]) || len(got[1]) != 0 {
		t.Fatal(len(got), err)
	}
	for _, c := range []struct {
		data  []byte
		width int
	}{{data, 2}, {data, 4}, {data[:len(data)-1], 3}, {append(bytes.Clone(data), 0), 3}, {nil, 0}, {nil, 1}, {data, 257}} {
		if _, err := ParseBundle(c.data, c.width); err == nil {
			t.Errorf("%d bytes as %d entries", len(c.data), c.width)
		}
	}
}

func FuzzPaths(f *testing.F) {
	for _, s := range []string{"tile/0/x001/067.p/3", "tile/entries/000.p/12", "tile/63/999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if tile, err := ParseTilePath(s); err == nil && tile.Path() != s {
			t.Fatalf("%q is %+v, whose path is %q", s, tile, tile.Path())
		}
		if b, err := ParseBundlePath(s); err == nil && b.Path() != s {
			t.Fatalf("%q is %+v, whose path is %q", s, b, b.Path())
		}
	})
}

func FuzzBundle(f *testing.F) {
	f.Add([]byte{0, 1, 'a', 0, 0}, 2)
	f.Fuzz(func(t *testing.T, data []byte, width int) {
		entries, err := ParseBundle(data, width)
		if err != nil {
			return
		}
		var again []byte
		for _, e := range entries {
			again, err = AppendBundleEntry(again, e)
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(again, data) || len(entries) != width {
			t.Fatalf("%d entries of %d, %x became %x", len(entries), width, data, again)
		}
	})
}

func FuzzDecodeTile(f *testing.F) {
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, data []byte) {
		if hashes, err := DecodeTile(data); err == nil && !bytes.Equal(EncodeTile(hashes), data) {
			t.Fatal("not the same bytes")
		}
	})
}

func BenchmarkAppend1024(b *testing.B) {
	leaves := leavesOf(0, 1024)
	var edge Edge
	for b.Loop() {
		edge, _ = edge.Append(leaves)
	}
}

func BenchmarkExpand(b *testing.B) {
	leaves := leavesOf(0, 256)
	for b.Loop() {
		if _, err := Expand(leaves); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInclusionProof(b *testing.B) {
	const size = 100_000
	edge, ts := grow(b, size)
	nodes := map[Tile]*Nodes{}
	get := func(t Tile) (*Nodes, error) {
		t.Width = 0
		if n, ok := nodes[t]; ok {
			return n, nil
		}
		t.Width = TileWidth
		n, err := ts.get(edge)(t)
		t.Width = 0
		nodes[t] = n
		return n, err
	}
	for b.Loop() {
		plan, err := PlanInclusion(rand.Int64N(size), size)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := plan.Compute(get); err != nil {
			b.Fatal(err)
		}
	}
}
