// Package index finds entries by what they say: the digest of an artifact, a
// key, a name in a certificate. It follows the log with a cursor of its own,
// can be dropped and made again, and never slows an add.
package index
