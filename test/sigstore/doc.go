// Package sigstore tests the log with the programs and libraries that
// Sigstore's users have, unmodified: cosign v3 and v2, rekor-cli, sigstore-go
// and sigstore-js, against a logserver that was built from this repository.
//
// cosign v2 and v3 are tools of the modules in cosign2 and cosign3, each with
// exactly the dependencies that its authors chose: those modules require nothing
// else. rekor-cli is a tool of this module, beside the newest sigstore-go. No
// module here requires the module that is tested. Certificate
// and timestamp authorities and the image registry run in the test. Nothing
// but loopback is reached: the programs have a proxy that no request may reach.
package sigstore
