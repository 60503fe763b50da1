// Package checkpoint reads and writes what a transparency log signs: signed
// notes, checkpoints, cosignatures, trust policies and proof files, as C2SP
// specifies them. It is pure: bytes in, bytes out, no clock, no file, no network.
//
// # Signed notes (c2sp.org/signed-note)
//
// A note is a text that ends in a newline, an empty line, and signature lines:
//
//	example.com/behind-the-sofa
//	14
//	pjSxv7zt/y45/+aSAblIZGIQ9OlCvvAbPP4eUWXJU9Y=
//
//	— example.com/behind-the-sofa CQazXMa7HvbWhQq5jeCqC/Hui/FTwZTOJq3+fbuRNvb/k7Ygxzv22WKH/sFeaChhD12Oecc5amlQ6Or+mFx02KDdqA4=
//
// The base64 of a signature line is the key's four byte id and the signature.
// A verifier key ("vkey") is name+hex(id)+base64(type, public key):
//
//	example.com/behind-the-sofa+0906b35c+AXd26HC5M1TyoLJMI/KjbMToDiIyGMG5eSb90Bg5aiub
//
//	type  key                      signature                                     id
//	0x01  Ed25519, 32 bytes        over the text                                 SHA-256(name \n type key)[:4]
//	0x02  ECDSA P-256/384/521,     ASN.1, over SHA-256(text) for every curve     SHA-256(SPKI)[:4]
//	      SPKI DER
//	0x04  Ed25519, 32 bytes        u64 seconds, then over "cosignature/v1" text  SHA-256(name \n type key)[:4]
//	0x05  ECDSA, SPKI DER          u64 milliseconds, TLS header, then over        SHA-256(name \n type SHA-256(SPKI))[:4]
//	                               RFC 6962's tree head, without the origin
//	0x06  ML-DSA-44, 1312 bytes    u64 seconds, then over "subtree/v1" struct    SHA-256(name \n type key)[:4]
//
// For 0x02 the spec says only "as implemented by transparency-dev": that is
// SHA-256 whatever the curve, which Rekor follows too. The spec of 0x05 has no vkey;
// this is that of transparency-dev.
//
// # Checkpoints (c2sp.org/tlog-checkpoint)
//
// A checkpoint is a note whose text is origin, size and root hash, each on its
// line. Extension lines are refused: no cosignature of type 0x06 covers them, and
// no monitor can check them. Only [ParseExtended] and [OpenExtended] take them,
// for those who must read other people's logs.
//
// # Trust
//
// [Open] and [Policy.Open] are the only ways from bytes to a checkpoint to
// believe. A signature line by a key nobody asked for is ignored and never
// written again; a line that names a known key and does not verify condemns the
// whole note.
//
// # Policies (c2sp.org/tlog-policy)
//
//	log example.com/behind-the-sofa+0906b35c+AXd26HC5M1TyoLJMI/KjbMToDiIyGMG5eSb90Bg5aiub
//	witness W1 w1.example+…
//	witness W2 w2.example+…
//	witness W3 w3.example+…
//	group two 2 W1 W2 W3
//	quorum two
//
// # Proof files (c2sp.org/tlog-proof)
//
//	c2sp.org/tlog-proof@v1
//	extra SGVsbG8=
//	index 2
//	gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
//	B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
//
//	(the checkpoint, with all its signatures)
//
// Every parser accepts only what its writer would print (a policy, which has no
// writer, only what its grammar says), so that no two readers can disagree
// about the meaning of the same bytes.
package checkpoint
