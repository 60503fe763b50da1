package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"indelible/checkpoint"
	"indelible/client"
	"indelible/doctor"
	"indelible/trust"
)

func (p *program) trustCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "trust", Short: "Trust a log, and make other programs trust it", RunE: func(cmd *cobra.Command, _ []string) error {
		return usagef("trust is used as: logcli trust add [URL], or logcli trust export --dir DIR")
	}}
	cmd.AddCommand(p.trustAddCommand(), p.trustExportCommand())
	return cmd
}

type exportOptions struct {
	dir, publicURL, operator, rekorV1Key, api string
	force                                     bool
}

func (p *program) trustExportCommand() *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use: "export --dir DIR", Short: "Write the files with which cosign, Kyverno and others trust it", Args: args(cobra.NoArgs),
		Long: "Write the files with which other programs trust the log: trusted_root.json and\n" +
			"signing_config.json for Sigstore's clients, the keys, and snippets for cosign,\n" +
			"logcli, Kyverno and policy-controller.\n\n" +
			"The keys are fetched from the log, and compared with --log-key, or with what is\n" +
			"remembered; on first use they are remembered, and announced. Exit code 1 means\n" +
			"that they are others.",
		RunE: func(cmd *cobra.Command, _ []string) error { return p.trustExport(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.dir, "dir", "", "`DIR` to write the files to; created if it does not exist")
	f.StringVar(&o.publicURL, "public-url", "", "the log's `URL` as other clients reach it (default: --url)")
	f.StringVar(&o.operator, "operator", "", "`NAME` of the operator, such as example.org (default: the URL's host)")
	f.StringVar(&o.rekorV1Key, "rekor-v1-key", "", "trusted key of the Rekor v1 API: `FILE|SHA256:HEX`, a PEM file or a fingerprint (default: as remembered)")
	f.StringVar(&o.api, "api", "", "let clients log over one of Rekor's APIs only: `v1|v2` (default: all that the log serves)")
	f.BoolVar(&o.force, "force", false, "overwrite files that say something else")
	return cmd
}

func (p *program) trustExport(ctx context.Context, o exportOptions) error {
	if o.dir == "" {
		return usagef("say where the files go: --dir DIR")
	}
	if !slices.Contains([]string{"", "v1", "v2"}, o.api) {
		return usagef("--api is v1 or v2, and not %q", o.api)
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	l, err := p.describe(ctx, o)
	if err != nil {
		return err
	}
	if l.SignBy = o.api; o.api == "v1" && l.RekorV1Key == nil || o.api == "v2" && !l.RekorV2 {
		return usagef("--api %s: the log does not serve that API", o.api)
	}
	files, err := trust.Files(l)
	if err != nil {
		return usage(err)
	}
	written, err := writeFiles(o.dir, files, o.force)
	if err != nil {
		return err
	}
	return p.exported(o.dir, l, written)
}

// describe fetches what the files are made of, and holds it against what is
// trusted.
func (p *program) describe(ctx context.Context, o exportOptions) (trust.Log, error) {
	l := trust.Log{URL: p.url, Operator: o.operator}
	if o.publicURL != "" {
		l.URL = o.publicURL
	}
	var err error
	if l.URL, err = trust.BaseURL(l.URL); err != nil {
		return l, usage(err)
	}
	keys, err := p.checkedKeys(ctx)
	if err != nil {
		return l, err
	}
	l.Origin = keys[0].Name()
	for _, k := range keys {
		l.Keys = append(l.Keys, k.String())
	}
	served, err := doctor.FindServed(ctx, p.web(), p.url, p.urls[1:]...)
	if err != nil {
		return l, err
	}
	l.RekorV2, l.RekorV1Key, l.Since = served.RekorV2, served.RekorV1Key, served.Since
	return l, p.checkRekorV1Key(l.Origin, served.RekorV1Key, o.rekorV1Key)
}

// checkedKeys are the keys that the log says are its own, if they are those
// that are trusted and one of them signs its checkpoint.
func (p *program) checkedKeys(ctx context.Context) ([]checkpoint.Verifier, error) {
	given, policy, err := p.givenLogs()
	if err != nil {
		return nil, err
	}
	c, err := p.client(ctx, client.Config{})
	if err != nil {
		return nil, usage(err)
	}
	said, err := c.Keys(ctx)
	if err != nil {
		return nil, err
	}
	if policy == nil && len(given) == 0 {
		err = p.pin(said[0].Name(), said)
	} else {
		said, err = p.amongKeys(said, given)
	}
	if err != nil {
		return nil, err
	}
	if c, err = p.client(ctx, p.remembering(client.Config{Keys: said, Policy: policy})); err != nil {
		return nil, usage(err)
	}
	_, err = c.Checkpoint(ctx)
	return said, err
}

// amongKeys are the log's keys that were given. Others that it has are not trusted,
// and left out: an Ed25519 vkey alone is enough for a log with an ML-DSA key too.
func (p *program) amongKeys(said, given []checkpoint.Verifier) (list []checkpoint.Verifier, err error) {
	for _, k := range said {
		if slices.ContainsFunc(given, k.Equal) {
			list = append(list, k)
			continue
		}
		err = unverified(fmt.Errorf("the log says that its key is %s; that key is not among those given", k))
	}
	if len(list) == 0 {
		return nil, err
	}
	if err != nil {
		p.say("Left out: %v", err)
	}
	return list, nil
}

// rekorPinFile is where the key of a log's Rekor v1 API is remembered.
func rekorPinFile(home, origin string) string {
	return strings.TrimSuffix(pinFile(home, origin), ".vkey") + ".rekor-v1.pem"
}

// pinnedRekorV1 returns the remembered key of a log's Rekor v1 API; nil if
// there is none.
func (p *program) pinnedRekorV1(origin string) (spki []byte, file string, err error) {
	home, err := p.home()
	if err != nil {
		return nil, "", err
	}
	file = rekorPinFile(home, origin)
	data, err := readFile(file, maxKeyFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, file, nil
	}
	if err != nil {
		return nil, file, err
	}
	spki, err = publicPEM(data)
	if err != nil {
		err = fmt.Errorf("%s: %w", file, err)
	}
	return spki, file, err
}

func publicPEM(data []byte) ([]byte, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("there is no public key in PEM")
	}
	return block.Bytes, nil
}

// checkRekorV1Key holds the key of the Rekor v1 API against the one given, or
// the one remembered; without any it is remembered. No other key vouches for
// it.
func (p *program) checkRekorV1Key(origin string, said []byte, given string) error {
	if given != "" {
		return matchRekorV1Key(said, given)
	}
	if said == nil {
		return nil
	}
	known, file, err := p.pinnedRekorV1(origin)
	switch {
	case err != nil:
		return err
	case known != nil && !bytes.Equal(known, said):
		return unverified(fmt.Errorf("the key of Rekor v1 of log %q is SHA256:%x, and %s remembers SHA256:%x.\n"+
			"If its operator replaced it, delete that file", origin, sha256.Sum256(said), file, sha256.Sum256(known)))
	case known != nil:
		return nil
	}
	if err := writeOwn(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: said})); err != nil {
		return err
	}
	p.say("Remembered the key of its Rekor v1 API, as first seen:\nSHA256:%x\nin %s", sha256.Sum256(said), file)
	return nil
}

func matchRekorV1Key(said []byte, given string) error {
	if said == nil {
		return unverified(errors.New("the log does not serve Rekor v1, and so has no key for it"))
	}
	want := given
	if !strings.HasPrefix(given, "SHA256:") {
		data, err := readFile(given, maxKeyFile)
		if err != nil {
			return usagef("--rekor-v1-key %q is neither SHA256:<fingerprint> nor a file that can be read: %w", given, err)
		}
		spki, err := publicPEM(data)
		if err != nil {
			return usagef("--rekor-v1-key %s: %w", given, err)
		}
		want = fingerprint(spki)
	}
	if got := fingerprint(said); got != want {
		return unverified(fmt.Errorf("the key of the log's Rekor v1 API is %s, and not %s", got, want))
	}
	return nil
}

func fingerprint(spki []byte) string {
	sum := sha256.Sum256(spki)
	return "SHA256:" + hex.EncodeToString(sum[:])
}

// writtenFile is what became of one file.
type writtenFile struct {
	Name  string `json:"name"`
	Path  string `json:"path"`
	State string `json:"state"` // written or unchanged
	About string `json:"about"`
}

// writeFiles writes all of the files, or none if one of them is there with
// other content.
func writeFiles(dir string, files []trust.File, force bool) ([]writtenFile, error) {
	var list []writtenFile
	var differ []string
	for _, f := range files {
		w := writtenFile{Name: f.Name, Path: filepath.Join(dir, f.Name), State: "written", About: f.About}
		old, err := readFile(w.Path, maxTrust)
		switch {
		case err == nil && bytes.Equal(old, f.Data):
			w.State = "unchanged"
		case err == nil:
			differ = append(differ, w.Path)
		case !errors.Is(err, os.ErrNotExist):
			return nil, err
		}
		list = append(list, w)
	}
	if len(differ) > 0 && !force {
		return nil, usagef("%s: there already, and something else than would be written; nothing was. Give another --dir, or --force", strings.Join(differ, ", "))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for i, f := range files {
		if list[i].State == "unchanged" {
			continue
		}
		if err := writeFile(list[i].Path, f.Data, 0o644); err != nil {
			return nil, err
		}
	}
	return list, nil
}

type misfit struct {
	What  string `json:"what"`
	Do    string `json:"do"`
	Fatal bool   `json:"fatal"`
}

// exported says what was written, what stops some client, and what to run
// next.
func (p *program) exported(dir string, l trust.Log, files []writtenFile) error {
	warnings := []misfit{}
	for _, m := range trust.Misfits(l) {
		warnings = append(warnings, misfit{m.What, m.Do, m.Fatal})
	}
	if p.output == "json" {
		return p.print(struct {
			Origin   string        `json:"origin"`
			URL      string        `json:"url"`
			RekorV1  bool          `json:"rekorV1"`
			RekorV2  bool          `json:"rekorV2"`
			Files    []writtenFile `json:"files"`
			Warnings []misfit      `json:"warnings"`
		}{l.Origin, l.URL, l.RekorV1Key != nil, l.RekorV2, files, warnings}, "")
	}
	fmt.Fprintf(p.stdout, "Log %s at %s. In %s:\n", oneLine(l.Origin), oneLine(l.URL), oneLine(dir))
	for _, f := range files {
		state := ""
		if f.State == "unchanged" {
			state = " (as it was)"
		}
		p.item(p.colour("32", "✓"), 24, f.Name, f.About+state)
	}
	for _, w := range warnings {
		mark := "!"
		if w.Fatal {
			mark = "✗"
		}
		fmt.Fprintln(p.stdout)
		p.item(p.colour("33", mark), 0, "", w.What)
		p.item(" ", 0, "", arrow+w.Do)
	}
	fmt.Fprintf(p.stdout, "\nNext: the commands in %s, and\n  logcli doctor --url %s --log-key %s\n",
		oneLine(filepath.Join(dir, "cosign.txt")), oneLine(p.url), oneLine(filepath.Join(dir, "log.vkey")))
	return nil
}
