// Package evidence proves that a transparency log contradicted itself, in a text
// file that anybody can read, keep, and check without asking anybody. It is
// pure: bytes in, bytes out.
//
// A file of evidence says what it proves, and then proves it:
//
//	log-evidence/v1 fork
//
//	Whoever holds the key "example.com/log+ab3a2178" signed two statements
//	about the log "example.com/log" that cannot both be true:
//	1. Its first 14 entries have the fingerprint
//	   pjSxv7zt/y45/+aSAblIZGIQ9OlCvvAbPP4eUWXJU9Y=
//	…
//
//	key example.com/log+ab3a2178+AXd26HC5M1TyoLJMI/KjbMToDiIyGMG5eSb90Bg5aiub
//	root (base64: the root that the second tree has at the size of the first)
//	(base64: a hash of the consistency proof, each on its line)
//
//	(the first checkpoint, with one signature line)
//
//	(the second checkpoint, with one signature line)
//
// Nothing in a file is free: the words follow from the rest, no line may be
// added, left out or spelled differently, and every signature is verified.
//
// # What can be proven
//
//	two-heads  two roots for one size
//	fork       a smaller tree that is not the beginning of a larger one
//	shrunk     by one key: at a time the largest tree seen had a size; later, it was smaller
//
// That a proof of consistency is missing, or wrong, is no evidence: anybody can
// make one up. So a fork is proven by a proof that holds: the larger tree begins
// with that many entries under a root, by a consistency proof (RFC 6962 section
// 2.1.2), and this root is not the one that was signed. No proof but the true
// one leads to the root of the larger tree, so nobody can make evidence against
// a log that did not fork.
//
// # What cannot
//
// A log that shows a smaller tree than before contradicts itself only if a time
// is part of what it signs. An Ed25519 or ECDSA signature of type 0x01 or 0x02
// has none, so the smaller tree may be a page that was kept. A cosignature (types
// 0x04, 0x06) has one, and states which tree is the largest that was seen until
// then. Such a statement is its signer's own: two witnesses who disagree about
// what is the largest contradict neither themselves nor the log.
//
// The evidence is about whoever holds a key. Whose key that is, which of the two
// statements is false, and whether a fault, a thief or the owner signed it, no
// file can prove.
package evidence
