package keys

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"fmt"
)

// LoadP256 is [Load] for a key that must be ECDSA on P-256, which
// [GenerateECDSA] makes, as does
//
//	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out NEW
func LoadP256(path string, password []byte) (*ecdsa.PrivateKey, error) {
	key, err := Load(path, password)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	switch {
	case !ok:
		return nil, fmt.Errorf("key file %s: it holds a %T; this key must be ECDSA on P-256", path, key)
	case ec.Curve != elliptic.P256():
		return nil, fmt.Errorf("key file %s: its curve is %s; this key must be on P-256", path, ec.Params().Name)
	}
	return ec, nil
}
