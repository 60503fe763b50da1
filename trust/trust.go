// Package trust makes the files with which clients trust a log: Sigstore's
// trusted root and signing configuration, the keys, and snippets for the tools
// that take them in their own way. Pure functions: keys in, files out.
//
//	log.vkey                the log's verifier keys, one a line (C2SP signed-note)
//	rekor-v2.pem            the same keys as PEM: they sign the checkpoints in v2 bundles
//	rekor-v1.pem            the key of the Rekor v1 API's promises and notes
//	trusted_root.json       all of them, as Sigstore's clients take them
//	signing_config.json     where clients send entries
//	cosign.txt              command lines
//	logcli.txt
//	kyverno.yaml            policies; they verify what went through v1
//	flux.yaml
//	policy-controller.yaml
//	monitor_config.json     where monitors read entries
//
// rekor-v1.pem and the policies are there if the log serves Rekor v1,
// signing_config.json if it serves either API, monitor_config.json if it serves v2.
//
// # Trusted root
//
// A log has two faces, with one tree behind them, and so two entries:
//
//	{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","tlogs":[
//	  {"baseUrl":"https://log.example.com","hashAlgorithm":"SHA2_256",
//	   "publicKey":{"rawBytes":"…","keyDetails":"PKIX_ED25519","validFor":{"start":"2026-01-01T00:00:00Z"}},
//	   "logId":{"keyId":"…"}},
//	  {"baseUrl":"https://log.example.com", … "keyDetails":"PKIX_ECDSA_P256_SHA_256", …}]}
//
// keyId is the whole hash whose first four bytes stand in a checkpoint's
// signature line. Of an Ed25519 key it is SHA-256(origin, 0x0A, 0x01, key), as
// C2SP signed-note has it; of an ECDSA key SHA-256(SPKI), for v1 and v2 alike.
// There is no checkpointKeyId: it belongs to a later media type, which no
// client reads yet, and is the logId where it is absent.
//
// # What clients demand of origin and URL
//
// See Misfits.
package trust

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/mldsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"indelible/checkpoint"
)

// Log is what the files are made of.
type Log struct {
	URL    string   // as clients reach the log: http(s)://host[:port][/prefix]
	Origin string   // the log's name
	Keys   []string // its vkeys

	// RekorV1Key is the public key of the Rekor v1 API, SubjectPublicKeyInfo in
	// DER; nil if the log does not serve it.
	RekorV1Key []byte
	// RekorV2: the log serves the Rekor v2 API.
	RekorV2 bool
	// SignBy is the one API that clients are to log by, v1 or v2; empty for all that
	// the log serves.
	SignBy string

	// Since is when the log's first entry may have been made; zero leaves it
	// open. Clients believe no entry that is older.
	Since time.Time
	// Operator names who runs the log, as example.org; by default the URL's
	// host. Of several logs of one operator clients choose one.
	Operator string
}

// File is one of the files.
type File struct {
	Name  string
	Type  string // Content-Type
	About string // a sentence
	Data  []byte
}

const (
	plain = "text/plain; charset=utf-8"
	asPEM = "application/x-pem-file"
	yaml  = "application/yaml"
)

// Files makes the files, in the order of the package comment.
func Files(l Log) ([]File, error) {
	m, err := l.material()
	if err != nil {
		return nil, err
	}
	files := []File{
		{"log.vkey", plain, "The log's verifier keys, for logcli and for all that reads C2SP checkpoints.", []byte(strings.Join(l.Keys, "\n") + "\n")},
		{"rekor-v2.pem", asPEM, "The same keys as PEM: they sign the checkpoints in Rekor v2's bundles.", m.logPEM()},
	}
	if m.v1 != nil {
		files = append(files, File{"rekor-v1.pem", asPEM, "The key of the Rekor v1 API, for SIGSTORE_REKOR_PUBLIC_KEY and the like.", m.v1.pem()})
	}
	files = append(files, File{"trusted_root.json", "application/json", "Sigstore's trusted root: all the keys, for cosign --trusted-root and other clients.", m.trustedRoot()})
	if m.v1 != nil || l.RekorV2 {
		files = append(files, File{"signing_config.json", "application/json", "Sigstore's signing configuration: where clients log, for cosign --signing-config.", m.signingConfig()})
	}
	files = append(files, m.snippets()...)
	if l.RekorV2 {
		files = append(files, File{"monitor_config.json", "application/json", "Sigstore's monitor configuration: where monitors read entries, for logcli monitor --sigstore-config.", m.monitorConfig()})
	}
	return files, nil
}

// material is a Log whose parts were looked at.
type material struct {
	Log
	base string // the URL without a slash at its end
	keys []key  // of checkpoints: those that Sigstore's clients know
	v1   *key   // nil if v1 is off
}

// key is a public key as Sigstore's files name it.
type key struct {
	spki    []byte
	details string
	id      [sha256.Size]byte
}

func (l Log) material() (material, error) {
	m := material{Log: l}
	var err error
	if m.base, err = BaseURL(l.URL); err != nil {
		return m, err
	}
	if err := checkpoint.ValidateOrigin(l.Origin); err != nil {
		return m, err
	}
	if m.keys, err = checkpointKeys(l.Keys, l.Origin); err != nil {
		return m, err
	}
	if l.RekorV1Key != nil {
		v1, err := rekorV1Key(l.RekorV1Key)
		if err != nil {
			return m, err
		}
		if slices.ContainsFunc(m.keys, func(k key) bool { return k.id == v1.id }) {
			return m, errors.New("the key of Rekor v1 is the log's own: clients find a log by its key, and would take one for the other; it must be a key of its own")
		}
		m.v1 = &v1
	}
	return m, nil
}

// checkpointKeys are the keys among vkeys that Sigstore's clients know.
func checkpointKeys(vkeys []string, origin string) ([]key, error) {
	var keys []key
	for _, s := range vkeys {
		v, err := checkpoint.ParseVerifier(s)
		if err != nil {
			return nil, err
		}
		if v.Name() != origin {
			return nil, fmt.Errorf("the key %s is of %q, and not of the log %q", s, v.Name(), origin)
		}
		if k, err := checkpointKey(v); err == nil {
			keys = append(keys, k)
		} else if len(vkeys) == 1 {
			return nil, err
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("none of the log's %d keys is of a type that Sigstore knows: Ed25519, ECDSA P-256 or ML-DSA-44", len(vkeys))
	}
	// Clients that do not know ML-DSA refuse the whole file. Another key of the log is enough.
	if slices.ContainsFunc(keys, func(k key) bool { return k.details != mldsa44 }) {
		keys = slices.DeleteFunc(keys, func(k key) bool { return k.details == mldsa44 })
	}
	return keys, nil
}

const mldsa44 = "ML_DSA_44"

func checkpointKey(v checkpoint.Verifier) (key, error) {
	k := key{details: "PKIX_ED25519"}
	switch pub := v.PublicKey().(type) {
	case *ecdsa.PublicKey:
		// The others sign with SHA-256 too, and clients expect SHA-384 and SHA-512.
		if pub.Curve != elliptic.P256() {
			return k, fmt.Errorf("the key %s is on the curve %s: Sigstore's clients verify checkpoints with Ed25519 and ECDSA P-256 keys only", v, pub.Params().Name)
		}
		k.details = "PKIX_ECDSA_P256_SHA_256"
	case *mldsa.PublicKey:
		k.details = mldsa44
	case ed25519.PublicKey:
	default:
		return k, fmt.Errorf("the key %s is of a type that Sigstore's clients do not know: they verify checkpoints with Ed25519 and ECDSA P-256 keys only", v)
	}
	var err error
	if k.id, err = LogID(v); err != nil {
		return k, err
	}
	k.spki, err = x509.MarshalPKIXPublicKey(v.PublicKey())
	return k, err
}

// LogID is the id of a log in Rekor v2's bundles and in trusted roots: the
// whole hash whose first four bytes are the key id of a signature line.
func LogID(v checkpoint.Verifier) ([sha256.Size]byte, error) {
	switch pub := v.PublicKey().(type) {
	case ed25519.PublicKey:
		return sha256.Sum256(append([]byte(v.Name()+"\n\x01"), pub...)), nil
	case *mldsa.PublicKey:
		return sha256.Sum256(append([]byte(v.Name()+"\n\x06"), pub.Bytes()...)), nil
	case *ecdsa.PublicKey:
		spki, err := x509.MarshalPKIXPublicKey(pub)
		return sha256.Sum256(spki), err
	}
	return [sha256.Size]byte{}, fmt.Errorf("the key %s has no log id: Sigstore knows Ed25519, ECDSA and ML-DSA-44 keys", v)
}

func rekorV1Key(spki []byte) (key, error) {
	k := key{spki: spki, details: "PKIX_ECDSA_P256_SHA_256", id: sha256.Sum256(spki)}
	pub, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return k, fmt.Errorf("the key of Rekor v1: %w", err)
	}
	if ec, ok := pub.(*ecdsa.PublicKey); !ok || ec.Curve != elliptic.P256() {
		return k, errors.New("the key of Rekor v1 is not on P-256, and clients verify its promises with ECDSA P-256 and SHA-256")
	}
	return k, nil
}

func (k key) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.spki})
}

func (m material) logPEM() []byte {
	var out []byte
	for _, k := range m.keys {
		out = append(out, k.pem()...)
	}
	return out
}
