package mirror

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"indelible/checkpoint"
	"indelible/internal/filelock"
	"indelible/merkle"
	"indelible/mirror/source"
)

// A batch is what Append makes durable together.
const (
	batchBytes = 64 << 20
	batchTime  = 10 * time.Second
)

// ErrNoCopy: the directory has no copy of that log.
var ErrNoCopy = errors.New("there is no copy")

// Config says which copy to open.
type Config struct {
	Dir    string // with copies of any logs; Open creates it
	Origin string
	// Format, URLs and Keys are remembered for those who find the copy. Those of an
	// existing copy are replaced, except that its Format stays.
	Format source.Format // Tiles
	URLs   []string
	Keys   []checkpoint.Verifier

	disk     disk
	maxHeads int64 // 0: the constant
}

// Copy is the copy of one log, which one process writes. Its methods may be called at
// the same time. After an error of a method that writes, all of them return it: the
// copy must be closed and opened again.
type Copy struct {
	tree    string // folder that is served
	private string
	disk    disk
	writer  *writer
	lock    *os.File

	maxHeads int64

	mu      sync.Mutex
	state   state
	edge    merkle.Edge // of what was appended
	tail    []byte      // of the last block, if it is not full
	wide    bool        // tail is one that no bundle can hold
	head    source.Head // committed
	pending source.Head
	heads   int64           // bytes of the file of heads
	beside  map[string]bool // files of Put, which may be on their way
	since   int             // bytes that were appended since the last batch
	last    time.Time
	err     error
}

// Folder is the name of a log's folder: hex SHA-256(origin).
func Folder(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return hex.EncodeToString(sum[:])
}

func privateDir(dir, origin string) string { return filepath.Join(dir, ".mirror", Folder(origin)) }

// Open opens the copy of a log for writing, and begins one if there is none.
func Open(cfg Config) (*Copy, error) {
	if cfg.Origin == "" {
		return nil, errors.New("the log has no origin")
	}
	cfg.Format = cmp.Or(cfg.Format, source.Tiles)
	c := &Copy{tree: filepath.Join(cfg.Dir, Folder(cfg.Origin)), private: privateDir(cfg.Dir, cfg.Origin), disk: cfg.disk, last: time.Now(), beside: make(map[string]bool), maxHeads: cmp.Or(cfg.maxHeads, maxHeads)}
	if c.disk == nil {
		c.disk = realDisk{}
		err := mkdirAll(c.disk, cfg.Dir, 0o755)
		if err == nil {
			err = mkdirAll(c.disk, c.private, 0o700)
		}
		if err != nil {
			return nil, err
		}
		if c.lock, err = filelock.Take(filepath.Join(c.private, "lock")); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(cfg.Dir, Folder(cfg.Origin)), err)
		}
	}
	c.writer = newWriter(c.disk, c.tree)
	err := mkdirAll(c.disk, c.private, 0o700)
	if err == nil {
		err = mkdirAll(c.disk, c.tree, 0o755)
	}
	if err == nil {
		// They may have been left by a process that had not synced them yet.
		err = errors.Join(c.disk.syncDir(cfg.Dir), c.disk.syncDir(filepath.Dir(c.private)))
	}
	if err == nil {
		err = c.load(cfg)
	}
	if err == nil && cfg.disk == nil {
		err = c.removeLeftovers()
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// load reads what the copy has, and settles what a crash left.
func (c *Copy) load(cfg Config) error {
	if err := c.readState(cfg); err != nil {
		return err
	}
	keys := make([]string, len(cfg.Keys))
	for i, k := range cfg.Keys {
		keys[i] = k.String()
	}
	if len(keys) > 0 {
		c.state.Keys = keys
	}
	if len(cfg.URLs) > 0 {
		c.state.URLs = cfg.URLs
	}
	if width := int(c.state.Size % source.BlockSize); width > 0 {
		var err error
		if c.tail, c.wide, err = c.data(merkle.Bundle{Index: c.state.Size / source.BlockSize, Width: width}); err != nil {
			return fmt.Errorf("the bundle at the end of the copy: %w; mend it with logcli mirror verify --repair", err)
		}
	}
	return errors.Join(c.countHeads(), c.save())
}

// readState reads the state, or derives it from the committed head where it is
// damaged or lost.
func (c *Copy) readState(cfg Config) error {
	note, err := c.disk.read(filepath.Join(c.tree, "checkpoint"), checkpoint.MaxNoteSize)
	if err == nil {
		c.head, err = parseHead(note)
	} else if errors.Is(err, fs.ErrNotExist) {
		c.head, err = source.Head{Root: merkle.EmptyRoot()}, nil
	}
	if err != nil {
		return fmt.Errorf("the copy's checkpoint: %w", err)
	}
	c.pending = c.head
	data, err := c.disk.read(filepath.Join(c.private, "state"), maxState)
	if err == nil {
		c.state, err = parseState(data)
	}
	if err == nil {
		c.edge, err = c.state.edge()
	}
	switch {
	case err != nil && (errors.Is(err, fs.ErrNotExist) || c.head.Size > 0):
		return c.recover(cfg)
	case err != nil:
		return fmt.Errorf("%s: %w; remove it to begin the copy again", filepath.Join(c.private, "state"), err)
	case c.state.Origin != cfg.Origin:
		return fmt.Errorf("%s is the state of a copy of %q, and not of %q", c.private, c.state.Origin, cfg.Origin)
	case c.state.Size < c.head.Size:
		return c.recover(cfg) // the state is an older one
	}
	if len(c.state.Pending) > 0 {
		if c.pending, err = parseHead(c.state.Pending); err != nil {
			return fmt.Errorf("%s: the pending head: %w", c.private, err)
		}
	}
	return nil
}

// recover makes a state from the tiles of the committed head.
func (c *Copy) recover(cfg Config) (err error) {
	c.state = state{Origin: cfg.Origin, Format: cfg.Format, Size: c.head.Size, Pending: c.head.Note, Partials: []int64{c.head.Size}}
	if c.head.Note != nil {
		c.state.Notes = []string{noteSum(c.head.Note)}
	}
	c.edge, err = merkle.NewEdge(c.head.Size, func(level int) ([]merkle.Hash, error) {
		t := merkle.Tile{Level: level, Index: merkle.TilesAt(level, c.head.Size), Width: merkle.PartialWidth(level, c.head.Size)}
		if t.Width == 0 {
			return nil, nil
		}
		data, err := c.read(t.Path())
		if err != nil {
			return nil, err
		}
		return merkle.DecodeTile(data)
	})
	if err == nil && c.edge.Root() != c.head.Root {
		err = errors.New("they lead to another root than its checkpoint has")
	}
	if err != nil {
		return fmt.Errorf("the copy's state is lost, and its partial tiles do not replace it: %w; mend it with logcli mirror verify --repair", err)
	}
	return nil
}

// Head is the newest head that the copy has whole, with the note that is served: its
// Size is 0 and it has no Note if there is none.
func (c *Copy) Head() source.Head {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head
}

// Pending is the newest head that was accepted; Head if there was none since.
func (c *Copy) Pending() source.Head {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pending
}

// Next is the index of the first entry that was not appended yet. After Open it is the
// verified frontier: all below it is durable.
func (c *Copy) Next() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.edge.Size()
}

// Format says how the log frames its entries.
func (c *Copy) Format() source.Format { return c.state.Format }

// Path is the folder that is served.
func (c *Copy) Path() string { return c.tree }

// Evidence is the folder for evidence against the log, which exists.
func (c *Copy) Evidence() (string, error) {
	dir := filepath.Join(c.private, "evidence")
	err := c.disk.mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return dir, err
}

// Tail returns the block at the end of the copy, if it is not full: its bytes as the
// log frames them, and the leaf hashes of its entries.
func (c *Copy) Tail() (data []byte, leaves []merkle.Hash) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tail, slices.Clone(c.edge.Partial(0))
}

// Tile returns the hashes that the copy has of a tile: up to 256.
func (c *Copy) Tile(level int, index int64) ([]merkle.Hash, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tile(level, index)
}

func (c *Copy) tile(level int, index int64) ([]merkle.Hash, error) {
	switch full := merkle.TilesAt(level, c.edge.Size()); {
	case index == full:
		return slices.Clone(c.edge.Partial(level)), nil
	case index > full || index < 0:
		return nil, fmt.Errorf("a tree of %d entries has no tile %d of level %d", c.edge.Size(), index, level)
	}
	if c.since > 0 { // it may be on its way
		if err := c.failed(c.flush()); err != nil {
			return nil, err
		}
	}
	data, err := c.read(merkle.Tile{Level: level, Index: index, Width: merkle.TileWidth}.Path())
	if err != nil {
		return nil, err
	}
	return merkle.DecodeTile(data)
}

// Accept remembers a head that the log signed, and that the caller has proven to
// extend Pending. It is durable when Accept returns.
func (c *Copy) Accept(h source.Head) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return c.err
	case h.Size < c.pending.Size || h.Size == c.pending.Size && h.Root != c.pending.Root:
		return fmt.Errorf("a head of size %d with root %x does not extend that of size %d with root %x", h.Size, h.Root, c.pending.Size, c.pending.Root)
	case bytes.Equal(h.Note, c.pending.Note):
		return nil
	}
	if h.Size > c.pending.Size || len(c.pending.Note) == 0 {
		if err := c.remember(h); err != nil {
			return c.failed(err)
		}
	}
	c.state.Pending, c.pending = h.Note, h
	return c.failed(c.save())
}

// accepted is a line of the file heads, after its SHA-256.
type accepted struct {
	Time string `json:"time"`
	Size int64  `json:"size"`
	Root []byte `json:"root"`
	Note string `json:"note"`
}

// headLine is the line of a head: a SHA-256, and what it is of.
func headLine(h source.Head) []byte {
	line, err := json.Marshal(accepted{time.Now().UTC().Format(time.RFC3339), h.Size, h.Root[:], string(h.Note)})
	if err != nil {
		panic(err) // it has only strings, a number and bytes
	}
	return fmt.Appendf(nil, "\n%x %s\n", sha256.Sum256(line), line)
}

// Append adds the entries of a block that the copy lacks: it must begin with the block
// that Next is in, and have entry Next. It is durable after Sync or Commit, and now and
// then before. Its slices must not be changed.
func (c *Copy) Append(b source.Block) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	next := c.edge.Size()
	has := int(next - b.Start)
	if b.Start != next/source.BlockSize*source.BlockSize || has >= len(b.Leaves) || len(b.Leaves) > source.BlockSize {
		return fmt.Errorf("a block of entries %d to %d was appended where entry %d is next", b.Start, b.Start+int64(len(b.Leaves))-1, next)
	}
	if !slices.Equal(b.Leaves[:has], c.edge.Partial(0)) {
		return fmt.Errorf("a block of entries %d to %d was appended that begins with other entries than the copy has", b.Start, b.Start+int64(len(b.Leaves))-1)
	}
	data, path, wide := c.framed(b)
	edge, full := c.edge.Append(b.Leaves[has:])
	c.edge, c.tail, c.wide = edge, nil, wide
	if len(b.Leaves) < source.BlockSize {
		c.tail = data
	}
	if err := c.writer.put(c.path(path), data); err != nil {
		return c.failed(err)
	}
	for _, t := range full {
		name := merkle.Tile{Level: t.Level, Index: t.Index, Width: merkle.TileWidth}
		if err := c.writer.put(c.path(name.Path()), merkle.EncodeTile(t.Hashes)); err != nil {
			return c.failed(err)
		}
	}
	if c.since += len(data); c.since >= batchBytes || time.Since(c.last) > batchTime {
		return c.failed(c.flush())
	}
	return nil
}

// framed is a block's data, and the path that it is stored at.
func (c *Copy) framed(b source.Block) (data []byte, path string, wide bool) {
	name := merkle.Bundle{Index: b.Start / source.BlockSize, Width: len(b.Leaves)}
	if b.Data != nil {
		return b.Data, source.DataPath(c.state.Format, name), false
	}
	for _, e := range b.Entries {
		data = source.AppendWide(data, e)
	}
	return data, source.WidePath(name), true
}

// data reads the entries of a bundle, as they are stored.
func (c *Copy) data(b merkle.Bundle) (data []byte, wide bool, err error) {
	data, err = c.read(source.DataPath(c.state.Format, b))
	if c.state.Format == source.RekorV1 && errors.Is(err, fs.ErrNotExist) {
		data, err = c.read(source.WidePath(b))
		return data, true, err
	}
	return data, false, err
}

// Sync returns when everything that was appended is durable, and Next remembered.
func (c *Copy) Sync() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	return c.failed(c.flush())
}

func (c *Copy) flush() error {
	if err := c.writer.sync(); err != nil {
		return err
	}
	c.since, c.last = 0, time.Now()
	return c.save()
}

// save writes the state, of what is durable.
func (c *Copy) save() error {
	if c.since == 0 {
		c.state.Size, c.state.Edge = c.edge.Size(), encodeEdge(c.edge)
		c.notePartials(c.state.Size)
	}
	return replace(c.disk, filepath.Join(c.private, "state"), c.state.marshal(), 0o600)
}

// Commit makes a head the copy's: its note is served as the checkpoint. The entries
// below it must have been appended, and lead to its root. A head of the size of Head
// replaces it, for newer signatures; a smaller one is refused.
func (c *Copy) Commit(h source.Head) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if h.Size < c.head.Size || h.Size > c.edge.Size() {
		return fmt.Errorf("a head of size %d cannot be committed: the copy has %d entries, and its head the size %d", h.Size, c.edge.Size(), c.head.Size)
	}
	edge, err := c.edgeAt(h.Size)
	if err != nil {
		return err
	}
	if root := edge.Root(); root != h.Root {
		return fmt.Errorf("the copy's first %d entries have the root %x, and the head says %x", h.Size, root, h.Root)
	}
	return c.failed(c.commit(h, edge))
}

func (c *Copy) commit(h source.Head, edge merkle.Edge) error {
	if err := c.putPartials(edge); err != nil {
		return err
	}
	c.notePartials(h.Size)
	c.state.Notes = []string{noteSum(h.Note)}
	if c.head.Note != nil {
		c.state.Notes = append(c.state.Notes, noteSum(c.head.Note))
	}
	if err := c.flush(); err != nil {
		return err
	}
	if err := replace(c.disk, c.path("checkpoint"), h.Note, 0o644); err != nil {
		return err
	}
	before := c.head.Size
	c.head = h
	if h.Size > c.pending.Size {
		c.pending, c.state.Pending = h, h.Note
	}
	// Readers may still have the head before this one.
	return c.removePartials(before, h.Size, c.edge.Size())
}

// edgeAt is the right edge of the first size entries.
func (c *Copy) edgeAt(size int64) (merkle.Edge, error) {
	if size == c.edge.Size() {
		return c.edge, nil
	}
	return merkle.NewEdge(size, func(level int) ([]merkle.Hash, error) {
		width := merkle.PartialWidth(level, size)
		if width == 0 {
			return nil, nil
		}
		hashes, err := c.tile(level, merkle.TilesAt(level, size))
		if err == nil && len(hashes) < width {
			err = fmt.Errorf("a tile of level %d has %d hashes, and not %d", level, len(hashes), width)
		}
		if err != nil {
			return nil, err
		}
		return hashes[:width], nil
	})
}

// putPartials writes the partial tiles and the partial bundle of a tree.
func (c *Copy) putPartials(edge merkle.Edge) error {
	size := edge.Size()
	for level := range edge.Levels() {
		if hashes := edge.Partial(level); len(hashes) > 0 {
			t := merkle.Tile{Level: level, Index: merkle.TilesAt(level, size), Width: len(hashes)}
			if err := c.writer.put(c.path(t.Path()), merkle.EncodeTile(hashes)); err != nil {
				return err
			}
		}
	}
	width := int(size % source.BlockSize)
	if width == 0 || size == c.edge.Size() {
		return nil // Append wrote the bundle
	}
	name := merkle.Bundle{Index: size / source.BlockSize, Width: width}
	data, wide, err := c.beginning(name.Index, width)
	if err != nil {
		return err
	}
	path := source.DataPath(c.state.Format, name)
	if wide {
		path = source.WidePath(name)
	}
	return c.writer.put(c.path(path), data)
}

// beginning is the first width entries of a block, as they are stored.
func (c *Copy) beginning(index int64, width int) (data []byte, wide bool, err error) {
	data, wide = c.tail, c.wide
	has := int(c.edge.Size() % source.BlockSize)
	if index < c.edge.Size()/source.BlockSize {
		has = source.BlockSize
		if data, wide, err = c.data(merkle.Bundle{Index: index, Width: has}); err != nil {
			return nil, false, err
		}
	}
	b, err := parse(c.state.Format, wide, data, has, width)
	return b.Data, wide, err
}

func parse(f source.Format, wide bool, data []byte, has, want int) (source.Block, error) {
	if wide {
		return source.ParseWide(data, has, want)
	}
	return source.ParseData(f, data, has, want)
}

// notePartials remembers that the partial tiles of a size are there, or some of them.
func (c *Copy) notePartials(size int64) {
	if !slices.Contains(c.state.Partials, size) {
		c.state.Partials = append(c.state.Partials, size)
	}
}

// removePartials removes the partial tiles and bundles of all sizes but some.
func (c *Copy) removePartials(keep ...int64) error {
	needed := make(map[string]bool)
	for _, size := range keep {
		for _, p := range c.partials(size) {
			needed[p] = true
		}
	}
	for _, size := range c.state.Partials {
		for _, p := range c.partials(size) {
			if needed[p] {
				continue
			}
			if err := c.disk.remove(c.path(p)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			c.disk.remove(filepath.Dir(c.path(p))) // if nothing else is in it
			delete(c.writer.known, filepath.Dir(c.path(p)))
		}
	}
	slices.Sort(keep)
	c.state.Partials = slices.Compact(keep)
	return nil
}

// partials are the paths of the partial tiles and bundle of a size.
func (c *Copy) partials(size int64) (paths []string) {
	for level := 0; merkle.HashesAt(level, size) > 0; level++ {
		if width := merkle.PartialWidth(level, size); width > 0 {
			paths = append(paths, merkle.Tile{Level: level, Index: merkle.TilesAt(level, size), Width: width}.Path())
		}
	}
	if width := int(size % source.BlockSize); width > 0 {
		b := merkle.Bundle{Index: size / source.BlockSize, Width: width}
		paths = append(paths, source.DataPath(c.state.Format, b))
		if c.state.Format == source.RekorV1 {
			paths = append(paths, source.WidePath(b))
		}
	}
	return paths
}

// Root is the root of the first size entries of the copy.
func (c *Copy) Root(size int64) (merkle.Hash, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	edge, err := c.edgeAt(size)
	return edge.Root(), err
}

// Prove proves that the first from entries of the copy are the beginning of its first
// to entries.
func (c *Copy) Prove(from, to int64) ([]merkle.Hash, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	plan, err := merkle.PlanConsistency(from, to)
	if err != nil {
		return nil, err
	}
	return plan.Compute(func(t merkle.Tile) (*merkle.Nodes, error) {
		hashes, err := c.tile(t.Level, t.Index)
		if err != nil {
			return nil, err
		}
		return merkle.Expand(hashes)
	})
}

// Has reports whether a file of Put is there.
func (c *Copy) Has(path string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.read(path)
	return err == nil || c.beside[path]
}

// Put writes a file beside the entries, such as issuer/…, unless it is there. It is
// durable with what is appended after it.
func (c *Copy) Put(path string, data []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if !filepath.IsLocal(path) {
		return fmt.Errorf("%q is not a path in a copy", path)
	}
	if had, err := c.read(path); c.beside[path] || err == nil && bytes.Equal(had, data) {
		return nil
	}
	c.beside[path] = true
	return c.failed(c.writer.put(c.path(path), data))
}

// Close ends the writing. What was appended since the last batch may be appended again
// after the next Open.
func (c *Copy) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = cmp.Or(c.err, errClosed)
	c.writer.close()
	if c.lock == nil {
		return nil
	}
	err := c.lock.Close()
	c.lock = nil
	return err
}

// ErrUnwritable: what is on the disk is not known after an error. Only another Open
// helps.
var ErrUnwritable = errors.New("the copy cannot be written")

var errClosed = errors.New("the copy is closed")

// failed keeps the first error: what is on the disk after it is not known.
func (c *Copy) failed(err error) error {
	if err != nil && c.err == nil {
		c.err = fmt.Errorf("%w: %s: %w", ErrUnwritable, c.tree, err)
		return c.err
	}
	return err
}

func (c *Copy) path(name string) string { return filepath.Join(c.tree, filepath.FromSlash(name)) }

func (c *Copy) read(path string) ([]byte, error) { return c.disk.read(c.path(path), maxFile) }

// maxFile bounds a file of a copy, in bytes.
const maxFile = 64 << 20
