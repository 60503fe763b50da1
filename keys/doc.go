// Package keys makes, stores and loads signing keys in files.
//
// A private key is one PKCS#8 PEM block in a file that only its owner can read:
//
//	-----BEGIN PRIVATE KEY-----
//	MC4CAQAwBQYDK2VwBCIEIA…
//	-----END PRIVATE KEY-----
//
// With a password it is an ENCRYPTED PRIVATE KEY block instead: PBES2 with
// AES-256-CBC and PBKDF2-HMAC-SHA-256, which openssl reads too:
//
//	openssl pkey -in key.pem -pubout
//
// Keys made by openssl load as they are:
//
//	openssl genpkey -algorithm ed25519 -out key.pem
//	openssl pkcs8 -topk8 -v2 aes-256-cbc -in key.pem -out encrypted.pem
//
// What can be loaded: Ed25519, ECDSA on P-256, P-384 and P-521, RSA of 2048,
// 3072 or 4096 bits; as PKCS#8, or unencrypted as SEC 1 ("EC PRIVATE KEY") or PKCS#1
// ("RSA PRIVATE KEY"); and what cosign generate-key-pair makes ("ENCRYPTED
// SIGSTORE PRIVATE KEY").
//
// A file that its group or others can read is refused with [ErrPermissions]. If
// another user owns the file, its group may read it: so a container is handed a
// mounted secret.
// No error holds key material or a password.
package keys
