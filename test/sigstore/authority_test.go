package sigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
)

const (
	identity = "builder@example.com"
	issuer   = "https://accounts.example.com"
)

// authority is a certificate authority and a timestamp authority, for the life
// of a test. Its URL serves what a client needs of Fulcio and of an RFC 3161
// authority.
type authority struct {
	url         string
	chain       []*x509.Certificate // intermediate, root: of code signing
	tsaChain    []*x509.Certificate // leaf, intermediate, root
	rootKey     crypto.Signer
	intermedKey crypto.Signer
	tsaKey      crypto.Signer
	ct          crypto.Signer // of the CT log that promises to have its certificates, if there is one
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	root, rootKey := certify(t, template("root", true), nil, nil)
	signing, signingKey := certify(t, with(template("code signing", true), x509.ExtKeyUsageCodeSigning), root, rootKey)
	stamping, stampingKey := certify(t, with(template("timestamping", true), x509.ExtKeyUsageTimeStamping), root, rootKey)
	leaf, leafKey := certify(t, stamper(t), stamping, stampingKey)
	a := &authority{
		rootKey: rootKey,
		chain:   []*x509.Certificate{signing, root}, intermedKey: signingKey,
		tsaChain: []*x509.Certificate{leaf, stamping, root}, tsaKey: leafKey,
	}

	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v2/signingCert", answer(a.signingCert, "application/json"))
	mux.HandleFunc("POST /api/v1/timestamp", answer(a.timestamp, "application/timestamp-reply"))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

func template(name string, ca bool) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: must1(rand.Int(rand.Reader, big.NewInt(1<<62))),
		Subject:      pkix.Name{CommonName: name, Organization: []string{"test"}},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, IsCA: ca,
	}
	if ca {
		c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	return c
}

func with(c *x509.Certificate, usage x509.ExtKeyUsage) *x509.Certificate {
	c.ExtKeyUsage = []x509.ExtKeyUsage{usage}
	return c
}

// stamper is the template of a timestamp authority's own certificate. SPEC: RFC 3161, 2.3: the
// extended key usage is timestamping alone, and critical.
func stamper(t *testing.T) *x509.Certificate {
	c := template("timestamps", false)
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		t.Fatal(err)
	}
	c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}}
	return c
}

// certify makes a key and its certificate; without a parent it signs itself.
func certify(t *testing.T, c, parent *x509.Certificate, by crypto.Signer) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if parent == nil {
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	return must1(x509.ParseCertificate(der)), key
}

// must1 is for what fails only if the machine does.
func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// issue makes a certificate for code signing as Fulcio does: the identity is
// the subject's alternative name, its issuer an extension.
func (a *authority) issue(pub crypto.PublicKey) (*x509.Certificate, error) {
	return a.issueTo(identity, pub)
}

// issueTo is issue for anybody.
func (a *authority) issueTo(email string, pub crypto.PublicKey) (*x509.Certificate, error) {
	v2, err := asn1.MarshalWithParams(issuer, "utf8")
	if err != nil {
		return nil, err
	}
	return a.issuePlain(
		email, pub,
		pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte(issuer)},
		pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: v2},
	)
}

// issuePlain makes a certificate for code signing as any authority does, who
// knows nothing of OpenID.
func (a *authority) issuePlain(email string, pub crypto.PublicKey, extensions ...pkix.Extension) (*x509.Certificate, error) {
	c := with(template("", false), x509.ExtKeyUsageCodeSigning)
	c.Subject = pkix.Name{}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(30*time.Minute)
	c.EmailAddresses, c.ExtraExtensions = []string{email}, extensions
	cert, err := a.sign(c, pub)
	if err != nil || a.ct == nil {
		return cert, err
	}
	promise, err := sct(a.ct, cert, a.chain[0])
	if err != nil {
		return nil, err
	}
	c.ExtraExtensions = append(c.ExtraExtensions, promise)
	return a.sign(c, pub)
}

func (a *authority) sign(c *x509.Certificate, pub crypto.PublicKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, c, a.chain[0], pub, a.intermedKey)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// server makes a certificate for a server on this machine, and its key, as PEM.
func (a *authority) server(t *testing.T) (cert, key string) {
	t.Helper()
	c := template("server", false)
	c.DNSNames = []string{"localhost"}
	leaf, private := certify(t, c, a.chain[1], a.rootKey)
	der := must1(x509.MarshalPKCS8PrivateKey(private))
	return encode(leaf), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// token is an identity token as an OpenID provider gives it; here nobody looks
// at its signature.
func token() string {
	claims := fmt.Sprintf(`{"iss":%q,"sub":"builder","aud":"sigstore","email":%q,"email_verified":true,"exp":%d}`, issuer, identity, time.Now().Add(time.Hour).Unix())
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + b64([]byte(claims)) + "." + b64([]byte("none"))
}

func answer(f func(r *http.Request) ([]byte, error), contentType string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := f(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", contentType)
		w.Write(out)
	}
}

// signingCert is Fulcio's: a certificate for whoever has the token, and proves
// to have the key by a signature over the token's subject.
func (a *authority) signingCert(r *http.Request) ([]byte, error) {
	var req struct {
		Credentials      struct{ OIDCIdentityToken string }
		PublicKeyRequest struct {
			PublicKey         struct{ Content string }
			ProofOfPossession []byte
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") && req.Credentials.OIDCIdentityToken == "" {
		return nil, errors.New("there is no identity token")
	}
	pub, err := publicKey(req.PublicKeyRequest.PublicKey.Content)
	if err != nil {
		return nil, err
	}
	if digest := sha256.Sum256([]byte(identity)); !ecdsa.VerifyASN1(pub, digest[:], req.PublicKeyRequest.ProofOfPossession) {
		return nil, errors.New("the proof of possession is wrong")
	}
	leaf, err := a.issue(pub)
	if err != nil {
		return nil, err
	}
	var out struct {
		SignedCertificateEmbeddedSct struct {
			Chain struct {
				Certificates []string `json:"certificates"`
			} `json:"chain"`
		} `json:"signedCertificateEmbeddedSct"`
	}
	for _, c := range append([]*x509.Certificate{leaf}, a.chain...) {
		out.SignedCertificateEmbeddedSct.Chain.Certificates = append(out.SignedCertificateEmbeddedSct.Chain.Certificates, encode(c))
	}
	return json.Marshal(out)
}

func publicKey(text string) (*ecdsa.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("the public key is no PEM")
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("the public key is %T; this authority certifies ECDSA keys", pub)
	}
	return key, nil
}

// timestamp answers a request of RFC 3161, or as sigstore-js makes it.
func (a *authority) timestamp(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	req := &timestamp.Request{HashAlgorithm: crypto.SHA256}
	if r.Header.Get("Content-Type") == "application/json" {
		var asJSON struct{ ArtifactHash []byte }
		err = json.Unmarshal(body, &asJSON)
		req.HashedMessage = asJSON.ArtifactHash
	} else {
		req, err = timestamp.ParseRequest(body)
	}
	if err != nil {
		return nil, err
	}
	return a.stamp(req, time.Now())
}

// stamp answers as it were then.
func (a *authority) stamp(req *timestamp.Request, when time.Time) ([]byte, error) {
	stamp := timestamp.Timestamp{
		HashAlgorithm: req.HashAlgorithm, HashedMessage: req.HashedMessage, Nonce: req.Nonce,
		Time: when, Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2},
		AddTSACertificate: req.Certificates, ExtraExtensions: req.Extensions,
	}
	return stamp.CreateResponseWithOpts(a.tsaChain[0], a.tsaKey, crypto.SHA256)
}

// encode writes certificates as PEM.
func encode(certs ...*x509.Certificate) string {
	var out strings.Builder
	for _, c := range certs {
		pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return out.String()
}
