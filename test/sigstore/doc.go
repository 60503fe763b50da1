// Package sigstore tests the log with the programs and libraries that
// Sigstore's users have, unmodified: cosign v3 and v2, rekor-cli, sigstore-go
// and sigstore-js, against a logserver that was built from this repository.
//
// The programs are tools of this module and of the one in cosign2, each with
// exactly the dependencies that its authors chose: this module requires
// nothing else that would raise them, nor the module that is tested. Certificate
// and timestamp authorities and the image registry run in the test. Nothing
// but loopback is reached: the programs have a proxy that no request may reach.
package sigstore
