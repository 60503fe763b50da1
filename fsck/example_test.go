package fsck_test

import (
	"context"
	"errors"
	"fmt"

	"indelible/fsck"
	"indelible/merkle"
)

// small is a log of less than 256 entries: one bundle and one tile.
type small struct {
	entries [][]byte
	tile    []byte
}

func (s small) Entries(_ context.Context, start, end int64) ([][]byte, error) {
	return s.entries[start:end], nil
}

func (s small) Tile(context.Context, merkle.Tile) ([]byte, error) { return s.tile, nil }

func Example() {
	entries := [][]byte{[]byte("first"), []byte("second"), []byte("third")}
	var leaves []merkle.Hash
	for _, e := range entries {
		leaves = append(leaves, merkle.LeafHash(e))
	}
	edge, _ := merkle.Edge{}.Append(leaves)
	log := small{entries, merkle.EncodeTile(leaves)}

	report, err := fsck.Check(context.Background(), log, edge.Size(), edge.Root(), nil)
	fmt.Printf("%+v %v\n", report, err)

	log.entries[1] = []byte("forged")
	_, err = fsck.Check(context.Background(), log, edge.Size(), edge.Root(), nil)
	var wrong *fsck.Problem
	fmt.Println(errors.As(err, &wrong), err)
	// Output:
	// {Entries:3 Tiles:1 Bytes:16} <nil>
	// true tile/0/000.p/3: its hash 1 is not that of entry 1
}
