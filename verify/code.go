package verify

// Code says why a check failed. Programs compare codes; the words of Check.Detail may change.
type Code string

// The codes, with the checks that fail so.
const (
	BadBundle         Code = "bad-bundle"           // bundle: it cannot be read
	BadProof          Code = "bad-proof"            // entry: the proof file cannot be read, or lacks the entry
	BadEntry          Code = "bad-entry"            // entry: what was logged is not an entry, or not of the kind that the bundle says
	OtherSignature    Code = "other-signature"      // entry: the log has another signature than the bundle
	OtherArtifact     Code = "other-artifact"       // artifact: another one was signed or logged
	BadSignature      Code = "bad-signature"        // signature: it does not verify
	OtherSigner       Code = "other-signer"         // signer: none that is trusted signed
	BadSCT            Code = "bad-sct"              // sct: no trusted CT log promised to publish the certificate
	NoTrustedLog      Code = "no-trusted-log"       // checkpoint: no trusted log signed it
	OtherCheckpoint   Code = "other-checkpoint"     // checkpoint: it says something else than the bundle
	BadWitnessLine    Code = "bad-witness-line"     // witnesses: a known witness's signature does not verify
	FewWitnesses      Code = "few-witnesses"        // witnesses: the policy's quorum did not cosign
	NotIncluded       Code = "not-included"         // inclusion: the proof does not lead to the checkpoint
	BadPromise        Code = "bad-promise"          // time: Rekor v1's promise, or a time without one, does not hold
	NoTimestamp       Code = "no-timestamp"         // timestamp: no trusted authority stamped the signature
	KeyNotYetTrusted  Code = "key-not-yet-trusted"  // period: the log's key is trusted from a time to come
	KeyNotTrustedThen Code = "key-not-trusted-then" // period: the log's key was not trusted at the proven time
)
