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
// Credentials come from the environment (AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), from the file of the AWS tools
// (AWS_SHARED_CREDENTIALS_FILE, AWS_PROFILE), or from the machine's or the pod's
// role. They need s3:GetObject, s3:PutObject and s3:ListBucket: without the last,
// the store does not say whether an object is missing or forbidden.
package object

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"indelible/guard"
)

// Options are how the store is reached. The zero value is what is wanted.
type Options struct {
	// Timeout is how long one answer may take; 10 s.
	Timeout time.Duration
	// Credentials take the place of those found in the environment.
	Credentials *credentials.Credentials
}

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
	place     Place
	client    minio.Core
	transport *http.Transport
	timeout   time.Duration
	parser    guard.Parser
}

var _ guard.Cell = (*object)(nil)

func connect(ctx context.Context, p Place, o Options) (*object, error) {
	transport, err := minio.DefaultTransport(p.Endpoint.Scheme == "https")
	if err != nil {
		return nil, err
	}
	if o.Credentials == nil {
		o.Credentials = credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{},
		})
	}
	client, err := minio.NewCore(p.Endpoint.Host, &minio.Options{
		Creds: o.Credentials, Secure: p.Endpoint.Scheme == "https", Transport: transport, MaxRetries: 1,
		Region: cmp.Or(p.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), "us-east-1"),
	})
	if err != nil {
		return nil, fmt.Errorf("register %s: %w", p, err)
	}
	c := &object{place: p, client: *client, transport: transport, timeout: cmp.Or(o.Timeout, 10*time.Second)}
	if err := c.probe(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("register %s: %w", p, err), c.Close())
	}
	return c, nil
}

// Where implements guard.Cell.
func (c *object) Where() string { return c.place.String() }

// Close implements guard.Cell.
func (c *object) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}

// Load implements guard.Cell.
func (c *object) Load(ctx context.Context) (guard.Tagged, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	body, info, _, err := c.client.GetObject(ctx, c.place.Bucket, c.place.Key, minio.GetObjectOptions{})
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return guard.Tagged{}, fs.ErrNotExist
	}
	if err != nil {
		return guard.Tagged{}, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, guard.MaxText+1))
	if err != nil {
		return guard.Tagged{}, err
	}
	t, err := c.parser.Parse(data)
	if err == nil && info.ETag == "" {
		err = errors.New("the store gives no ETag, without which nothing can be replaced safely")
	}
	return guard.Tagged{Text: t, Tag: info.ETag}, err
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
	absent := minio.PutObjectOptions{}
	absent.SetMatchETagExcept("*")
	_, err = c.put(ctx, c.place.Key, data, absent)
	if minio.ToErrorResponse(err).StatusCode == http.StatusPreconditionFailed {
		return fs.ErrExist
	}
	if err != nil {
		return err
	}
	// The same text once more, which harms nothing if it is taken.
	if _, err = c.put(ctx, c.place.Key, data, absent); err == nil {
		return errUnconditional
	}
	return nil
}

// Swap implements guard.Cell.
func (c *object) Swap(ctx context.Context, was guard.Tagged, next guard.Text) (string, error) {
	data, err := next.Marshal()
	if err != nil {
		return "", err
	}
	same := minio.PutObjectOptions{}
	same.SetMatchETag(was.Tag)
	tag, err := c.put(ctx, c.place.Key, data, same)
	if refused(err) {
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

func (c *object) put(ctx context.Context, key string, data []byte, o minio.PutObjectOptions) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	o.ContentType = "text/plain; charset=utf-8"
	// The body is signed by its hash, since not every store knows Amazon's
	// signed chunks.
	hash := sha256.Sum256(data)
	o.DisableContentSha256 = true
	info, err := c.client.PutObject(ctx, c.place.Bucket, key, bytes.NewReader(data), int64(len(data)), "", hex.EncodeToString(hash[:]), o)
	return info.ETag, err
}

// refused reports whether a condition was not met (412), or another write is
// under way (409, which the API asks to be tried again).
func refused(err error) bool {
	status := minio.ToErrorResponse(err).StatusCode
	return status == http.StatusPreconditionFailed || status == http.StatusConflict
}

var errUnconditional = errors.New("the store ignores the conditions of a write (If-Match, If-None-Match), so that two replicas could both win: " +
	"it cannot hold a register")

// probe makes sure that the store refuses a write whose condition is not met.
func (c *object) probe(ctx context.Context) error {
	never := minio.PutObjectOptions{}
	never.SetMatchETag("00000000000000000000000000000000")
	_, err := c.put(ctx, c.place.Key+".probe", []byte("A store that honours If-Match does not take this.\n"), never)
	status := minio.ToErrorResponse(err)
	switch {
	case err == nil:
		return errUnconditional
	case refused(err) || status.Code == minio.NoSuchKey:
		return nil
	}
	return err
}
