package entry

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"testing"
)

// BenchmarkNewHashedRekord is to stay within 15 % of BenchmarkVerifyASN1.
func BenchmarkNewHashedRekord(b *testing.B) {
	r := request(b, ecKey(b, elliptic.P256()), "artifact")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewHashedRekord(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewHashedRekordCertificate(b *testing.B) {
	key := ecKey(b, elliptic.P256())
	r := request(b, key, "artifact")
	r.Verifier = Verifier{Certificate: certOf(b, key)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewHashedRekord(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyASN1(b *testing.B) {
	key := ecKey(b, elliptic.P256())
	r := request(b, key, "artifact")
	b.ReportAllocs()
	for b.Loop() {
		if !ecdsa.VerifyASN1(&key.PublicKey, r.Digest, r.Signature) {
			b.Fatal("the signature does not verify")
		}
	}
}

func BenchmarkParse(b *testing.B) {
	e := must(NewHashedRekord(request(b, ecKey(b, elliptic.P256()), "artifact")))(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(e.Canonical()); err != nil {
			b.Fatal(err)
		}
	}
}
