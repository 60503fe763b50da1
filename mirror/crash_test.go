package mirror

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"indelible/merkle"
	"indelible/mirror/sourcetest"
)

// crashDisk is a disk in memory that loses what was not synced when the power is cut.
type crashDisk struct {
	mu      sync.Mutex
	now     map[string]map[string]*inode // folder, name
	durable map[string]map[string]*inode
	left    int // operations until the power is cut
	space   int // bytes that can be written
}

type inode struct {
	folder       bool
	data, synced []byte
}

var errPower = errors.New("the power was cut")

func newCrashDisk() *crashDisk {
	root := func() map[string]map[string]*inode { return map[string]map[string]*inode{".": {}} }
	return &crashDisk{now: root(), durable: root(), left: 1 << 30, space: 1 << 30}
}

// do is an operation; false if the power is off.
func (d *crashDisk) do(f func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left <= 0 {
		return errPower
	}
	d.left--
	return f()
}

func (d *crashDisk) mkdir(path string, _ fs.FileMode) error {
	return d.do(func() error {
		dir, name := filepath.Dir(path), filepath.Base(path)
		switch {
		case d.now[dir] == nil:
			return fs.ErrNotExist
		case d.now[dir][name] != nil:
			return fs.ErrExist
		}
		d.now[dir][name], d.now[path] = &inode{folder: true}, make(map[string]*inode)
		return nil
	})
}

func (d *crashDisk) create(path string, mode fs.FileMode) (file, error) {
	f, err := d.extend(path, mode)
	if err == nil {
		f.(*crashFile).node.data = nil
	}
	return f, err
}

func (d *crashDisk) extend(path string, _ fs.FileMode) (file, error) {
	var node *inode
	err := d.do(func() error {
		dir, name := d.now[filepath.Dir(path)], filepath.Base(path)
		if dir == nil {
			return fs.ErrNotExist
		}
		if dir[name] == nil {
			dir[name] = &inode{}
		}
		node = dir[name]
		return nil
	})
	return &crashFile{d, node}, err
}

func (d *crashDisk) rename(from, to string) error {
	return d.do(func() error {
		dir := d.now[filepath.Dir(from)]
		dir[filepath.Base(to)] = dir[filepath.Base(from)]
		delete(dir, filepath.Base(from))
		return nil
	})
}

func (d *crashDisk) remove(path string) error {
	return d.do(func() error {
		dir, name := d.now[filepath.Dir(path)], filepath.Base(path)
		switch {
		case dir[name] == nil:
			return fs.ErrNotExist
		case dir[name].folder && len(d.now[path]) > 0:
			return syscall.ENOTEMPTY
		}
		delete(dir, name)
		delete(d.now, path)
		return nil
	})
}

func (d *crashDisk) syncDir(path string) error {
	return d.do(func() error {
		d.durable[path] = maps.Clone(d.now[path])
		return nil
	})
}

func (d *crashDisk) read(path string, _ int64) (data []byte, err error) {
	err = d.do(func() error {
		node := d.now[filepath.Dir(path)][filepath.Base(path)]
		if node == nil {
			return fs.ErrNotExist
		}
		data = bytes.Clone(node.data)
		return nil
	})
	return data, err
}

type crashFile struct {
	disk *crashDisk
	node *inode
}

func (f *crashFile) Write(b []byte) (int, error) {
	n := len(b)
	err := f.disk.do(func() error {
		if n > f.disk.space {
			n = f.disk.space
		}
		f.disk.space -= n
		f.node.data = append(f.node.data[:len(f.node.data):len(f.node.data)], b[:n]...)
		if n < len(b) {
			return syscall.ENOSPC
		}
		return nil
	})
	if errors.Is(err, errPower) {
		n = 0
	}
	return n, err
}

func (f *crashFile) Sync() error {
	return f.disk.do(func() error {
		f.node.synced = bytes.Clone(f.node.data)
		return nil
	})
}

func (f *crashFile) Close() error { return nil }

// cut is the disk after the power came back: of what was not synced, some is there.
func (d *crashDisk) cut(random *rand.Rand) *crashDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	after := newCrashDisk()
	var settle func(path string)
	settle = func(path string) {
		names := maps.Clone(d.durable[path])
		if names == nil {
			names = make(map[string]*inode)
		}
		all := slices.Sorted(maps.Keys(d.now[path]))
		for name := range names {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
		slices.Sort(all)
		for _, name := range all {
			if was, is := d.durable[path][name], d.now[path][name]; was != is && random.IntN(2) == 0 {
				if names[name] = is; is == nil {
					delete(names, name)
				}
			}
		}
		after.now[path], after.durable[path] = make(map[string]*inode), make(map[string]*inode)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			node := names[name]
			kept := &inode{folder: node.folder, data: node.synced}
			if !bytes.Equal(node.data, node.synced) && random.IntN(2) == 0 {
				kept.data = bytes.Clone(node.data[:random.IntN(len(node.data)+1)])
			}
			kept.synced = kept.data
			after.now[path][name], after.durable[path][name] = kept, kept
			if node.folder {
				settle(filepath.Join(path, name))
			}
		}
	}
	settle(".")
	return after
}

// promised is what a copy said was durable.
type promised struct{ pending, head, next int64 }

// grow makes a copy grow through sizes until its disk fails.
func (p *promised) grow(d *crashDisk, l *sourcetest.Log, random *rand.Rand, sizes []int64) error {
	c, err := Open(Config{Dir: "dir", Origin: "log.example", disk: d})
	if err != nil {
		return err
	}
	defer c.Close()
	for _, size := range sizes {
		if size < c.Pending().Size {
			continue
		}
		if err := c.Accept(headOf(l, size)); err != nil {
			return err
		}
		p.pending = size
		for c.Next() < size {
			if err := c.Append(block(l, size, c.Next()/256)); err != nil {
				return err
			}
			if random.IntN(3) == 0 {
				if err := c.Sync(); err != nil {
					return err
				}
				p.next = c.Next()
			}
		}
		if err := c.Commit(headOf(l, size)); err != nil {
			return err
		}
		p.head, p.next = size, size
	}
	return nil
}

// kept checks that a disk has what was promised, and nothing that is false.
func (p *promised) kept(d *crashDisk, l *sourcetest.Log) error {
	c, err := Open(Config{Dir: "dir", Origin: "log.example", disk: d})
	if err != nil {
		return err
	}
	defer c.Close()
	head := c.Head()
	if head.Size < p.head || c.Next() < p.next || c.Pending().Size < p.pending {
		return fmt.Errorf("head %d, next %d, pending %d, of %+v", head.Size, c.Next(), c.Pending().Size, *p)
	}
	if root := l.Root(head.Size); head.Root != root {
		return fmt.Errorf("the head of size %d has root %x", head.Size, head.Root)
	}
	for _, path := range slices.Concat(c.partials(head.Size), wholes(c.Next())) {
		if data, err := c.read(path); err != nil || !bytes.Equal(data, l.Resource(path)) {
			return fmt.Errorf("%s: %d bytes, %w", path, len(data), errors.Join(err, errors.New("it is not what the log has")))
		}
	}
	return nil
}

// wholes are the paths of the full tiles and bundles below size.
func wholes(size int64) (paths []string) {
	for n := range size / 256 {
		paths = append(paths, merkle.Bundle{Index: n, Width: 256}.Path())
	}
	for level := 0; merkle.HashesAt(level, size) > 0; level++ {
		for n := range merkle.TilesAt(level, size) {
			paths = append(paths, merkle.Tile{Level: level, Index: n, Width: 256}.Path())
		}
	}
	return paths
}

var growthSizes = []int64{3, 300, 512, 700, 1500, 2000}

// The power is cut again and again, at random moments: what was promised is there.
func TestPowerCut(t *testing.T) {
	l := sourcetest.New(t, "log.example", 2000)
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 1))
		d, p := newCrashDisk(), promised{}
		for cut := 1; ; cut++ {
			d.left = 10 + random.IntN(100*cut)
			err := p.grow(d, l, random, growthSizes)
			if err != nil && !errors.Is(err, errPower) {
				t.Fatalf("seed %d, cut %d: %v", seed, cut, err)
			}
			d = d.cut(random)
			if err := p.kept(d, l); err != nil {
				t.Fatalf("seed %d, cut %d: %v", seed, cut, err)
			}
			if err == nil {
				break
			}
		}
	}
}

// The disk is full at any moment: an error, and it goes on when there is room.
func TestDiskFull(t *testing.T) {
	l := sourcetest.New(t, "log.example", 2000)
	for space := 100; space < 60_000; space = space*5/4 + 7 {
		random := rand.New(rand.NewPCG(uint64(space), 1))
		d, p := newCrashDisk(), promised{}
		d.space = space
		if err := p.grow(d, l, random, growthSizes); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("%d bytes: %v", space, err)
		}
		d.space = 1 << 30
		if err := p.kept(d, l); err != nil {
			t.Fatalf("%d bytes: %v", space, err)
		}
		if err := p.grow(d, l, random, growthSizes); err != nil {
			t.Fatalf("%d bytes, and then room: %v", space, err)
		}
	}
}
