package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/spf13/cobra"

	"indelible/checkpoint"
	"indelible/verify"
)

// proofSuffix is put after an artifact's name. SPEC: tlog-proof.
const proofSuffix = ".tlog-proof"

// certificateFlags name a signer by a certificate.
type certificateFlags struct{ identity, issuer, roots string }

func (c certificateFlags) given() bool { return c.identity != "" || c.issuer != "" || c.roots != "" }

func (c certificateFlags) signer() (verify.Signer, error) {
	if c.identity == "" || c.roots == "" {
		return verify.Signer{}, usagef("a certificate needs --certificate-identity and --ca-roots (and --certificate-oidc-issuer where it comes from Fulcio)")
	}
	pem, err := os.ReadFile(c.roots)
	if err != nil {
		return verify.Signer{}, usagef("--ca-roots: %w", err)
	}
	// Not AppendCertsFromPEM, which leaves out what it cannot read.
	certs, err := cryptoutils.UnmarshalCertificatesFromPEM(pem)
	if err != nil || len(certs) == 0 {
		return verify.Signer{}, usagef("--ca-roots: %s holds no certificates in PEM, or a damaged one: %v", c.roots, err)
	}
	return verify.Signer{Identity: c.identity, Issuer: c.issuer, Roots: poolOf(certs)}, nil
}

func poolOf(certs []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool
}

func (p *program) verifyCommand() *cobra.Command {
	var proofFile string
	var cert certificateFlags
	anySigner := false
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify offline that a file is signed and logged",
		Long: "Verify offline that FILE is signed by whom you trust, and in a log that you\n" +
			"trust. Nothing is asked over the network. FILE - is standard input; it needs\n" +
			"--proof.\n\n" +
			"The log is --log-key, --policy, or the one remembered from your first add. The\n" +
			"signer is --signer, your own key, or whoever has a certificate of an identity.",
		Example: "  logcli verify app.tgz --signer release.pub\n" +
			"  logcli verify app.tgz --certificate-identity me@example.com --ca-roots ca.pem",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, a []string) error { return p.verify(a[0], proofFile, cert, anySigner) },
	}
	f := cmd.Flags()
	f.StringVar(&proofFile, "proof", "", "`FILE` with the proof (default: the file's name and "+proofSuffix+")")
	f.StringVar(&cert.identity, "certificate-identity", "", "the signer's identity: a `NAME` in the certificate, which is an e-mail address, URI or DNS name")
	f.StringVar(&cert.issuer, "certificate-oidc-issuer", "", "who vouched for that identity: the OIDC issuer's `URL` in a Fulcio certificate (needed where there is one)")
	f.StringVar(&cert.roots, "ca-roots", "", "PEM `FILE` with the certificate authorities that are trusted, the intermediate one too where there is one")
	f.BoolVar(&anySigner, "any-signer", false, "do not compare who signed (needed for raw entries, which nobody signs)")
	return cmd
}

func (p *program) verify(file, proofFile string, cert certificateFlags, anySigner bool) error {
	if proofFile == "" {
		if file == "-" {
			return usagef("standard input needs --proof FILE")
		}
		proofFile = file + proofSuffix
	}
	proof, err := readLimited(proofFile)
	if err != nil {
		return noProof(file, proofFile, err)
	}
	trust, err := p.trust(proof, cert, anySigner)
	if err != nil {
		return err
	}
	artifact, err := p.open(file)
	if err != nil {
		return err
	}
	defer artifact.Close()
	result, err := verify.Verify(artifact, proof, trust)
	if errors.Is(err, verify.ErrNoTrust) {
		return p.noTrust(err)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	return p.verdict(file, result)
}

// noProof says what to do about a proof that cannot be read.
func noProof(file, proofFile string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no proof for %s: %w\nMake one with logcli add, get it from whom you have the file from, or say where it is with --proof", file, err)
	}
	return fmt.Errorf("read the proof %s: %w", proofFile, err)
}

// noTrust says what to give.
func (p *program) noTrust(err error) error {
	return usagef("%w: that somebody signed and logged it proves nothing.\n"+
		"Give the log (--log-key VKEY|FILE or --policy FILE) and the signer (--signer FILE|SHA256:…, or --certificate-identity with --ca-roots).\n"+
		"Your own logcli add remembers both", err)
}

// trust gathers whom to trust: from flags, or as remembered.
func (p *program) trust(proof []byte, cert certificateFlags, anySigner bool) (t verify.Trust, err error) {
	t.AnySigner = anySigner
	if t.Logs, t.Policy, err = p.givenLogs(); err != nil {
		return t, err
	}
	if len(t.Logs) == 0 {
		if t.Logs, err = p.pinnedFor(proof); err != nil {
			return t, err
		}
	}
	if !anySigner {
		t.Signers, err = p.signers(cert)
	}
	return t, err
}

// pinnedFor looks up the remembered key of the log that a proof says it is
// from. A proof that cannot be read has none; what is wrong with it is said
// later.
func (p *program) pinnedFor(proof []byte) ([]checkpoint.Verifier, error) {
	parsed, err := checkpoint.ParseProof(proof)
	if err != nil {
		return nil, unverified(fmt.Errorf("the proof file is not valid: %w", err))
	}
	origin, _, _ := strings.Cut(string(parsed.Checkpoint), "\n")
	list, _, err := p.pinned(origin)
	return list, err
}

// maxProof bounds a proof file, in bytes.
const maxProof = 2 << 20

func readLimited(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxProof+1))
	if err == nil && len(data) > maxProof {
		err = unverified(fmt.Errorf("%s has over %d bytes: it is no proof", file, maxProof))
	}
	return data, err
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

// verdict prints what was found.
func (p *program) verdict(file string, r verify.Result) error {
	if p.output == "json" {
		exit := exitDone
		if !r.Verified {
			exit = exitUnverified
		}
		if err := p.print(struct {
			File string `json:"file"`
			verify.Result
			Exit int `json:"exit"`
		}{file, r, exit}, ""); err != nil {
			return err
		}
	} else {
		p.printChecks(file, r)
	}
	if r.Verified {
		return nil
	}
	return reported{unverified(errors.New("not verified"))}
}

func (p *program) printChecks(file string, r verify.Result) {
	for _, c := range r.Checks {
		mark := map[verify.State]string{
			verify.Passed: p.colour("32", "✓"), verify.Failed: p.colour("31", "✗"), verify.NotChecked: p.colour("2", "–"),
		}[c.State]
		fmt.Fprintf(p.stdout, "  %s %-11s %s\n", mark, c.Name, harmless(c.Detail))
	}
	if f := r.Failed(); f != nil {
		fmt.Fprintf(p.stdout, "\n%s %s: the %s check failed.\n", p.colour("1;31", "NOT VERIFIED"), harmless(file), f.Name)
		return
	}
	fmt.Fprintf(p.stdout, "\n%s %s is in log %s, number %d.\n", p.colour("1;32", "Verified:"), harmless(file), r.Origin, r.Index)
}
