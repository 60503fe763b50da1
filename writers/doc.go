// Package writers decides who may write to a log: from a policy, a principal and
// an entry. It reads no network and no clock; what it is given is all that it knows.
//
//	policy, err := writers.Parse(data, os.ReadFile)
//	w := policy.Writer(writers.Principal{Kind: writers.Token, Name: "ci"})
//	decision := w.Decide(entry, now)
//
// # The file
//
// A policy is YAML or JSON. A member that is not in this example is an error, as is
// one that is given twice. schema.json ([Schema]) describes it for editors.
//
//	issuers:                                  # whose JWTs count
//	  - name: github
//	    url: https://token.actions.githubusercontent.com
//	    audiences: [https://log.example.com]
//	principals:                               # names for credentials
//	  - name: release
//	    tokens: ["sha256:9f86d081884c7d65…"]  # SHA-256 of an API token
//	    certificates: [spiffe://example.org/release]
//	    subjects: [{issuer: github, subject: "repo:example/app:ref:refs/heads/main"}]
//	rules:                                    # the first that applies decides
//	  - name: large entries
//	    principals: [anyone]
//	    entry: entry.size > 20000
//	    effect: deny
//	  - name: releases
//	    principals: [release]
//	    entry: entry.kind == "hashedrekord" && entry.size < 4096
//	    rate: 10/s
//	    burst: 50
//	  - name: workflows
//	    who: principal.issuer == "github" && claims.repository_owner == "example"
//	    entry: size(entry.subjects) > 0 && entry.subjects.all(s, s.endsWith("@example.com"))
//	    rate: 30/min
//
// # Principals
//
// A principal is the writer that the credentials of a request show:
//
//   - an API token: the principal of the file that has its hash, or the name that a
//     [Policy]'s caller found for it elsewhere;
//   - a JWT of one of the issuers: the principal that has its subject, else the name
//     of the issuer, a slash and the subject;
//   - a client certificate: the principal that has one of its subject alternative
//     names, else "certificate/" and the first of them;
//   - none of these: anonymous, "address/" and the address (an IPv6 client its /64).
//
// # Rules
//
// Rules are tried in order, and the first that applies decides. When none does, the
// entry is refused. A rule applies to the principals that it names (anyone,
// authenticated and anonymous are names for many) and for which its expression
// "who" is true. A rule without names applies to authenticated principals alone.
// Then the expression "entry" must be true for the entry.
//
// Expressions are in CEL (https://cel.dev), and are checked when the policy is read.
// They have
//
//	principal.name, principal.kind     "token", "jwt", "certificate", "anonymous"
//	principal.issuer                   the issuer's name in the policy, of a JWT
//	principal.subject                  the claim sub, or the certificate's first name
//	principal.names                    all names in a client certificate
//	principal.address                  the client's address
//	claims                             all claims of the JWT
//	entry.kind, entry.version          "hashedrekord", "0.0.2"
//	entry.size                         bytes of the canonical entry
//	entry.keys                         SHA-256 of each signer's key (SPKI), in hex
//	entry.subjects, entry.issuers      identities in the signers' certificates, in small letters
//	entry.artifacts                    digests, such as "sha256:…"
//	entry.certified                    each signer has a certificate of the rule's certificate-authorities
//
// where "who" has no entry. An entry may have several signers, and a raw entry has
// none: write size(entry.keys) > 0 && entry.keys.all(k, …). An expression that fails
// (a claim that a token does not have, too much work) counts as false in a rule that
// allows, and as true in one that denies.
//
// # Rate
//
// A rule with a rate lets each of its principals add that many entries in that time,
// and burst of them at once.
package writers
