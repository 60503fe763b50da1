// Package merkle holds the mathematics of a tiled transparency log: pure
// functions over hashes, without I/O, clock or state.
//
// The tree is that of RFC 6962 over SHA-256; its tiles, their names and the
// entry bundles are those of C2SP tlog-tiles. A tile holds 256 hashes of one
// level; hash i of tile (level, index) is the root over the leaves
// [(256·index+i)·256^level, (256·index+i+1)·256^level).
//
// # Growing
//
// An Edge is all that is needed to append:
//
//	edge, full := edge.Append(leaves)   // full: the tiles that were completed
//	root := edge.Root()
//
// # Proving
//
// A proof is planned, its tiles are fetched once, and then it is computed:
//
//	plan, err := merkle.PlanInclusion(index, size)
//	for _, t := range plan.Tiles() { … fetch t.Path() … }
//	hashes, err := plan.Compute(func(t merkle.Tile) (*merkle.Nodes, error) { … })
package merkle
