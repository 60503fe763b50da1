package publication

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"

	translog "indelible/log"
	"indelible/merkle"
)

// Kept is a folder that a log is published to, for the log itself to read. A damaged
// file is written again once a Publication knows that the folder is this log's
// (Config.Kept): the files of another log or tree differ as well, and stay as they are.
type Kept struct {
	dir    string
	mended func(path string, err error)

	mu      sync.Mutex
	ours    bool
	waiting map[string][]byte // files to write when it is
	bytes   int               // of these
}

var _ translog.Files = (*Kept)(nil)

// ErrLater: it is not known yet that the folder is this log's.
var ErrLater = errors.New("the file is written again when it is known that the directory is this log's")

// maxWaiting bounds the bytes of the files that wait. What does not fit is written
// again when it is next read from the disk.
const maxWaiting = 8 << 20

// NewKept makes a Kept. mended is told of each file for which Mend returned ErrLater,
// when it was written.
func NewKept(dir string, mended func(path string, err error)) *Kept {
	return &Kept{dir: dir, mended: mended, waiting: make(map[string][]byte)}
}

// maxKept bounds a file, in bytes: a bundle of the largest entries.
const maxKept = merkle.TileWidth * (2 + merkle.MaxBundleEntry)

// Read implements log.Files.
func (k *Kept) Read(path string) ([]byte, error) {
	f, err := os.Open(k.path(path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxKept {
		return nil, errors.New("the file is too long")
	}
	data := make([]byte, info.Size())
	_, err = io.ReadFull(f, data)
	return data, err
}

// Mend implements log.Files. ErrLater means that the file waits.
func (k *Kept) Mend(path string, data []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ours {
		return k.write(path, data)
	}
	if _, there := k.waiting[path]; !there && k.bytes+len(data) <= maxWaiting {
		k.waiting[path] = data
		k.bytes += len(data)
	}
	return ErrLater
}

// settle says whether the folder is known to be this log's. If it is, the files that
// wait are written. A nil Kept has none.
func (k *Kept) settle(ours bool) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ours = ours; !ours {
		return
	}
	for path, data := range k.waiting {
		k.mended(path, k.write(path, data))
	}
	clear(k.waiting)
	k.bytes = 0
}

func (k *Kept) write(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(k.path(path)), "mend*.new")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), k.path(path))
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

func (k *Kept) path(name string) string { return filepath.Join(k.dir, filepath.FromSlash(name)) }
