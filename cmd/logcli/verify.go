package main

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"indelible/checkpoint"
	"indelible/keys"
	"indelible/verify"
	"indelible/verify/trustedroot"
)

// proofSuffix is put after an artifact's name. SPEC: tlog-proof.
const proofSuffix = ".tlog-proof"

// bundleSuffixes are those that Sigstore's bundles have, in its guides and tools.
func bundleSuffixes() []string { return []string{".sigstore.json", ".sigstore"} }

// proofFlags say where the proof is.
type proofFlags struct{ proof, bundle string }

// certificateFlags name a signer by a certificate.
type certificateFlags struct{ identity, issuer, roots string }

func (c certificateFlags) given() bool { return c.identity != "" || c.issuer != "" || c.roots != "" }

// signers are whoever has such a certificate, by an authority of --ca-roots or else
// of the trusted root.
func (c certificateFlags) signers(root trustedroot.Root) ([]verify.Signer, error) {
	byRoot := root.Signers(c.identity, c.issuer)
	if c.identity == "" || c.roots == "" && len(byRoot) == 0 {
		return nil, usagef("a certificate needs --certificate-identity and --ca-roots, or for the latter a --trusted-root with an authority (and --certificate-oidc-issuer where it comes from Fulcio)")
	}
	if c.roots == "" {
		return byRoot, nil
	}
	certs, err := readCertificates("--ca-roots", c.roots)
	if err != nil {
		return nil, err
	}
	return []verify.Signer{{Identity: c.identity, Issuer: c.issuer, Roots: poolOf(certs)}}, nil
}

func poolOf(certs []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool
}

func (p *program) verifyCommand() *cobra.Command {
	var from proofFlags
	var trust trustFlags
	var quiet bool
	cmd := &cobra.Command{
		Use:   "verify FILE...",
		Short: "Verify offline that files are signed and logged",
		Long: "Verify, offline, that someone you trust signed each FILE and that a log that you\n" +
			"trust includes it. Nothing is asked over the network. FILE - is standard input,\n" +
			"and FILE sha256:HEX an artifact of that digest, such as an image; both need\n" +
			"--bundle (or the former --proof).\n\n" +
			"The proof is a proof file of logcli's, or a bundle of cosign's or Sigstore's\n" +
			"libraries. A file of --bundle may have several bundles: of each FILE, one must\n" +
			"be good. The log is --log-key, --policy, one of --trusted-root, or the one\n" +
			"remembered from your first add. The signer is --signer, your own key, or whoever\n" +
			"has a certificate of an identity.\n\n" +
			"A trusted root (trusted_root.json of Sigstore's) names logs, certificate\n" +
			"authorities and timestamp authorities; a flag for one of these takes its place.\n" +
			"A policy without a line for a log adds its witnesses to the trusted root's logs.\n\n" +
			"Of several files a table says how each ended, and -o json prints one array. A\n" +
			"failed check has a code there, such as other-artifact, which stays as it is. The\n" +
			"exit code is 1 if a file is not verified, else 2 or 3 if one was not looked at.",
		Example: "  logcli verify app.tgz --signer release.pub\n" +
			"  logcli verify app.tgz --certificate-identity me@example.com --ca-roots ca.pem\n" +
			"  logcli verify app.tgz --bundle app.sigstore.json --policy policy.txt\n" +
			"  logcli verify app.tgz --trusted-root trusted_root.json --signer cosign.pub\n" +
			"  logcli verify dist/*.tgz --policy policy.txt --signer release.pub --quiet",
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, a []string) error { return p.verifyAll(a, from, trust, quiet) },
	}
	f := cmd.Flags()
	f.StringVar(&from.proof, "proof", "", "`FILE` with the proof (default: the file's name and "+proofSuffix+", .sigstore.json or .sigstore, whichever exists)")
	f.StringVar(&from.bundle, "bundle", "", "`FILE` with a Sigstore bundle, or several (JSON lines, or the npm registry's list), in place of --proof")
	f.BoolVarP(&quiet, "quiet", "q", false, "print a line for each file that is not verified, and nothing else")
	f.StringVar(&trust.certificate.identity, "certificate-identity", "", "the signer's identity: a `NAME` in the certificate, which is an e-mail address, URI, DNS name, IP address, or Fulcio's name of a user")
	f.StringVar(&trust.certificate.issuer, "certificate-oidc-issuer", "", "OIDC issuer's `URL` of that identity, as in a Fulcio certificate (needed if the certificate has one)")
	f.StringVar(&trust.certificate.roots, "ca-roots", "", "PEM `FILE` with the trusted certificate authorities, intermediate ones too")
	f.StringVar(&trust.root.trustedRoot, "trusted-root", "", "`FILE` with a Sigstore trusted root, or several (JSON lines): the trusted logs and authorities")
	f.StringArrayVar(&trust.root.tsa, "tsa", nil, "PEM `FILE` with a timestamp authority's certificates, its own first, whose timestamps in a bundle are trusted; may be given again")
	f.BoolVar(&trust.anySigner, "any-signer", false, "accept any signer (needed for raw entries, which have no signature)")
	return cmd
}

// verify verifies one file.
func (p *program) verify(file string, from proofFlags, whom trustFlags) (r fileResult, err error) {
	sum, isDigest, err := artifactDigest(file)
	if err == nil && isDigest && from.bundle == "" {
		err = usagef("an artifact that is a digest needs --bundle FILE")
	}
	if err != nil {
		return r, err
	}
	proof, err := from.read(file)
	if err != nil {
		return r, err
	}
	trust, err := p.trust(proof, whom)
	if err != nil {
		return r, err
	}
	r = fileResult{File: file, Warnings: warningsOf(trust.Policy)}
	if isDigest {
		r.Result, err = verify.VerifyBundleOf(sum, proof.bytes, trust)
	} else {
		r.Result, err = p.verifyFile(file, proof, trust)
	}
	if errors.Is(err, verify.ErrNoTrust) {
		return r, p.noTrust(err)
	}
	return r, err
}

func (p *program) verifyFile(file string, proof proofData, trust verify.Trust) (verify.Result, error) {
	artifact, err := p.open(file)
	if err != nil {
		return verify.Result{}, err
	}
	defer artifact.Close()
	r, err := proof.verify(artifact, trust)
	if err != nil && !errors.Is(err, verify.ErrNoTrust) {
		err = fmt.Errorf("read %s: %w", file, err)
	}
	return r, err
}

// artifactDigest is the digest that a command line has in place of a file.
func artifactDigest(file string) (sum [32]byte, ok bool, err error) {
	text, ok := strings.CutPrefix(file, "sha256:")
	if _, missing := os.Stat(file); !ok || missing == nil {
		return sum, false, nil
	}
	if n, err := hex.Decode(sum[:], []byte(text[:min(len(text), 64)])); err != nil || n != len(sum) || len(text) != 64 {
		return sum, false, usagef("%s is neither a file nor a digest: sha256: is followed by 64 hex digits", oneLine(file))
	}
	return sum, true, nil
}

// proofData is a proof file, or a bundle.
type proofData struct {
	bytes    []byte
	isBundle bool
}

func (d proofData) verify(artifact io.Reader, trust verify.Trust) (verify.Result, error) {
	if d.isBundle {
		return verify.VerifyBundle(artifact, d.bytes, trust)
	}
	return verify.Verify(artifact, d.bytes, trust)
}

// origins are the logs that a proof says it is from.
func (d proofData) origins() ([]string, error) {
	if d.isBundle {
		return verify.BundleOrigins(d.bytes)
	}
	parsed, err := checkpoint.ParseProof(d.bytes)
	if err != nil {
		return nil, fmt.Errorf("the proof file is not valid: %w", err)
	}
	origin, _, _ := strings.Cut(string(parsed.Checkpoint), "\n")
	return []string{origin}, nil
}

// read reads the proof of a file. What begins like a JSON object is a bundle.
func (f proofFlags) read(file string) (d proofData, err error) {
	name, err := f.find(file)
	if err != nil {
		return d, err
	}
	if d.bytes, err = readAtMost(name, verify.MaxBundle); err != nil {
		return d, noProof(file, name, err)
	}
	d.isBundle = f.bundle != "" || bytes.HasPrefix(bytes.TrimSpace(d.bytes), []byte("{"))
	if !d.isBundle && len(d.bytes) > maxProof {
		return d, tooLong(name, maxProof)
	}
	return d, nil
}

// find is the name of the file with the proof of a file.
func (f proofFlags) find(file string) (string, error) {
	switch {
	case f.proof != "" && f.bundle != "":
		return "", usagef("give one of --proof and --bundle")
	case f.proof != "":
		return f.proof, nil
	case f.bundle != "":
		return f.bundle, nil
	case file == "-":
		return "", usagef("standard input needs --proof FILE or --bundle FILE")
	}
	for _, suffix := range append([]string{proofSuffix}, bundleSuffixes()...) {
		if _, err := os.Stat(file + suffix); !errors.Is(err, os.ErrNotExist) {
			return file + suffix, nil
		}
	}
	return file + proofSuffix, nil
}

// noProof says what to do about a proof that cannot be read.
func noProof(file, proofFile string, err error) error {
	if _, stat := os.Stat(file); errors.Is(err, os.ErrNotExist) && errors.Is(stat, os.ErrNotExist) && !strings.HasPrefix(file, "sha256:") {
		return fmt.Errorf("there is no file %s, and no proof of it", file)
	}
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no proof for %s: %w\nMake one with logcli add, ask whoever gave you the file, or say where it is with --proof or --bundle", file, err)
	}
	return fmt.Errorf("read the proof %s: %w", proofFile, err)
}

// noTrust says what to give.
func (p *program) noTrust(err error) error {
	return usagef("%w: that somebody signed and logged it proves nothing.\n"+
		"Give the log (--log-key VKEY|FILE, with Rekor's key too, as PEM, --policy FILE or --trusted-root FILE) and the signer (--signer FILE|SHA256:…, or --certificate-identity with --ca-roots).\n"+
		"Your own logcli add remembers both", err)
}

// trustFlags say whom to trust.
type trustFlags struct {
	certificate certificateFlags
	root        rootFlags
	anySigner   bool
}

// trust gathers whom to trust: from flags, or as remembered.
func (p *program) trust(proof proofData, whom trustFlags) (t verify.Trust, err error) {
	if len(whom.root.tsa) > 0 && !proof.isBundle {
		return t, usagef("--tsa is for bundles: a proof file has no timestamps")
	}
	root, err := whom.root.read()
	if err != nil {
		return t, err
	}
	t.AnySigner, t.Now = whom.anySigner, time.Now().Unix()
	if t.BareKeys, err = p.bareKeys(); err != nil {
		return t, err
	}
	if len(t.BareKeys) == 0 {
		if t.Logs, t.Policy, err = p.givenLogs(); err != nil {
			return t, err
		}
	}
	p.trusts(&t, root)
	if p.logKey == "" && p.policy == "" && whom.root.trustedRoot == "" {
		if t.Logs, err = p.pinnedFor(proof); err != nil {
			return t, err
		}
	}
	if !whom.anySigner {
		t.Signers, err = p.signers(whom.certificate, root)
	}
	return t, err
}

// bareKeys are those of a --log-key that is a file in PEM, as Rekor's keys are
// handed around; none if it is anything else.
func (p *program) bareKeys() ([]crypto.PublicKey, error) {
	if p.logKey == "" {
		return nil, nil
	}
	data, err := readFile(p.logKey, maxTrust)
	if err != nil || !bytes.Contains(data, []byte("-----BEGIN ")) {
		return nil, nil // what is wrong, if anything, is said of it as a vkey
	}
	pub, err := keys.LoadPublic(data)
	if err != nil {
		return nil, usagef("--log-key %s: %w", p.logKey, err)
	}
	return []crypto.PublicKey{pub}, nil
}

// pinnedFor looks up the remembered keys of the logs that a proof says it is
// from. A proof that cannot be read has none.
func (p *program) pinnedFor(proof proofData) (all []checkpoint.Verifier, err error) {
	origins, err := proof.origins()
	if err != nil {
		return nil, unverified(err)
	}
	for _, origin := range origins {
		list, _, err := p.pinned(origin)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

// maxProof bounds a proof file, in bytes.
const maxProof = 2 << 20

func readLimited(file string) ([]byte, error) { return readAtMost(file, maxProof) }

func readAtMost(file string, most int64) ([]byte, error) {
	data, err := readFile(file, most)
	if errors.Is(err, errTooLong) {
		err = tooLong(file, most)
	}
	return data, err
}

func tooLong(file string, most int64) error {
	return unverified(fmt.Errorf("%s has over %d bytes: it is no proof", file, most))
}

func (p *program) open(file string) (io.ReadCloser, error) {
	if file == "-" {
		return io.NopCloser(p.stdin), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, usagef("%s is a folder; give a file", file)
	}
	return f, nil
}

// dated is a text with times as people write them, in place of the seconds that
// verify gives, which knows no calendar. A detail that has any says so, and has no
// other number of that length.
func dated(s string) string {
	if !strings.Contains(s, "seconds since 1970") {
		return s
	}
	s = strings.NewReplacer(" (seconds since 1970, UTC)", "", " (in seconds since 1970, UTC)", "", ", in seconds since 1970", "").Replace(s)
	return regexp.MustCompile(`\b\d{9,11}\b`).ReplaceAllStringFunc(s, func(seconds string) string {
		t, _ := strconv.ParseInt(seconds, 10, 64) // 11 digits fit
		return time.Unix(t, 0).UTC().Format(time.RFC3339)
	})
}

func (p *program) printChecks(file string, r verify.Result) {
	for _, c := range r.Checks {
		mark := map[verify.State]string{
			verify.Passed: p.colour("32", "✓"), verify.Failed: p.colour("31", "✗"), verify.NotChecked: p.colour("2", "–"),
			verify.Warned: p.colour("33", "!"),
		}[c.State]
		fmt.Fprintf(p.stdout, "  %s %-11s %s\n", mark, c.Name, indented(dated(c.Detail), strings.Repeat(" ", 16)))
	}
	if f := r.Failed(); f != nil {
		fmt.Fprintf(p.stdout, "\n%s %s: the %s check failed.\n", p.colour("1;31", "NOT VERIFIED"), oneLine(file), f.Name)
		return
	}
	fmt.Fprintf(p.stdout, "\n%s %s is in log %s, number %d.\n", p.colour("1;32", "Verified:"), oneLine(file), oneLine(r.Origin), r.Index)
	if r.Time != 0 {
		fmt.Fprintf(p.stdout, "It was there by %s.\n", time.Unix(r.Time, 0).UTC().Format(time.RFC3339))
	}
	if r.Stamped != 0 {
		fmt.Fprintf(p.stdout, "It was signed by %s.\n", time.Unix(r.Stamped, 0).UTC().Format(time.RFC3339))
	}
}
