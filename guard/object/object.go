// Package object keeps a register in an object store that has Amazon's S3 API
// and honours conditional writes: one object a log, PREFIX/register in a bucket.
//
// The object is the register's text (guard.Text). It is created by a PUT with
// If-None-Match: *, and replaced by a PUT with If-Match and the ETag that was
// read: of two replicas that race, one gets 412 Precondition Failed. So a Read
// is one GET, and an Advance one PUT. (Numbered objects that are never replaced
// would need a look for the next number with every Read, and a list at start,
// or someone who deletes old ones, with the right to do so.) Turn the bucket's
// versioning on, and every text that ever was is kept.
//
// A store that ignores the conditions would let two replicas win. It is found
// out when the register is opened, by a write to PREFIX/register.probe that must
// be refused.
//
// Credentials are found as package internal/s3 says.
package object

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"indelible/guard"
	"indelible/internal/s3"
)

// Options are how the store is reached. The zero value is what is wanted.
type Options = s3.Options

// Open opens a register. It is fs.ErrNotExist where the object is not there.
func Open(ctx context.Context, p Place, o Options) (*guard.Shared, error) {
	c, err := connect(ctx, p, o)
	if err != nil {
		return nil, err
	}
	return guard.OpenShared(ctx, c)
}

// Create makes a register. It is fs.ErrExist where there is one, be it another
// log's.
func Create(ctx context.Context, p Place, first guard.Text, o Options) (*guard.Shared, error) {
	c, err := connect(ctx, p, o)
	if err != nil {
		return nil, err
	}
	return guard.CreateShared(ctx, c, first)
}

// object is a register's object.
type object struct {
	place  Place
	bucket *s3.Bucket
	parser guard.Parser
}

var _ guard.Cell = (*object)(nil)

func connect(ctx context.Context, p Place, o Options) (*object, error) {
	bucket, err := s3.Open(p.at, o)
	if err != nil {
		return nil, fmt.Errorf("register %s: %w", p, err)
	}
	c := &object{place: p, bucket: bucket}
	if err := bucket.Probe(ctx, c.key()+".probe"); err != nil {
		return nil, errors.Join(fmt.Errorf("register %s: %w", p, unusable(err)), c.Close())
	}
	return c, nil
}

func (c *object) key() string { return c.place.at.Key(name) }

// Where implements guard.Cell.
func (c *object) Where() string { return c.place.String() }

// Close implements guard.Cell.
func (c *object) Close() error { return c.bucket.Close() }

// Load implements guard.Cell.
func (c *object) Load(ctx context.Context) (guard.Tagged, error) {
	data, tag, err := c.bucket.Get(ctx, c.key(), guard.MaxText)
	if err != nil {
		return guard.Tagged{}, err
	}
	t, err := c.parser.Parse(data)
	return guard.Tagged{Text: t, Tag: tag}, err
}

// Confirm implements guard.Cell. An object store answers with the newest object
// that it acknowledged; one that does not may do so the second time.
func (c *object) Confirm(ctx context.Context) (guard.Tagged, error) { return c.Load(ctx) }

// Create implements guard.Cell.
func (c *object) Create(ctx context.Context, t guard.Text) error {
	data, err := t.Marshal()
	if err != nil {
		return err
	}
	absent := s3.Write{ContentType: contentType, IfAbsent: true}
	_, err = c.bucket.Put(ctx, c.key(), data, absent)
	if s3.Failed(err) {
		return fs.ErrExist
	}
	if err != nil {
		return err
	}
	// The same text once more, which harms nothing if it is taken.
	if _, err = c.bucket.Put(ctx, c.key(), data, absent); err == nil {
		return unusable(s3.ErrUnconditional)
	}
	return nil
}

// Swap implements guard.Cell.
func (c *object) Swap(ctx context.Context, was guard.Tagged, next guard.Text) (string, error) {
	data, err := next.Marshal()
	if err != nil {
		return "", err
	}
	tag, err := c.bucket.Put(ctx, c.key(), data, s3.Write{ContentType: contentType, IfMatch: was.Tag})
	if s3.Refused(err) {
		return "", fmt.Errorf("%w: %w", err, guard.ErrMoved)
	}
	if err == nil && tag == "" {
		err = errors.New("the store's answer has no ETag")
	}
	if err == nil {
		c.parser.Keep(data, next)
	}
	return tag, err
}

const contentType = "text/plain; charset=utf-8"

// unusable adds what follows for a register.
func unusable(err error) error {
	if errors.Is(err, s3.ErrUnconditional) {
		return fmt.Errorf("%w: it cannot hold a register", err)
	}
	return err
}
