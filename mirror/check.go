package mirror

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"indelible/checkpoint"
	"indelible/internal/filelock"
	"indelible/merkle"
	"indelible/mirror/source"
)

// Finding is a file of a copy that is not what it must be.
type Finding struct {
	Path     string `json:"path"`
	What     string `json:"what"`
	Repaired bool   `json:"repaired"`
}

// Checked is what a check of a copy found.
type Checked struct {
	Origin   string    `json:"origin"`
	Size     int64     `json:"size"` // of the committed head
	Entries  int64     `json:"entries"`
	Files    int64     `json:"files"`
	Bytes    int64     `json:"bytes"`
	Findings []Finding `json:"findings"`
}

// maxFindings bounds how many findings a check tells.
const maxFindings = 1000

// CheckOptions say how a copy is checked.
type CheckOptions struct {
	Dir, Origin string
	// Keys are the log's, and Format its format; those that the copy remembers if
	// they are empty.
	Keys   []checkpoint.Verifier
	Format source.Format
	// Repair is where what is wrong is fetched again; nil: nothing is written.
	Repair source.Log
	// Progress is told how many entries were checked.
	Progress func(done, size int64)
}

// Check reads a whole copy, recomputes every hash from the entries, and compares every
// file. It refuses while a process writes the copy.
func Check(ctx context.Context, o CheckOptions) (Checked, error) {
	c := &checker{
		CheckOptions: o, tree: filepath.Join(o.Dir, Folder(o.Origin)), private: privateDir(o.Dir, o.Origin),
		report: Checked{Origin: o.Origin, Findings: []Finding{}},
	}
	if _, err := os.Stat(c.private); errors.Is(err, fs.ErrNotExist) {
		return c.report, fmt.Errorf("%w of the log %q in %s", ErrNoCopy, o.Origin, o.Dir)
	}
	lock, err := filelock.Take(filepath.Join(c.private, "lock"))
	if err != nil {
		return c.report, fmt.Errorf("%s: %w", c.tree, err)
	}
	defer lock.Close()
	return c.report, c.all(ctx)
}

type checker struct {
	CheckOptions
	tree, private string
	report        Checked
	state         state
	heads         []source.Head // that were accepted, and verify
	head          source.Head   // committed
	edge          merkle.Edge
}

func (c *checker) all(ctx context.Context) error {
	if err := c.readState(); err != nil {
		return err
	}
	lines, damaged := c.readHeads()
	head := c.committed()
	if damaged != "" {
		if !slices.ContainsFunc(c.heads, func(h source.Head) bool { return bytes.Equal(h.Note, head.Note) }) {
			lines = append(lines, headLine(head)...)
		}
		if err := c.find(".mirror/heads", damaged, lines); err != nil {
			return err
		}
	}
	c.report.Size, c.head = head.Size, head
	to := max(head.Size, c.state.Size)
	var atHead merkle.Edge
	for c.edge.Size() < to {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(c.edge.Size()/source.BlockSize*source.BlockSize+source.BlockSize, to)
		if head.Size > c.edge.Size() && head.Size < end {
			end = head.Size // and then the rest of the block
		}
		if err := c.block(ctx, head, end); err != nil {
			return err
		}
		if c.edge.Size() == head.Size {
			atHead = c.edge
		}
		if c.Progress != nil {
			c.Progress(c.edge.Size(), to)
		}
	}
	c.report.Entries = to
	if root := atHead.Root(); root != head.Root {
		return c.find("checkpoint", fmt.Sprintf("the entries have the root %x, and the checkpoint says %x: what was changed cannot be told; begin the copy again", root, head.Root), nil)
	}
	for level := range atHead.Levels() {
		if hashes := atHead.Partial(level); len(hashes) > 0 {
			t := merkle.Tile{Level: level, Index: merkle.TilesAt(level, head.Size), Width: len(hashes)}
			if err := c.compare(t.Path(), merkle.EncodeTile(hashes)); err != nil {
				return err
			}
		}
	}
	if err := c.checkState(); err != nil {
		return err
	}
	return c.walk(ctx)
}

// find adds a finding, and repairs the file if that is asked for and possible.
func (c *checker) find(path, what string, right []byte) error {
	f := Finding{Path: path, What: what}
	if c.Repair != nil && right != nil {
		mode, full := fs.FileMode(0o644), filepath.Join(c.tree, path)
		if strings.HasPrefix(path, ".mirror/") {
			mode, full = 0o600, filepath.Join(c.private, filepath.Base(path))
		}
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return err
		}
		if err := replace(realDisk{}, full, right, mode); err != nil {
			return err
		}
		f.Repaired = true
	}
	if len(c.report.Findings) == maxFindings {
		return fmt.Errorf("there are more than %d findings; begin the copy again", maxFindings)
	}
	c.report.Findings = append(c.report.Findings, f)
	return nil
}

func (c *checker) read(path string) ([]byte, error) {
	data, err := realDisk{}.read(filepath.Join(c.tree, path), maxFile)
	c.report.Files++
	c.report.Bytes += int64(len(data))
	return data, err
}

// readState reads the state. One that is damaged is replaced in the end.
func (c *checker) readState() error {
	data, err := realDisk{}.read(filepath.Join(c.private, "state"), maxState)
	if err == nil {
		c.state, err = parseState(data)
	}
	if err == nil && c.state.Origin != c.Origin {
		err = fmt.Errorf("it is of the log %q", c.state.Origin)
	}
	if err != nil {
		c.state = state{Origin: c.Origin, Format: c.Format}
		if len(c.Keys) == 0 {
			return fmt.Errorf("%s: %w; give the log's keys", filepath.Join(c.private, "state"), err)
		}
		return c.find(".mirror/state", err.Error(), nil)
	}
	c.Format = c.state.Format
	for _, k := range c.state.Keys {
		v, err := checkpoint.ParseVerifier(k)
		if err == nil && len(c.Keys) < len(c.state.Keys) {
			c.Keys = append(c.Keys, v)
		}
	}
	return nil
}

func (c *checker) open(note []byte) (source.Head, error) {
	o, err := checkpoint.OpenExtended(c.Origin, note, c.Keys)
	return source.Head{Size: o.Size, Root: o.Root, Note: note}, err
}

// readHeads reads the file of heads. It returns the lines that are right, and what is
// wrong with the others.
func (c *checker) readHeads() (good []byte, damaged string) {
	good = []byte("\n")
	data, err := os.ReadFile(filepath.Join(c.private, "heads"))
	if errors.Is(err, fs.ErrNotExist) && len(c.state.Pending) == 0 {
		return good, ""
	}
	if err != nil {
		return good, pathless(err)
	}
	wrong := 0
	for line := range bytes.Lines(data) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		h, err := c.parseHeadLine(line)
		if err != nil {
			wrong++
			continue
		}
		c.heads = append(c.heads, h)
		good = append(append(good, '\n'), line...)
	}
	if wrong > 0 {
		damaged = fmt.Sprintf("%d of its lines are damaged, or were cut off", wrong)
	}
	return good, damaged
}

func (c *checker) parseHeadLine(line []byte) (source.Head, error) {
	sum, text, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
	if want := sha256.Sum256(text); string(sum) != hex.EncodeToString(want[:]) {
		return source.Head{}, errDamaged
	}
	var a accepted
	if err := json.Unmarshal(text, &a); err != nil {
		return source.Head{}, err
	}
	return c.open([]byte(a.Note))
}

// committed is the head of the file checkpoint, or in its place the newest that was
// accepted and is below the frontier.
func (c *checker) committed() source.Head {
	none := source.Head{Root: merkle.EmptyRoot()}
	note, err := c.read("checkpoint")
	if errors.Is(err, fs.ErrNotExist) && len(c.state.Notes) == 0 {
		return none // nothing was committed yet
	}
	var head source.Head
	if err == nil {
		head, err = c.open(note)
	}
	if sum := noteSum(note); err == nil && len(c.state.Notes) > 0 && !slices.Contains(c.state.Notes, sum) {
		err = errors.New("a line that the log's keys do not sign was changed")
	}
	if err == nil {
		return head
	}
	if h, openErr := c.open(c.state.Pending); openErr == nil {
		c.heads = append(c.heads, h)
	}
	for _, h := range slices.Backward(c.heads) {
		if slices.Contains(c.state.Notes, noteSum(h.Note)) {
			c.find("checkpoint", err.Error(), h.Note)
			return h
		}
	}
	c.find("checkpoint", err.Error(), nil)
	return none
}

// block checks the entries from the edge to end, which lie in one bundle, and what they
// complete.
func (c *checker) block(ctx context.Context, head source.Head, end int64) error {
	n := c.edge.Size() / source.BlockSize
	start := n * source.BlockSize
	b := merkle.Bundle{Index: n, Width: int(end - start)}
	leaves, err := c.leaves(ctx, head, b)
	if err != nil {
		return err
	}
	next, full := c.edge.Append(leaves[c.edge.Size()-start:])
	c.edge = next
	for _, t := range full {
		name := merkle.Tile{Level: t.Level, Index: t.Index, Width: merkle.TileWidth}
		if t.Level == 0 {
			continue // leaves compared it
		}
		if err := c.compare(name.Path(), merkle.EncodeTile(t.Hashes)); err != nil {
			return err
		}
	}
	return nil
}

// compare holds a file against what it must be.
func (c *checker) compare(path string, want []byte) error {
	got, err := c.read(path)
	switch {
	case err != nil:
		return c.find(path, pathless(err), want)
	case !bytes.Equal(got, want):
		return c.find(path, "it is not what the entries give", want)
	}
	return nil
}

// leaves returns the leaf hashes of a bundle. Its entries and its tile of level 0 vouch
// for each other; where they differ the tile above says which is right.
func (c *checker) leaves(ctx context.Context, head source.Head, b merkle.Bundle) ([]merkle.Hash, error) {
	path := source.DataPath(c.Format, b)
	data, err := c.read(path)
	wide := c.Format == source.RekorV1 && errors.Is(err, fs.ErrNotExist)
	if wide {
		path = source.WidePath(b)
		data, err = c.read(path)
	}
	block := source.Block{}
	if err == nil {
		block, err = parse(c.Format, wide, data, b.Width, b.Width)
	}
	var own []merkle.Hash
	if err == nil {
		for _, e := range block.Entries {
			own = append(own, merkle.LeafHash(e))
		}
	}
	tile := merkle.Tile{Index: b.Index, Width: b.Width}
	said, tileErr := c.storedTile(tile)
	if b.Width < merkle.TileWidth && errors.Is(tileErr, fs.ErrNotExist) && b.Index*merkle.TileWidth+int64(b.Width) != head.Size {
		said, tileErr = c.edgeTile(), nil // of the frontier: the state has it
	}
	if err == nil && tileErr == nil && slices.Equal(own, said) {
		return own, nil
	}
	return c.settle(ctx, head, b, path, own, said, err, tileErr)
}

// edgeTile is the partial tile of level 0 that the state remembers.
func (c *checker) edgeTile() []merkle.Hash {
	edge, err := c.state.edge()
	if err != nil {
		return nil
	}
	return edge.Partial(0)
}

func (c *checker) storedTile(t merkle.Tile) ([]merkle.Hash, error) {
	data, err := c.read(t.Path())
	if err != nil {
		return nil, err
	}
	hashes, err := merkle.DecodeTile(data)
	if err == nil && len(hashes) != t.Width {
		err = fmt.Errorf("it has %d hashes, and not %d", len(hashes), t.Width)
	}
	return hashes, err
}

// settle says which of a bundle and its tile is wrong, and returns the right hashes.
func (c *checker) settle(ctx context.Context, head source.Head, b merkle.Bundle, path string, own, said []merkle.Hash, err, tileErr error) ([]merkle.Hash, error) {
	tile := merkle.Tile{Index: b.Index, Width: b.Width}.Path()
	if err == nil && (tileErr != nil || c.vouched(head, b, own)) {
		what := "it is not what the entries give"
		if tileErr != nil {
			what = pathless(tileErr)
		}
		return own, c.find(tile, what, merkle.EncodeTile(own))
	}
	what := "its entries are not those of the tree"
	if err != nil {
		what = pathless(err)
	} else if at := firstDifference(own, said); at < len(own) {
		what = fmt.Sprintf("entry %d is not the one in the tree", b.Index*merkle.TileWidth+int64(at))
	}
	if c.Repair == nil {
		if findErr := c.find(path, what, nil); findErr != nil || tileErr == nil {
			return said, findErr
		}
		return nil, fmt.Errorf("%s: %s, and its tile %s; what follows cannot be checked", path, what, pathless(tileErr))
	}
	if pending, openErr := c.open(c.state.Pending); openErr == nil {
		head = pending
	}
	leaves, data, err := c.again(ctx, head, b)
	if err != nil {
		return nil, fmt.Errorf("%s: %s; it cannot be fetched again: %w", path, what, err)
	}
	if !slices.Equal(leaves, said) {
		if err := c.find(tile, "it is not what the entries give", merkle.EncodeTile(leaves)); err != nil {
			return nil, err
		}
	}
	return leaves, c.find(path, what, data)
}

// again fetches a bundle: its leaf hashes, and what is stored of it.
func (c *checker) again(ctx context.Context, head source.Head, b merkle.Bundle) ([]merkle.Hash, []byte, error) {
	block, err := c.Repair.Block(ctx, head, b.Index)
	if err == nil && len(block.Leaves) < b.Width {
		err = fmt.Errorf("the log has %d of its %d entries", len(block.Leaves), b.Width)
	}
	if err != nil {
		return nil, nil, err
	}
	data, wide := block.Data, block.Data == nil
	if wide {
		for _, e := range block.Entries {
			data = source.AppendWide(data, e)
		}
	}
	cut, err := parse(c.Format, wide, data, len(block.Leaves), b.Width)
	return block.Leaves[:b.Width], cut.Data, err
}

// vouched reports whether the tile above a bundle has the root of these leaves, or,
// at the end of the tree, the checkpoint has.
func (c *checker) vouched(head source.Head, b merkle.Bundle, leaves []merkle.Hash) bool {
	start := b.Index * merkle.TileWidth
	if b.Width < merkle.TileWidth {
		edge, _ := c.edge.Append(leaves[c.edge.Size()-start:])
		return edge.Size() == head.Size && edge.Root() == head.Root
	}
	edge, _ := merkle.Edge{}.Append(leaves)
	to := max(c.report.Size, c.state.Size)
	index := b.Index / merkle.TileWidth
	width := int(min(merkle.TileWidth, merkle.HashesAt(1, to)-index*merkle.TileWidth))
	hashes, err := c.storedTile(merkle.Tile{Level: 1, Index: index, Width: width})
	if err != nil && to == c.state.Size {
		if e, stateErr := c.state.edge(); stateErr == nil {
			hashes, err = e.Partial(1), nil
		}
	}
	at := int(b.Index % merkle.TileWidth)
	return err == nil && at < len(hashes) && hashes[at] == edge.Root()
}

func firstDifference(a, b []merkle.Hash) int {
	at := 0
	for at < len(a) && at < len(b) && a[at] == b[at] {
		at++
	}
	return at
}

// checkState compares the frontier's edge with the entries, and replaces a state that
// was damaged.
func (c *checker) checkState() error {
	edge, err := c.state.edge()
	if err == nil && c.state.Size == c.edge.Size() && edge.Root() == c.edge.Root() {
		return nil
	}
	c.state.Size, c.state.Edge = c.edge.Size(), encodeEdge(c.edge)
	c.state.Partials = []int64{c.report.Size, c.state.Size}
	if len(c.state.Keys) == 0 { // it is lost
		c.state.Pending, c.state.Notes = c.head.Note, []string{noteSum(c.head.Note)}
		for _, k := range c.Keys {
			c.state.Keys = append(c.state.Keys, k.String())
		}
	}
	at := slices.IndexFunc(c.report.Findings, func(f Finding) bool { return f.Path == ".mirror/state" })
	if at < 0 {
		return c.find(".mirror/state", "its frontier is not what the entries give", c.state.marshal())
	}
	if c.Repair == nil {
		return nil
	}
	c.report.Findings[at].Repaired = true
	return replace(realDisk{}, filepath.Join(c.private, "state"), c.state.marshal(), 0o600)
}

// walk checks the files that the entries do not lead to: partial ones, issuers, and
// what does not belong there.
func (c *checker) walk(ctx context.Context) error {
	return filepath.WalkDir(c.tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		name, err := filepath.Rel(c.tree, path)
		if err != nil {
			return err
		}
		return c.other(filepath.ToSlash(name))
	})
}

// other checks a file of the tree by its name.
func (c *checker) other(name string) error {
	size := c.edge.Size()
	if t, err := merkle.ParseTilePath(name); err == nil {
		if t.Index*merkle.TileWidth+int64(t.Width) > merkle.HashesAt(t.Level, size) {
			return c.leftover(name)
		}
		if t.Width == merkle.TileWidth {
			return nil // it was checked
		}
		hashes := c.edge.Partial(t.Level)
		if t.Index < merkle.TilesAt(t.Level, size) {
			if hashes, err = c.storedTile(merkle.Tile{Level: t.Level, Index: t.Index, Width: merkle.TileWidth}); err != nil {
				return nil // that was told
			}
		}
		return c.compare(name, merkle.EncodeTile(hashes[:t.Width]))
	}
	standard := strings.Replace(strings.Replace(name, "tile/data/", "tile/entries/", 1), "tile/entries32/", "tile/entries/", 1)
	if b, err := merkle.ParseBundlePath(standard); err == nil {
		return c.partialBundle(name, b)
	}
	hash, isIssuer := strings.CutPrefix(name, "issuer/")
	switch {
	case name == "checkpoint", strings.HasSuffix(name, ".new"):
		return nil
	case isIssuer:
		data, err := c.read(name)
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != hash {
			return c.find(name, "its SHA-256 is "+strconv.Quote(hex.EncodeToString(sum[:])), nil)
		}
		return nil
	}
	return c.find(name, "it is not a file of a copy", nil)
}

// leftover is a file beyond the frontier. No head needs it, and it is written again when
// the copy grows; a repair removes it.
func (c *checker) leftover(name string) error {
	if c.Repair == nil {
		return nil
	}
	return os.Remove(filepath.Join(c.tree, name))
}

// partialBundle compares the leaf hashes of a partial bundle with the tile's.
func (c *checker) partialBundle(name string, b merkle.Bundle) error {
	end := b.Index*merkle.TileWidth + int64(b.Width)
	if end > c.edge.Size() {
		return c.leftover(name)
	}
	if b.Width == merkle.TileWidth {
		return nil // it was checked
	}
	full := merkle.Bundle{Index: b.Index, Width: int(min(merkle.TileWidth, c.edge.Size()-b.Index*merkle.TileWidth))}
	wide := strings.HasPrefix(name, "tile/entries32/")
	path := source.DataPath(c.Format, full)
	if wide {
		path = source.WidePath(full)
	}
	data, err := c.read(path)
	if err != nil {
		return nil // that was told
	}
	right, err := parse(c.Format, wide, data, full.Width, b.Width)
	if err != nil {
		return nil
	}
	return c.compare(name, right.Data)
}

// pathless is an error of a file without its name, which a Finding has.
func pathless(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err.Error()
	}
	return err.Error()
}
