package keys

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"
)

func kdf(t *testing.T, params any) pkix.AlgorithmIdentifier {
	t.Helper()
	der, err := asn1.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	return pkix.AlgorithmIdentifier{Parameters: asn1.RawValue{FullBytes: der}}
}

func TestScryptBounds(t *testing.T) {
	for _, test := range []struct {
		params scryptParams
		ok     bool
	}{
		{scryptParams{N: 1 << 14, R: 8, P: 1}, true},                 // what openssl writes
		{scryptParams{N: 1 << 14, R: 8, P: 1, KeyLength: 32}, true},  //
		{scryptParams{N: 1 << 18, R: 8, P: 1}, true},                 // 256 MiB
		{scryptParams{N: 1 << 19, R: 8, P: 1}, false},                // 512 MiB
		{scryptParams{N: 1 << 14, R: 8, P: 32}, true},                //
		{scryptParams{N: 1 << 14, R: 8, P: 33}, false},               // too long
		{scryptParams{N: 1 << 62, R: 1 << 62, P: 4}, false},          // overflows to 0
		{scryptParams{N: 1 << 14, R: 0, P: 1}, false},                //
		{scryptParams{N: -1, R: 8, P: 1}, false},                     //
		{scryptParams{N: 1 << 14, R: 8, P: 1, KeyLength: 16}, false}, // not AES-256's
		{scryptParams{N: 1 << 14, R: 8, P: 1, Salt: make([]byte, 1025)}, false},
	} {
		if test.params.Salt == nil {
			test.params.Salt = []byte("salt")
		}
		if _, err := checkScrypt(kdf(t, test.params), 32); (err == nil) != test.ok {
			t.Errorf("%+v: %v", test.params, err)
		}
	}
}

func TestPBKDF2Bounds(t *testing.T) {
	sha256 := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}, Parameters: asn1.NullRawValue}
	for _, test := range []struct {
		params pbkdf2Params
		says   string
	}{
		{pbkdf2Params{Iterations: 1}, ""},
		{pbkdf2Params{Iterations: maxIterations}, ""},
		{pbkdf2Params{Iterations: maxIterations + 1}, "10000001 PBKDF2 iterations"},
		{pbkdf2Params{Iterations: 0}, "0 PBKDF2 iterations"},
		{pbkdf2Params{Iterations: -5}, "-5 PBKDF2 iterations"},
		{pbkdf2Params{Iterations: 2048, KeyLength: 32}, "key length"},
		{pbkdf2Params{Iterations: 2048, Salt: make([]byte, 1025)}, "damaged"},
	} {
		if test.params.Salt == nil {
			test.params.Salt = []byte("salt")
		}
		test.params.PRF = sha256
		_, err := checkPBKDF2(kdf(t, test.params))
		if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%+v: %v, want %q", test.params, err, test.says)
		}
	}
}
