package prover

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"

	"indelible/entry"
	"indelible/merkle"
)

// described is an entry in words.
type described struct {
	Kind      entry.Kind `json:"kind"`
	Version   string     `json:"version"`
	LeafHash  string     `json:"leafHash"` // hex
	Canonical []byte     `json:"canonical"`
	// Found are what the entry is found by.
	Found   []found  `json:"found"`
	Signers []signer `json:"signers"`
}

type found struct {
	By    entry.IndexBy `json:"by"`
	Value string        `json:"value"`
}

// signer is a key that signed, and what its certificate says, unchecked.
type signer struct {
	KeyDetails  entry.KeyDetails `json:"keyDetails"`
	Fingerprint string           `json:"fingerprint"`
	Certificate *certificate     `json:"certificate,omitempty"`
}

type certificate struct {
	Names      []string    `json:"names"`
	Subject    string      `json:"subject"`
	Issuer     string      `json:"issuer"`
	Serial     string      `json:"serial"`
	From       int64       `json:"from"` // POSIX seconds
	To         int64       `json:"to"`
	Extensions []extension `json:"extensions"` // Fulcio's
	PEM        string      `json:"pem"`
}

type extension struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// describe never fails: other logs have entries of kinds that are not known here.
func describe(canonical []byte) *described {
	leaf := merkle.LeafHash(canonical)
	d := &described{Kind: "unknown", LeafHash: hex.EncodeToString(leaf[:]), Canonical: canonical}
	p, err := entry.Parse(canonical)
	if err != nil {
		return d
	}
	d.Kind, d.Version = p.Kind, p.Version
	keys, _ := entry.IndexKeys(canonical) // what was parsed has keys
	for _, k := range keys {
		d.Found = append(d.Found, found{k.By, k.Value})
	}
	for _, s := range p.Signers() {
		one := signer{KeyDetails: s.KeyDetails, Fingerprint: fmt.Sprintf("SHA256:%x", sha256.Sum256(s.SPKI))}
		if s.Certificate != nil {
			one.Certificate = describeCertificate(s.Certificate)
		}
		d.Signers = append(d.Signers, one)
	}
	return d
}

func describeCertificate(c *x509.Certificate) *certificate {
	d := &certificate{
		Names: entry.SubjectNames(c), Subject: c.Subject.String(), Issuer: c.Issuer.String(), Serial: fmt.Sprintf("%x", c.SerialNumber),
		From: c.NotBefore.Unix(), To: c.NotAfter.Unix(),
		PEM: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})),
	}
	for _, e := range c.Extensions {
		if number, ok := strings.CutPrefix(e.Id.String(), "1.3.6.1.4.1.57264.1."); ok {
			d.Extensions = append(d.Extensions, extension{nameOf(number), valueOf(number, e.Value)})
		}
	}
	return d
}

// nameOf is what Fulcio calls an extension.
// SPEC: Fulcio, oid-info.md.
func nameOf(number string) string {
	name := map[string]string{
		"1": "OIDC issuer (old form)", "2": "GitHub workflow trigger", "3": "GitHub workflow SHA", "4": "GitHub workflow name",
		"5": "GitHub workflow repository", "6": "GitHub workflow ref", "8": "OIDC issuer", "9": "Build signer URI",
		"10": "Build signer digest", "11": "Runner environment", "12": "Source repository URI", "13": "Source repository digest",
		"14": "Source repository ref", "15": "Source repository identifier", "16": "Source repository owner URI",
		"17": "Source repository owner identifier", "18": "Build config URI", "19": "Build config digest", "20": "Build trigger",
		"21": "Run invocation URI", "22": "Source repository visibility at signing",
	}[number]
	if name == "" {
		name = "Fulcio extension " + number
	}
	return name
}

// valueOf is an extension's text. The first six have it bare, and those from 8 on
// as a DER string.
func valueOf(number string, value []byte) string {
	if len(number) == 1 && number < "7" {
		return string(value)
	}
	var s string
	if rest, err := asn1.Unmarshal(value, &s); err == nil && len(rest) == 0 {
		return s
	}
	return hex.EncodeToString(value)
}
