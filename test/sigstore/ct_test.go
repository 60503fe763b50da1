package sigstore

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"testing"
	"time"
)

// sct is the extension of a certificate by which a CT log, whose key this is,
// promises to log it; the certificate is as it is without. SPEC: RFC 6962, 3.2
// and 3.3.
func sct(key crypto.Signer, cert, issuer *x509.Certificate) (pkix.Extension, error) {
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return pkix.Extension{}, err
	}
	now, by, id := uint64(time.Now().UnixMilli()), sha256.Sum256(issuer.RawSubjectPublicKeyInfo), sha256.Sum256(spki)
	promise := binary.BigEndian.AppendUint64([]byte{0, 0}, now)
	promise = append(append(promise, 0, 1), by[:]...)
	promise = append(promise, byte(len(cert.RawTBSCertificate)>>16), byte(len(cert.RawTBSCertificate)>>8), byte(len(cert.RawTBSCertificate)))
	promise = append(append(promise, cert.RawTBSCertificate...), 0, 0)
	digest := sha256.Sum256(promise)
	sig, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return pkix.Extension{}, err
	}
	one := binary.BigEndian.AppendUint64(append([]byte{0}, id[:]...), now)
	one = append(one, 0, 0, 4, 3) // no extensions; SHA-256, ECDSA
	one = append(binary.BigEndian.AppendUint16(one, uint16(len(sig))), sig...)
	list := binary.BigEndian.AppendUint16(nil, uint16(len(one)+2))
	list = append(binary.BigEndian.AppendUint16(list, uint16(len(one))), one...)
	value, err := asn1.Marshal(list)
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: value}, err
}

// TestCT is a Fulcio that logs its certificates in a CT log: who trusts that log
// need not be told to do without.
func TestCT(t *testing.T) {
	w := newWorld(t)
	w.keyPair("leaf", newKey())
	a := newAuthority(t)
	a.ct = newKey()
	w.certificates(a)
	w.services("authority", a)
	w.write("ct.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must1(x509.MarshalPKIXPublicKey(a.ct.Public()))})))
	w.trustedRoot("ct.json", a, "--ctfe", "url=https://ct.example.com,public-key=ct.pem,start-time=2024-01-01T00:00:00Z")
	w.write("other.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must1(x509.MarshalPKIXPublicKey(newKey().Public()))})))
	w.trustedRoot("other.json", a, "--ctfe", "url=https://ct.example.com,public-key=other.pem,start-time=2024-01-01T00:00:00Z")
	w.write("artifact", "artifact\n")
	byIdentity := []string{"--certificate-identity", identity, "--certificate-oidc-issuer", issuer}
	for _, program := range []string{"cosign3", "cosign2"} {
		for _, api := range []string{"v1", "v2"} {
			t.Run(fmt.Sprintf("%s/%s", program, api), func(t *testing.T) {
				f := flow{w.in(t), program, api, signer{sign: []string{"--identity-token", "token"}, verify: byIdentity, root: "authority.json", services: "authority"}}
				withCT := f
				withCT.root = "ct.json"
				f.must(append(withCT.signFlags("sign-blob"), "--bundle", "b.json", "artifact")...)
				f.must(append(withCT.verifyFlags("verify-blob"), "--use-signed-timestamps="+fmt.Sprint(api == "v2"), "--bundle", "b.json", "artifact")...)
				w := w.in(t)
				w.logcli("", "", "artifact", "b.json", append([]string{"--trusted-root", "ct.json"}, byIdentity...)...)
				w.logcli("sct", "no trusted CT log has the id", "artifact", "b.json", append([]string{"--trusted-root", "other.json"}, byIdentity...)...)
				f.refused("only able to verify 0 SCT entries", append(f.verifyFlags("verify-blob"), "--bundle", "b.json", "artifact")...)
			})
		}
	}
}
