#!/bin/sh
# Makes the test keys of this folder anew, with openssl 3. They are for tests
# only. The password of the encrypted ones is: correct horse
set -eu
cd "$(dirname "$0")"
pass=pass:"correct horse"

openssl genpkey -algorithm ed25519 -out ed25519.pem
for curve in P-256 P-384 P-521 P-224; do
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:$curve -out ecdsa-$curve.pem
done
for bits in 1024 2048 3072; do
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:$bits -out rsa-$bits.pem
done
openssl genpkey -algorithm X25519 -out x25519.pem
openssl genpkey -algorithm ed448 -out ed448.pem

openssl ecparam -name prime256v1 -genkey -out sec1.pem
openssl rsa -in rsa-2048.pem -traditional -out pkcs1.pem
openssl rsa -in rsa-2048.pem -traditional -aes128 -passout "$pass" -out legacy.pem
openssl pkey -in ed25519.pem -outform DER -out ed25519.der

openssl pkcs8 -topk8 -v2 aes-256-cbc -in ed25519.pem -passout "$pass" -out encrypted-ed25519.pem
openssl pkcs8 -topk8 -v2 aes-256-cbc -in ecdsa-P-256.pem -passout "$pass" -out encrypted-ecdsa.pem
openssl pkcs8 -topk8 -v2 aes-128-cbc -v2prf hmacWithSHA1 -in rsa-2048.pem -passout "$pass" -out encrypted-rsa-sha1.pem
openssl pkcs8 -topk8 -v2 aes-192-cbc -in ed25519.pem -iter 100000 -passout "$pass" -out encrypted-192.pem
openssl pkcs8 -topk8 -v2 aes-256-cbc -scrypt -in ed25519.pem -passout "$pass" -out encrypted-scrypt.pem
openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA512 -in ed25519.pem -passout "$pass" -out encrypted-sha512.pem
openssl pkcs8 -topk8 -v2 des3 -in ed25519.pem -passout "$pass" -out encrypted-des3.pem
openssl pkcs8 -topk8 -v2 aria-256-cbc -in ed25519.pem -passout "$pass" -out encrypted-aria.pem
openssl pkcs8 -topk8 -v1 PBE-SHA1-3DES -in ed25519.pem -passout "$pass" -out encrypted-pbes1.pem
# More than a file may ask for: 11 million iterations; scrypt with 512 MiB.
openssl pkcs8 -topk8 -v2 aes-256-cbc -iter 11000000 -in ed25519.pem -passout "$pass" -out costly-pbkdf2.pem
openssl genpkey -algorithm ed25519 -out other.pem

for key in ed25519 ecdsa-P-256 ecdsa-P-384 ecdsa-P-521 rsa-2048 rsa-3072 sec1; do
	openssl pkey -in $key.pem -pubout -out $key.pub
done
openssl pkey -in ed25519.pem -pubout -outform DER -out ed25519.pub.der
openssl rsa -in rsa-2048.pem -RSAPublicKey_out -out pkcs1.pub
openssl req -x509 -new -key ecdsa-P-256.pem -subj /CN=test -days 36500 -out cert.pem
openssl x509 -in cert.pem -outform DER -out cert.der
openssl dgst -sha256 -r ed25519.pub.der | cut -d' ' -f1 >ed25519.fingerprint
