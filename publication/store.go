package publication

import (
	"context"
	"errors"
	"strings"
)

// Store is where a log is published: a folder, or a bucket. One goroutine at a time
// uses it. After an error it is opened again.
type Store interface {
	// Put writes a file soon, in the place of one that is there. It is durable after
	// Sync. The data must not be changed.
	Put(ctx context.Context, path string, data []byte) error
	// Sync returns when everything that was put is durable and can be read.
	Sync(ctx context.Context) error
	// Get reads a small file, and a tag that changes with its content. One that is not
	// there is fs.ErrNotExist.
	Get(ctx context.Context, path string) (data []byte, tag string, err error)
	// Swap writes a small file, durably, if it still has the tag; with an empty tag, if
	// it is not there. It returns the new tag, or ErrMoved.
	Swap(ctx context.Context, path string, data []byte, tag string) (string, error)
	// Remove removes a file. One that is not there is removed.
	Remove(ctx context.Context, path string) error
	Close() error
}

// ErrMoved: another process wrote the file.
var ErrMoved = errors.New("another process wrote it meanwhile")

// The names of a log's files are those of C2SP tlog-tiles. Beside them is the state.
const (
	checkpointName = "checkpoint"
	stateName      = ".publication"
	// maxSmall bounds the files of Get, in bytes.
	maxSmall = 1 << 20
)

// contentType is what a file is sent with.
func contentType(path string) string {
	switch {
	case path == checkpointName:
		return "text/plain; charset=utf-8"
	case path == stateName:
		return "application/json"
	}
	return "application/octet-stream"
}

// cacheControl is how long a file may be kept by caches. The server sends the same.
func cacheControl(path string) string {
	switch {
	case strings.HasPrefix(path, "tile/"):
		return "public, max-age=604800, immutable"
	case path == checkpointName:
		return "public, max-age=1"
	}
	return "no-store"
}
