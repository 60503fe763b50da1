package publication

import (
	"context"
	"strings"
	"time"

	"indelible/internal/s3"
)

// answerTime is how long an object store may take for an object, with all tries.
const answerTime = time.Minute

// scheme begins the place of a bucket.
const scheme = "s3:"

// what names a place in errors.
const what = "the place to publish to"

// Check says what is wrong with a place: a folder, or s3://BUCKET/PREFIX?endpoint=URL&region=R.
// It asks nobody.
func Check(place string) error {
	if !strings.HasPrefix(place, scheme) {
		return nil
	}
	_, err := s3.Parse(place, what)
	return err
}

// IsBucket reports whether a place is in an object store.
func IsBucket(place string) bool { return strings.HasPrefix(place, scheme) }

// Open opens a place.
func Open(ctx context.Context, place string) (Store, error) {
	if !IsBucket(place) {
		return OpenDirectory(place)
	}
	p, err := s3.Parse(place, what)
	if err != nil {
		return nil, err
	}
	return OpenBucket(ctx, p, s3.Options{Timeout: answerTime})
}
