package monitor

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
)

var (
	errLeaf        = errors.New("it is not a MerkleTreeLeaf with a certificate")
	errCertificate = errors.New("it has a certificate that cannot be read")
)

// certificateFacts are those of a leaf of a CT log. What is read is what a
// certificate is found by, and no more: a CT log has certificates that
// crypto/x509 refuses, and a monitor must see those, too.
// SPEC: RFC 6962, 3.4: version, leaf type, timestamp, entry type; an X.509
// certificate, or the issuer's key hash and a TBSCertificate; extensions.
func certificateFacts(list []Fact, leaf []byte) ([]Fact, error) {
	const head = 1 + 1 + 8 + 2
	if len(leaf) < head || leaf[0] != 0 || leaf[1] != 0 || leaf[10] != 0 {
		return list, errLeaf
	}
	rest, precertificate := leaf[head:], leaf[11] == 1
	if precertificate {
		if len(rest) < sha256.Size {
			return list, errLeaf
		}
		rest = rest[sha256.Size:]
	} else if leaf[11] != 0 {
		return list, errLeaf
	}
	if len(rest) < 3 {
		return list, errLeaf
	}
	size := int(rest[0])<<16 | int(rest[1])<<8 | int(rest[2])
	if len(rest)-3 < size {
		return list, errLeaf
	}
	c := certificate{facts: list, domains: true}
	read := c.read
	if precertificate {
		read = c.tbs
	}
	if !read(rest[3 : 3+size]) {
		return list, errCertificate
	}
	return c.facts, nil
}

// Tags of DER.
const (
	tagOID      = 0x06
	tagBoolean  = 0x01
	tagOctets   = 0x04
	tagInteger  = 0x02
	tagSequence = 0x30
	tagSet      = 0x31
	tagVersion  = 0xa0 // [0]
	tagOther    = 0xa0 // of a GeneralName
	tagExtended = 0xa3 // [3]
	tagEmail    = 0x81 // GeneralName
	tagDNS      = 0x82
	tagURI      = 0x86
)

// der is a list of elements in DER. A read of something that is not there gives
// nil.
type der []byte

// next cuts the first element off: its tag, what is in it, and it as a whole.
func (d *der) next() (tag byte, body, whole der) {
	b := *d
	if len(b) < 2 || b[0]&0x1f == 0x1f {
		return 0, nil, nil
	}
	size, at := int(b[1]), 2
	if size >= 0x80 {
		n := size & 0x7f
		if n < 1 || n > 3 || len(b) < 2+n {
			return 0, nil, nil
		}
		size, at = 0, 2+n
		for _, c := range b[2:at] {
			size = size<<8 | int(c)
		}
	}
	if len(b)-at < size {
		return 0, nil, nil
	}
	*d = b[at+size:]
	return b[0], b[at : at+size : at+size], b[: at+size : at+size]
}

// read cuts the first element off, if it has this tag, and returns what is in it.
func (d *der) read(tag byte) der {
	rest := *d
	if got, body, _ := rest.next(); got == tag && body != nil {
		*d = rest
		return body
	}
	return nil
}

// certificate reads what a certificate is found by.
type certificate struct {
	facts   []Fact
	signer  int
	domains bool // names of hosts are domains, too
}

// read reads an X.509 certificate, in which the TBSCertificate comes first.
func (c *certificate) read(whole der) bool { return c.tbs(whole.read(tagSequence)) }

// tbs reads a TBSCertificate.
// SPEC: RFC 5280, 4.1: version, serial number, signature, issuer, validity,
// subject, subjectPublicKeyInfo, and optional members.
func (c *certificate) tbs(list der) bool {
	list = list.read(tagSequence)
	list.read(tagVersion)
	ok := list.read(tagInteger) != nil
	for range 3 { // signature, issuer, validity
		ok = ok && list.read(tagSequence) != nil
	}
	subject := list.read(tagSequence)
	tag, _, spki := list.next()
	if !ok || subject == nil || tag != tagSequence {
		return false
	}
	c.key(spki)
	c.commonNames(subject)
	for len(list) > 0 {
		tag, body, whole := list.next()
		if whole == nil || tag == tagExtended && !c.extensions(body) {
			return false
		}
	}
	return true
}

func (c *certificate) key(spki []byte) {
	sum := sha256.Sum256(spki)
	c.add(ByKey, hex.EncodeToString(sum[:]))
}

// commonNames takes the names of hosts, where old certificates have them.
func (c *certificate) commonNames(subject der) {
	for set := subject.read(tagSet); set != nil; set = subject.read(tagSet) {
		attribute := set.read(tagSequence)
		if string(attribute.read(tagOID)) != oidCommonName {
			continue
		}
		if _, name, _ := attribute.next(); c.domains && strings.Contains(string(name), ".") {
			c.add(ByDomain, string(name))
		}
	}
}

func (c *certificate) extensions(list der) bool {
	list = list.read(tagSequence)
	for len(list) > 0 {
		extension := list.read(tagSequence)
		id := extension.read(tagOID)
		extension.read(tagBoolean)
		value := extension.read(tagOctets)
		if id == nil || value == nil {
			return false
		}
		switch string(id) {
		case oidNames:
			if !c.names(value) {
				return false
			}
		case oidIssuerV1:
			c.add(ByIssuer, string(value))
		case oidIssuerV2:
			_, text, _ := value.next()
			c.add(ByIssuer, string(text))
		}
	}
	return true
}

// The object identifiers, in DER.
const (
	oidCommonName = "\x55\x04\x03"
	oidNames      = "\x55\x1d\x11"
	// SPEC: Fulcio, oid-info.md: 1.3.6.1.4.1.57264.1.1 is the OIDC issuer as it is,
	// .8 the same in DER, and .7 a user's name as an otherName (RFC 5280, 4.2.1.6).
	oidIssuerV1 = "\x2b\x06\x01\x04\x01\x83\xbf\x30\x01\x01"
	oidIssuerV2 = "\x2b\x06\x01\x04\x01\x83\xbf\x30\x01\x08"
	oidUsername = "\x2b\x06\x01\x04\x01\x83\xbf\x30\x01\x07"
)

func (c *certificate) names(list der) bool {
	list = list.read(tagSequence)
	for len(list) > 0 {
		tag, name, whole := list.next()
		switch {
		case whole == nil:
			return false
		case tag == tagDNS:
			if c.domains {
				c.add(ByDomain, string(name))
			}
			c.add(ByIdentity, string(name))
		case tag == tagEmail || tag == tagURI:
			c.add(ByIdentity, string(name))
		case tag == tagOther && string(name.read(tagOID)) == oidUsername:
			wrapped := name.read(tagVersion)
			_, text, _ := wrapped.next()
			c.add(ByIdentity, string(text))
		}
	}
	return true
}

// add leaves out what stands there twice, as the issuer does in two extensions.
func (c *certificate) add(by By, value string) {
	f := Fact{By: by, Value: value, Signer: c.signer}
	if n := len(c.facts); value != "" && (n == 0 || c.facts[n-1] != f) {
		c.facts = append(c.facts, f)
	}
}
