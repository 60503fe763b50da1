package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"indelible/entry"
)

// inToto is the type of payload of every attestation that cosign makes.
const inToto = "application/vnd.in-toto+json"

// maxSigned is the most bytes of an envelope, a payload or a bundle, which are
// read as a whole.
const maxSigned = 64 << 20

// keysOfFile is what entries of the thing in a file are found by, if what was
// given is no digest for the reason given. There may be several: what was logged
// depends on the client and the API, and on the signer's key.
func (p *program) keysOfFile(flag, file string, reason error) ([]entry.IndexKey, error) {
	f, err := p.open(file)
	if err != nil {
		return nil, usagef("--%s: it is no file that can be read (%w), and no digest: %w", flag, err, reason)
	}
	defer f.Close()
	var keys []entry.IndexKey
	if flag == string(entry.ByArtifact) {
		keys, err = artifactKeys(f)
	} else {
		keys, err = signedKeys(flag, f)
	}
	if err != nil {
		return nil, usagef("--%s %s: %w", flag, file, err)
	}
	return keys, nil
}

func signedKeys(flag string, r io.Reader) ([]entry.IndexKey, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSigned+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxSigned:
		return nil, fmt.Errorf("it has more than %d MiB", maxSigned>>20)
	case flag == string(entry.ByPayload):
		return payloadKeys(inToto, data), nil
	case flag == string(entry.ByEnvelope):
		return envelopeKeys(data)
	}
	return bundleKeys(data)
}

// artifactKeys are of what was signed, by a digest that is as long as the
// signer's key asks.
func artifactKeys(r io.Reader) ([]entry.IndexKey, error) {
	h256, h384, h512 := sha256.New(), sha512.New384(), sha512.New()
	if _, err := io.Copy(io.MultiWriter(h256, h384, h512), r); err != nil {
		return nil, err
	}
	return digestKeys(h256.Sum(nil), h384.Sum(nil), h512.Sum(nil)), nil
}

func digestKeys(sum256, sum384, sum512 []byte) []entry.IndexKey {
	return []entry.IndexKey{
		{By: entry.ByArtifact, Value: fmt.Sprintf("sha256:%x", sum256)},
		{By: entry.ByArtifact, Value: fmt.Sprintf("sha384:%x", sum384)},
		{By: entry.ByArtifact, Value: fmt.Sprintf("sha512:%x", sum512)},
	}
}

// payloadKeys are of a payload, and of what the signature of an envelope around
// it is over, which cosign 3 logs by Rekor v2 as if it were an artifact.
func payloadKeys(payloadType string, payload []byte) []entry.IndexKey {
	signed := entry.PAE(payloadType, payload)
	sum256, sum384, sum512 := sha256.Sum256(signed), sha512.Sum384(signed), sha512.Sum512(signed)
	return append(digestKeys(sum256[:], sum384[:], sum512[:]), entry.IndexKey{By: entry.ByPayload, Value: fmt.Sprintf("sha256:%x", sha256.Sum256(payload))})
}

// dsseEnvelope is what entries say of an envelope.
type dsseEnvelope struct {
	PayloadType string `json:"payloadType"`
	Payload     []byte `json:"payload"`
}

// envelopeKeys are of an envelope as it stands, and of its payload.
func envelopeKeys(data []byte) ([]entry.IndexKey, error) {
	var e dsseEnvelope
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, fmt.Errorf("it is no DSSE envelope: %w", err)
	}
	if e.PayloadType == "" {
		return nil, errors.New(`it is no DSSE envelope: it has no payloadType (is it a bundle? give --bundle)`)
	}
	whole := entry.IndexKey{By: entry.ByEnvelope, Value: fmt.Sprintf("sha256:%x", sha256.Sum256(data))}
	return append(payloadKeys(e.PayloadType, e.Payload), whole), nil
}

// signedBundle is what a bundle says of entries, be it Sigstore's or the older
// one of cosign's own.
type signedBundle struct {
	dsseEnvelope              // bare
	Envelope     dsseEnvelope `json:"dsseEnvelope"`
	Material     struct {
		Entries []struct {
			Body []byte `json:"canonicalizedBody"`
		} `json:"tlogEntries"`
	} `json:"verificationMaterial"`
	Rekor struct {
		Payload struct {
			Body []byte `json:"body"`
		} `json:"Payload"`
	} `json:"rekorBundle"`
}

// bundleKeys are of what the entries of bundles are about, in whatever log those
// are, and of the envelopes in them. There may be several, one after the other,
// and bare envelopes among them: that is how cosign downloads what is beside an
// image.
func bundleKeys(data []byte) (keys []entry.IndexKey, err error) {
	for d := json.NewDecoder(bytes.NewReader(data)); ; {
		var b signedBundle
		switch err := d.Decode(&b); {
		case errors.Is(err, io.EOF) && len(keys) > 0:
			return keys, nil
		case errors.Is(err, io.EOF):
			return nil, errors.New("it is no bundle with an envelope, or with an entry of a kind that this log has")
		case err != nil:
			return nil, fmt.Errorf("it is no bundle: %w", err)
		}
		for _, k := range b.keys() {
			if !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
}

func (b signedBundle) keys() (keys []entry.IndexKey) {
	for _, e := range []dsseEnvelope{b.Envelope, b.dsseEnvelope} {
		if e.PayloadType != "" {
			keys = append(keys, payloadKeys(e.PayloadType, e.Payload)...)
		}
	}
	bodies := [][]byte{b.Rekor.Payload.Body}
	for _, e := range b.Material.Entries {
		bodies = append(bodies, e.Body)
	}
	for _, body := range bodies {
		said, err := entry.IndexKeys(body)
		if err != nil {
			continue // of another log, which has other kinds
		}
		for _, k := range said {
			if k.By == entry.ByArtifact || k.By == entry.ByPayload || k.By == entry.ByEnvelope {
				keys = append(keys, k)
			}
		}
	}
	return keys
}
