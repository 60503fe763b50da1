package publication

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"indelible/internal/s3"
)

const (
	// uploads is how many objects are on their way at the same time.
	uploads = 16
	// uploadBytes bounds their bytes; one object may have more.
	uploadBytes = 32 << 20
	// tries is how often an object is sent before that is an error.
	tries = 4
)

// bucket is a bucket of an object store with Amazon's S3 API.
type bucket struct {
	place  s3.Place
	bucket *s3.Bucket
	room   *semaphore.Weighted // bytes that may be on their way
	going  *errgroup.Group     // uploads since the last Sync
	ctx    context.Context     // of these; it ends with the first error
}

var _ Store = (*bucket)(nil)

// OpenBucket opens a bucket. It makes sure that the store honours the conditions of a
// write.
func OpenBucket(ctx context.Context, p s3.Place, o s3.Options) (Store, error) {
	o.Tries = tries
	b, err := s3.Open(p, o)
	if err == nil {
		err = b.Probe(ctx, p.Key(stateName+".probe"))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	return &bucket{place: p, bucket: b, room: semaphore.NewWeighted(uploadBytes)}, nil
}

// Put implements Store.
func (b *bucket) Put(ctx context.Context, path string, data []byte) error {
	if b.going == nil {
		b.going, b.ctx = errgroup.WithContext(ctx)
		b.going.SetLimit(uploads)
	}
	group, upload, size := b.going, b.ctx, min(int64(len(data)), uploadBytes)
	if ended := b.room.Acquire(upload, size); ended != nil {
		if err := b.Sync(ctx); err != nil { // an upload failed
			return err
		}
		return ended
	}
	group.Go(func() error {
		defer b.room.Release(size)
		_, err := b.bucket.Put(upload, b.place.Key(path), data, how(path))
		return b.failed(path, err)
	})
	return nil
}

func how(path string) s3.Write {
	return s3.Write{ContentType: contentType(path), CacheControl: cacheControl(path)}
}

// Sync implements Store.
func (b *bucket) Sync(context.Context) error {
	if b.going == nil {
		return nil
	}
	err := b.going.Wait()
	b.going, b.ctx = nil, nil
	return err
}

// Get implements Store.
func (b *bucket) Get(ctx context.Context, path string) ([]byte, string, error) {
	data, tag, err := b.bucket.Get(ctx, b.place.Key(path), maxSmall)
	if err == nil && len(data) > maxSmall {
		err = errors.New("it is too long")
	}
	return data, tag, b.failed(path, err)
}

// Swap implements Store. If the answer to a write is lost and the write is tried again,
// the store refuses the second one: that is ErrMoved, and what is there tells.
func (b *bucket) Swap(ctx context.Context, path string, data []byte, tag string) (string, error) {
	w := how(path)
	w.IfMatch, w.IfAbsent = tag, tag == ""
	next, err := b.bucket.Put(ctx, b.place.Key(path), data, w)
	if s3.Refused(err) || s3.Missing(err) {
		return "", b.failed(path, fmt.Errorf("%w (%w)", ErrMoved, err))
	}
	return next, b.failed(path, err)
}

// Remove implements Store.
func (b *bucket) Remove(ctx context.Context, path string) error {
	return b.failed(path, b.bucket.Remove(ctx, b.place.Key(path)))
}

// Close implements Store. What is on its way ends before.
func (b *bucket) Close() error {
	err := b.Sync(context.Background())
	return errors.Join(err, b.bucket.Close())
}

// failed says which object an error is about.
func (b *bucket) failed(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", b.place.Object(path), err)
}
