package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/entry"
)

// maxBatch is how many files go in one request.
const maxBatch = 1024

func (p *program) addCommand() *cobra.Command {
	var o addOptions
	cmd := &cobra.Command{
		Use:   "add FILE…",
		Short: "Sign files and log them",
		Long: "Sign each FILE, log it, and write its proof to FILE" + proofSuffix + ".\n\n" +
			"The first use makes you a signing key, and remembers the log's key; both are\n" +
			"announced. If the key is encrypted, its password is asked on the terminal.\n\n" +
			"With --certificate the entry carries an X.509 certificate of the signing key, so\n" +
			"that verify can ask for its identity. An expired one is logged all the same.\n\n" +
			"A log may want to know who adds entries. The token is that of --token-file, that\n" +
			"of the variable INDELIBLE_ID_TOKEN (GitLab: id_tokens), that of a projected\n" +
			"volume of Kubernetes (" + ambientFile + "),\n" +
			"or one of GitHub Actions (permissions: id-token: write).",
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error { return p.add(cmd.Context(), a, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.key, "key", "", "`FILE` of the key to sign with (default: your own, made on first use)")
	f.StringVar(&o.certificate, "certificate", "", "`FILE` of that key's X.509 certificate, which is logged in place of the public key")
	f.StringVar(&o.passwordFile, "password-file", "", "`FILE` with the password of an encrypted key (default: asked on the terminal)")
	f.StringVar(&o.kind, "kind", "hashedrekord", "what to log, `KIND`: hashedrekord (FILE's digest, signed now), dsse (FILE is a DSSE envelope, signed already; --signer, --key, --certificate or else your own key verifies it) or raw (FILE itself, unsigned)")
	f.StringVar(&o.out, "out", "", "`FILE` to write the proof to (default: the file's name and "+proofSuffix+")")
	return cmd
}

type addOptions struct{ key, certificate, passwordFile, kind, out string }

// added is what is said of one file.
type added struct {
	File      string `json:"file"`
	Proof     string `json:"proof,omitempty"`
	Origin    string `json:"origin,omitempty"`
	Index     int64  `json:"index"`
	TreeSize  int64  `json:"treeSize,omitempty"`
	LeafHash  []byte `json:"leafHash,omitempty"`
	Duplicate bool   `json:"duplicate"`
	Error     string `json:"error,omitempty"`
}

func (p *program) add(ctx context.Context, files []string, o addOptions) error {
	if len(files) > maxBatch || o.out != "" && len(files) > 1 {
		return usagef("%d files: give up to %d, and --out with one only", len(files), maxBatch)
	}
	for _, f := range files {
		if f == "-" && o.out == "" {
			return usagef("standard input needs --out FILE for its proof")
		}
	}
	from, err := p.maker(ctx, o)
	if err != nil {
		return err
	}
	entries := make([]client.Entry, len(files))
	for i, f := range files {
		if entries[i], err = p.entry(f, from); err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
	}
	for _, f := range files { // before anything is logged
		if err := writable(o.proof(f)); err != nil {
			return fmt.Errorf("the proof of %s could not be written, so nothing was logged: %w", f, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	cfg, first, err := p.writer(ctx)
	if err != nil {
		return err
	}
	c, err := p.client(ctx, cfg)
	if err != nil {
		return usage(err)
	}
	outcomes, err := addAll(ctx, c, entries)
	if err != nil {
		return err
	}
	unremembered := p.remember(first, outcomes)
	if err := p.addedAll(files, o, outcomes); err != nil {
		return err
	}
	if unremembered != nil {
		return unremembered
	}
	return p.shownByAdd(ctx, cfg, outcomes)
}

// shownByAdd demands that the checkpoint of what was added extends what is
// remembered. Its proof is written by then: the entry is in the log, whatever else
// the log did.
func (p *program) shownByAdd(ctx context.Context, cfg client.Config, outcomes []client.Outcome) error {
	for _, o := range outcomes {
		if o.Err == nil {
			return p.shown(ctx, cfg, o.Logged.Checkpoint)
		}
	}
	return nil
}

// proof names the file that a file's proof goes to.
func (o addOptions) proof(file string) string {
	if o.out != "" {
		return o.out
	}
	return file + proofSuffix
}

func addAll(ctx context.Context, c *client.Client, entries []client.Entry) ([]client.Outcome, error) {
	if len(entries) > 1 {
		return c.AddMany(ctx, entries)
	}
	l, err := c.Add(ctx, entries[0])
	return []client.Outcome{{Logged: l}}, err
}

// writer is a client's configuration that trusts the log's keys as given or
// remembered, or, on first use, as the log says; said are the latter two.
func (p *program) writer(ctx context.Context) (cfg client.Config, said []checkpoint.Verifier, err error) {
	logs, policy, err := p.givenLogs()
	if err != nil {
		return cfg, nil, err
	}
	if len(logs) == 0 {
		c, err := p.client(ctx, client.Config{})
		if err != nil {
			return cfg, nil, usage(err)
		}
		if said, err = c.Keys(ctx); err != nil {
			return cfg, nil, err
		}
		if _, _, err := p.known(said[0].Name(), said); err != nil {
			return cfg, nil, err
		}
		logs = said
	}
	return client.Config{Keys: logs, Policy: policy}, said, nil
}

// remember remembers the keys that a log says it has, once it has logged
// something. The error of that is no reason to keep silent about the rest.
func (p *program) remember(said []checkpoint.Verifier, outcomes []client.Outcome) error {
	logged := slices.ContainsFunc(outcomes, func(o client.Outcome) bool { return o.Err == nil })
	if !logged || len(said) == 0 {
		return nil
	}
	if err := p.pin(said[0].Name(), said); err != nil {
		return fmt.Errorf("remember the log's key: %w", err)
	}
	return nil
}

// maker makes an entry of an artifact.
type maker func(artifact io.Reader) (client.Entry, error)

func (p *program) maker(ctx context.Context, o addOptions) (maker, error) {
	switch o.kind {
	case "hashedrekord":
		key, by, err := p.signing(ctx, o)
		if err != nil {
			return nil, err
		}
		return func(r io.Reader) (client.Entry, error) { return signDigest(key, by, r) }, nil
	case "dsse":
		by, err := p.envelopeVerifier(ctx, o)
		if err != nil {
			return nil, err
		}
		return func(r io.Reader) (client.Entry, error) { return envelopeEntry(by, r) }, nil
	case "raw":
		if o.key != "" || o.certificate != "" || o.passwordFile != "" {
			return nil, usagef("--kind raw: nobody signs such an entry, so leave out --key, --certificate and --password-file")
		}
		return rawEntry, nil
	}
	return nil, usagef("--kind %q: it is hashedrekord, dsse or raw", o.kind)
}

// signing is the key that signs, and what its signatures verify with.
func (p *program) signing(ctx context.Context, o addOptions) (crypto.Signer, entry.Verifier, error) {
	key, err := p.signerKey(ctx, o.key, o.passwordFile)
	if err != nil {
		return nil, entry.Verifier{}, err
	}
	if o.certificate != "" {
		by, err := p.certificateVerifier(o.certificate, key.Public())
		return key, by, err
	}
	by, err := keyVerifier(key.Public())
	return key, by, err
}

// envelopeVerifier is what the signature in an envelope verifies with.
func (p *program) envelopeVerifier(ctx context.Context, o addOptions) (entry.Verifier, error) {
	pub, err := p.envelopeKey(ctx, o)
	switch {
	case err != nil:
		return entry.Verifier{}, err
	case o.certificate != "":
		return p.certificateVerifier(o.certificate, pub)
	case pub == nil:
		return entry.Verifier{}, usagef("--kind dsse needs --signer FILE: the public key or certificate that verifies the envelope")
	}
	return keyVerifier(pub)
}

// envelopeKey is the public key that should have signed an envelope; nil if
// none is known, or none but the certificate's is asked for.
func (p *program) envelopeKey(ctx context.Context, o addOptions) (crypto.PublicKey, error) {
	switch {
	case o.key != "" && p.signer != "":
		return nil, usagef("--kind dsse: the envelope is signed already; give --key or --signer to say by which key, not both")
	case o.key != "":
		key, _, err := p.loadKey(ctx, o.key, o.passwordFile)
		if err != nil {
			return nil, err
		}
		return key.Public(), nil
	case p.signer == "" && o.certificate != "":
		return nil, nil
	}
	return p.signerPublic()
}

func (p *program) entry(file string, make maker) (client.Entry, error) {
	f, err := p.open(file)
	if err != nil {
		return client.Entry{}, err
	}
	defer f.Close()
	return make(f)
}

// algorithm is how a key signs a digest.
func algorithm(pub crypto.PublicKey) (hash.Hash, crypto.SignerOpts, error) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve.Params().BitSize {
		case 384:
			return sha512.New384(), crypto.SHA384, nil
		case 521:
			return sha512.New(), crypto.SHA512, nil
		}
		return sha256.New(), crypto.SHA256, nil
	case *rsa.PublicKey:
		return sha256.New(), crypto.SHA256, nil
	case ed25519.PublicKey:
		return sha512.New(), &ed25519.Options{Hash: crypto.SHA512}, nil
	}
	return nil, nil, fmt.Errorf("a key of type %T cannot sign digests", pub)
}

// signatureRandom makes ECDSA signatures deterministic (RFC 6979), which
// crypto/ecdsa does without a source of randomness: the same file with the same
// key is then the same entry, and adding it twice logs it once.
func signatureRandom(key crypto.Signer) io.Reader {
	if _, ok := key.Public().(*ecdsa.PublicKey); ok {
		return nil
	}
	return rand.Reader
}

// signDigest signs an artifact's digest, and makes the entry here as the log
// will: what it answers is compared with that.
func signDigest(key crypto.Signer, by entry.Verifier, r io.Reader) (client.Entry, error) {
	h, opts, err := algorithm(key.Public())
	if err != nil {
		return client.Entry{}, err
	}
	if _, err := io.Copy(h, r); err != nil {
		return client.Entry{}, err
	}
	digest := h.Sum(nil)
	sig, err := key.Sign(signatureRandom(key), digest, opts)
	if err != nil {
		return client.Entry{}, err
	}
	e, err := entry.NewHashedRekord(entry.HashedRekord{Digest: digest, Signature: sig, Verifier: by})
	if err != nil {
		return client.Entry{}, usage(err)
	}
	return client.Entry{Canonical: e.Canonical(), Request: client.Request{HashedRekord: &client.HashedRekord{
		Digest: digest, Signature: sig, Verifier: requestVerifier(by),
	}}}, nil
}

func envelopeEntry(by entry.Verifier, r io.Reader) (client.Entry, error) {
	envelope, err := io.ReadAll(io.LimitReader(r, maxEnvelope+1))
	if err == nil && len(envelope) > maxEnvelope {
		err = usagef("it is no envelope that can be logged, as it has over %d bytes", maxEnvelope)
	}
	if err != nil {
		return client.Entry{}, err
	}
	e, err := entry.NewDSSE(entry.DSSE{Envelope: envelope, Verifiers: []entry.Verifier{by}})
	if err != nil {
		return client.Entry{}, usage(err)
	}
	return client.Entry{Canonical: e.Canonical(), Request: client.Request{DSSE: &client.DSSE{
		Envelope: envelope, Verifiers: []client.Verifier{requestVerifier(by)},
	}}}, nil
}

// maxEnvelope bounds an envelope, in bytes; a log takes no more in a request.
const maxEnvelope = 8 << 20

func rawEntry(r io.Reader) (client.Entry, error) {
	data, err := io.ReadAll(io.LimitReader(r, entry.MaxCanonical+1))
	if err != nil {
		return client.Entry{}, err
	}
	e, err := entry.NewRaw(data)
	if err != nil {
		return client.Entry{}, usage(err)
	}
	return client.Entry{Canonical: e.Canonical(), Request: client.Request{Raw: data}}, nil
}

// addedAll writes the proofs, and says what became of each file. It fails if
// any of them did.
func (p *program) addedAll(files []string, o addOptions, outcomes []client.Outcome) error {
	var first error
	list := make([]added, len(files))
	for i, out := range outcomes {
		list[i] = added{File: files[i]}
		err := out.Err
		if err == nil {
			list[i], err = writeProof(files[i], o.proof(files[i]), out.Logged)
		}
		if err != nil {
			list[i].Error = err.Error()
			if first == nil {
				first = fmt.Errorf("%s: %w", files[i], err)
			}
		}
	}
	if p.output == "json" {
		if err := p.print(list, ""); err != nil {
			return err
		}
	} else {
		p.printAdded(list)
	}
	if first != nil {
		return reported{&exitError{code(first), first}}
	}
	return nil
}

func writeProof(file, out string, l client.Logged) (added, error) {
	a := added{File: file, Proof: out, Origin: l.Checkpoint.Origin, Index: l.Index, TreeSize: l.Checkpoint.Size, LeafHash: l.LeafHash[:], Duplicate: l.Duplicate}
	data, err := l.Proof().Marshal()
	if err == nil {
		err = writeFile(out, data, 0o644)
	}
	if err != nil {
		a.Proof = ""
		err = fmt.Errorf("it is in log %s, number %d, but its proof could not be written: %w\nFetch the proof with: logcli prove %d --out FILE", a.Origin, a.Index, err, a.Index)
	}
	return a, err
}

func (p *program) printAdded(list []added) {
	for _, a := range list {
		switch {
		case a.Error != "":
			fmt.Fprintf(p.stderr, "%s %s: %s\n", p.colour("31", "✗"), oneLine(a.File), harmless(a.Error))
		case a.Duplicate:
			fmt.Fprintf(p.stdout, "%s %s was in log %s already, number %d; proof in %s\n", p.colour("32", "✓"), oneLine(a.File), oneLine(a.Origin), a.Index, oneLine(a.Proof))
		default:
			fmt.Fprintf(p.stdout, "%s %s is in log %s, number %d; proof in %s\n", p.colour("32", "✓"), oneLine(a.File), oneLine(a.Origin), a.Index, oneLine(a.Proof))
		}
	}
}
