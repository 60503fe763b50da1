// Package s3 reads and writes small objects in a store that has Amazon's S3 API,
// on conditions: an object is created only if it is not there (If-None-Match: *),
// and replaced only if it is still the one that was read (If-Match and its ETag).
//
// Credentials come from the environment (AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), from the file of the AWS tools
// (AWS_SHARED_CREDENTIALS_FILE, AWS_PROFILE), or from the machine's or the pod's
// role. They need s3:GetObject, s3:PutObject and s3:ListBucket: without the last,
// the store does not say whether an object is missing or forbidden. Remove needs
// s3:DeleteObject.
package s3

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
)

// ErrUnconditional: the store takes writes whose condition is not met.
var ErrUnconditional = errors.New("the store ignores the conditions of a write (If-Match, If-None-Match), so that two replicas could both win")

// Options are how a store is reached. The zero value is what is wanted.
type Options struct {
	// Timeout is how long one answer may take; 10 s.
	Timeout time.Duration
	// Tries is how often a request is sent that fails in a way that may pass; 1.
	Tries int
	// Credentials take the place of those found in the environment.
	Credentials *credentials.Credentials
}

// Bucket is a bucket of a store. Its methods may be called at the same time.
type Bucket struct {
	place     Place
	client    minio.Core
	transport *http.Transport
	timeout   time.Duration
}

// Open makes a Bucket. It sends nothing.
func Open(p Place, o Options) (*Bucket, error) {
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
		Creds: o.Credentials, Secure: p.Endpoint.Scheme == "https", Transport: transport, MaxRetries: cmp.Or(o.Tries, 1),
		Region: cmp.Or(p.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), "us-east-1"),
	})
	if err != nil {
		return nil, err
	}
	return &Bucket{place: p, client: *client, transport: transport, timeout: cmp.Or(o.Timeout, 10*time.Second)}, nil
}

// Close closes the connections that are idle.
func (b *Bucket) Close() error {
	b.transport.CloseIdleConnections()
	return nil
}

// Get reads an object: up to limit bytes and one more, so that the caller sees if it
// is longer. Its tag is for Write.IfMatch. An object that is not there is
// fs.ErrNotExist.
func (b *Bucket) Get(ctx context.Context, key string, limit int64) (data []byte, tag string, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	body, info, _, err := b.client.GetObject(ctx, b.place.Bucket, key, minio.GetObjectOptions{})
	if Missing(err) {
		return nil, "", fs.ErrNotExist
	}
	if err != nil {
		return nil, "", err
	}
	defer body.Close()
	data, err = io.ReadAll(io.LimitReader(body, limit+1))
	if err == nil && info.ETag == "" {
		err = errors.New("the store gives no ETag, without which nothing can be replaced safely")
	}
	return data, info.ETag, err
}

// Write says how an object is written.
type Write struct {
	ContentType, CacheControl string

	IfMatch  string // the tag that it must still have; empty: no condition
	IfAbsent bool   // it must not be there
}

// Put writes an object and returns its tag.
func (b *Bucket) Put(ctx context.Context, key string, data []byte, w Write) (tag string, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	o := minio.PutObjectOptions{ContentType: w.ContentType, CacheControl: w.CacheControl}
	if w.IfMatch != "" {
		o.SetMatchETag(w.IfMatch)
	}
	if w.IfAbsent {
		o.SetMatchETagExcept("*")
	}
	// The body is signed by its hash, since not every store knows Amazon's
	// signed chunks.
	hash := sha256.Sum256(data)
	o.DisableContentSha256 = true
	info, err := b.client.PutObject(ctx, b.place.Bucket, key, bytes.NewReader(data), int64(len(data)), "", hex.EncodeToString(hash[:]), o)
	return info.ETag, err
}

// Remove removes an object. One that is not there is removed.
func (b *Bucket) Remove(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	return b.client.RemoveObject(ctx, b.place.Bucket, key, minio.RemoveObjectOptions{})
}

// Failed reports whether a store answered that a condition was not met (412).
func Failed(err error) bool {
	return minio.ToErrorResponse(err).StatusCode == http.StatusPreconditionFailed
}

// Refused reports whether a condition was not met (412), or another write is
// under way (409, which the API asks to be tried again).
func Refused(err error) bool {
	return Failed(err) || minio.ToErrorResponse(err).StatusCode == http.StatusConflict
}

// Missing reports whether the object of a conditional write is not there (404).
func Missing(err error) bool { return minio.ToErrorResponse(err).Code == minio.NoSuchKey }

// Probe makes sure that the store refuses a write whose condition is not met. It
// sends one to a key, and ErrUnconditional is that the store took it.
func (b *Bucket) Probe(ctx context.Context, key string) error {
	_, err := b.Put(ctx, key, []byte("A store that honours If-Match does not take this.\n"),
		Write{ContentType: "text/plain; charset=utf-8", IfMatch: "00000000000000000000000000000000"})
	switch {
	case err == nil:
		return fmt.Errorf("%s: %w", b.place, ErrUnconditional)
	case Refused(err) || Missing(err):
		return nil
	}
	return err
}
