package monitor

import (
	"errors"
	"fmt"
	"strings"

	"indelible/entry"
	"indelible/mirror/source"
)

// By says what a fact is about.
type By string

// What entries are compared by.
const (
	ByIdentity By = "identity" // an e-mail address, DNS name or URI in a certificate
	ByIssuer   By = "issuer"   // the OIDC issuer in a certificate of Fulcio's
	ByKey      By = "key"      // hex SHA-256 of a SubjectPublicKeyInfo
	ByDigest   By = "digest"   // of an artifact, a payload or an envelope: sha256:…
	ByModule   By = "module"   // a Go module's path
	ByDomain   By = "domain"   // a DNS name in a certificate of a CT log
)

// Fact is one thing that an entry proves. Facts with one Signer are about one
// signer, or one certificate.
type Fact struct {
	By     By     `json:"by"`
	Value  string `json:"value"`
	Signer int    `json:"signer"`
}

// ErrOpaque: the entry is of no kind that says anything to compare.
var ErrOpaque = errors.New("opaque")

// Facts appends to list what an entry of a log proves. [ErrOpaque] is the error of
// bytes that have no known form; any other error is that of an entry that has one,
// and cannot be read.
func Facts(list []Fact, format source.Format, data []byte) ([]Fact, error) {
	switch format {
	case source.Tiles, source.RekorV1:
		return signatureFacts(list, data)
	case source.SumDB:
		return moduleFacts(list, data)
	case source.StaticCT:
		return certificateFacts(list, data)
	}
	return list, fmt.Errorf("a log of the format %q is not known", format)
}

// signatureFacts are those of an entry of Rekor's kinds.
func signatureFacts(list []Fact, data []byte) ([]Fact, error) {
	claims, err := entry.ScanClaims(data)
	if err != nil {
		return list, err
	}
	if len(claims.Signers) == 0 {
		return list, ErrOpaque
	}
	for _, d := range claims.Digests {
		list = append(list, Fact{By: ByDigest, Value: d.Value})
	}
	for i, s := range claims.Signers {
		c := certificate{facts: list, signer: i + 1}
		if s.Certificate == nil {
			c.key(s.SPKI)
		} else if !c.read(s.Certificate) {
			return list, errCertificate
		}
		list = c.facts
	}
	return list, nil
}

// moduleFacts are those of a record of the Go checksum database.
// SPEC: golang.org/design/25530-sumdb: the record of a version has its lines of go.sum.
func moduleFacts(list []Fact, data []byte) ([]Fact, error) {
	module := ""
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || module != "" && module != fields[0] || !strings.HasPrefix(fields[2], "h1:") {
			return list, errors.New("it is not a record of go.sum lines about one module")
		}
		module = fields[0]
	}
	if module == "" {
		return list, errors.New("the record is empty")
	}
	return append(list, Fact{By: ByModule, Value: module}), nil
}
