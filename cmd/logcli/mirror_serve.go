package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/mldsa"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"indelible/checkpoint"
	"indelible/internal/redact"
	"indelible/internal/transport"
	"indelible/keys"
	"indelible/mirror"
	"indelible/mirror/push"
	"indelible/mirror/serve"
	"indelible/mirror/source"
	"indelible/page"
)

// serveFlags are the flags of logcli mirror serve.
type serveFlags struct {
	listen, name, url, tlsCert, tlsKey string
	keys                               []string
}

func (p *program) mirrorServeCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use: "serve DIR", Short: "Serve the copies in a directory, and take pushed entries", Args: args(cobra.ExactArgs(1)),
		Long: "Serve the copies in DIR: the tiles and the newest checkpoint of each log, below\n" +
			"/<hex SHA-256(origin)>/ (C2SP tlog-tiles). Another process may write them.\n\n" +
			"With --name it is a mirror that cosigns what it has whole. Its keys, ML-DSA-44\n" +
			"and Ed25519, are made on first use in DIR/.mirror/keys; /mirror.v0.json has\n" +
			"their vkeys. Use them for no other purpose: no witness, no log.\n\n" +
			"With --name, and --log-key or --policy, it takes entries of these logs from\n" +
			"clients (C2SP tlog-mirror: add-checkpoint, add-entries), and is the process\n" +
			"that writes their copies.",
		Example: "  logcli mirror serve mirror\n" +
			"  logcli mirror serve mirror --name mirror.example/m1 --log-key log.vkey",
		RunE: func(cmd *cobra.Command, a []string) error { return p.mirrorServe(cmd.Context(), a[0], f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.listen, "listen", "127.0.0.1:8092", "`ADDRESS` to serve on")
	fl.StringVar(&f.name, "name", "", "the mirror's `NAME`, best a domain of yours and a path; it must not change")
	fl.StringArrayVar(&f.keys, "key", nil, "`FILE` of a key of the mirror, ML-DSA-44 or Ed25519; repeatable (default: made in DIR/.mirror/keys)")
	fl.StringVar(&f.url, "public-url", "", "the mirror's `URL` as others reach it (default: the address it listens on)")
	fl.StringVar(&f.tlsCert, "tls-cert", "", "`FILE` of a certificate (PEM); read again when it changes")
	fl.StringVar(&f.tlsKey, "tls-key", "", "`FILE` of its private key")
	return cmd
}

func (f serveFlags) check() error {
	switch {
	case (f.tlsCert == "") != (f.tlsKey == ""):
		return usagef("give both --tls-cert and --tls-key, or neither")
	case f.name == "" && len(f.keys) > 0:
		return usagef("--key is a key of a mirror, which needs a name: give --name NAME")
	}
	if f.name != "" {
		if err := checkpoint.ValidateOrigin(f.name); err != nil {
			return usagef("--name: %w", err)
		}
	}
	if u, err := url.Parse(f.url); err != nil || f.url != "" && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || strings.HasSuffix(f.url, "/")) {
		return usagef("--public-url %q: it must be like https://mirror.example.com, without a slash at the end", redact.URL(f.url))
	}
	return nil
}

// grace is how long running requests may take when the mirror is stopped.
const grace = 15 * time.Second

func (p *program) mirrorServe(ctx context.Context, dir string, f serveFlags) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	if err := folderOfCopies(dir); err != nil {
		return err
	}
	if _, err := os.Stat(dir); err != nil && f.name == "" {
		return fmt.Errorf("there is nothing to serve: %w", err)
	}
	logs, _, err := p.givenLogs()
	if err != nil {
		return err
	}
	if len(logs) > 0 && f.name == "" {
		return usagef("--log-key and --policy name the logs that may be pushed, and a mirror that takes them has a name: give --name NAME")
	}
	logger := slog.New(slog.NewTextHandler(p.stderr, nil))
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	m := &mirrorServer{dir: dir, fault: func(err error) {
		logger.Error("a request failed", "error", err)
		if errors.Is(err, mirror.ErrUnwritable) {
			end(err) // a new process reads what is on the disk
		}
	}}
	defer func() { err = errors.Join(err, m.close()) }()
	if err := m.identify(f); err != nil {
		return err
	}
	if err := m.open(ctx, logs); err != nil {
		return err
	}
	certs, err := transport.LoadCertificates(f.tlsCert, f.tlsKey, logger)
	if err != nil {
		return err
	}
	on, err := transport.Listen(f.listen, transport.Connections(transport.DefaultConnections, 1), certs)
	if err != nil {
		return err
	}
	if f.url == "" {
		f.url = map[bool]string{true: "https://", false: "http://"}[certs != nil] + on.Addr().String()
	}
	handler, err := m.handler(f.url)
	if err == nil {
		err = p.print(m.banner(f.url), "%s", m.text(f.url))
	}
	if err != nil {
		return errors.Join(err, on.Close())
	}
	p.ending.Store(true) // what runs is waited for
	go certs.Follow(ctx)
	err = transport.Servers{HTTP: transport.HTTPServer(handler, time.Minute, logger), HTTPOn: on, Grace: grace}.Run(ctx)
	if why := context.Cause(ctx); errors.Is(why, mirror.ErrUnwritable) {
		err = errors.Join(why, err)
	}
	return err
}

// mirrorServer is a mirror that is served.
type mirrorServer struct {
	dir    string
	fault  func(error)
	by     []*checkpoint.Cosigner
	ticket push.TicketKey
	copies []*mirror.Copy
	names  []string // of the logs that may be pushed
	push   *push.Server
}

func (m *mirrorServer) close() (err error) {
	for _, c := range m.copies {
		err = errors.Join(err, c.Close())
	}
	return err
}

// identify loads the mirror's keys, or makes them.
func (m *mirrorServer) identify(f serveFlags) error {
	if f.name == "" {
		return nil
	}
	private := filepath.Join(m.dir, ".mirror", "keys")
	if err := os.MkdirAll(private, 0o700); err != nil {
		return err
	}
	var signers []crypto.Signer
	for _, path := range f.keys {
		k, err := keys.Load(path, nil)
		if err != nil {
			return err
		}
		signers = append(signers, k)
	}
	if len(signers) == 0 {
		pq, err := loadOrMake(filepath.Join(private, "mldsa44.key"), keys.GenerateMLDSA44)
		if err != nil {
			return err
		}
		ed, err := loadOrMake(filepath.Join(private, "ed25519.key"), func(path string) (crypto.Signer, error) { return keys.GenerateEd25519(path, nil) })
		if err != nil {
			return err
		}
		signers = []crypto.Signer{pq, ed}
	}
	for _, k := range signers {
		c, err := checkpoint.NewCosigner(f.name, k)
		if err != nil {
			return err
		}
		m.by = append(m.by, c)
	}
	var err error
	m.ticket, err = ticketKey(signers[0])
	return err
}

func loadOrMake(path string, generate func(string) (crypto.Signer, error)) (crypto.Signer, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return generate(path)
	}
	return keys.Load(path, nil)
}

// ticketKey follows from the mirror's key, so that each instance has the same.
func ticketKey(k crypto.Signer) (push.TicketKey, error) {
	switch k := k.(type) {
	case ed25519.PrivateKey:
		return push.NewTicketKey(k.Seed())
	case *mldsa.PrivateKey:
		return push.NewTicketKey(k.Bytes())
	}
	return push.TicketKey{}, fmt.Errorf("a mirror's key is ML-DSA-44 or Ed25519, and this is a %T", k)
}

// open opens the copies of the logs that may be pushed.
func (m *mirrorServer) open(ctx context.Context, logs []checkpoint.Verifier) error {
	if len(logs) == 0 {
		return nil
	}
	of := make(map[string][]checkpoint.Verifier)
	for _, k := range logs {
		if of[k.Name()] == nil {
			m.names = append(m.names, k.Name())
		}
		of[k.Name()] = append(of[k.Name()], k)
	}
	var all []push.Log
	for _, origin := range m.names {
		c, err := mirror.Open(mirror.Config{Dir: m.dir, Origin: origin, Keys: of[origin]})
		if err != nil {
			return err
		}
		m.copies = append(m.copies, c)
		if c.Format() != source.Tiles {
			return usagef("the copy of %s is in the format %s, and only entry bundles can be pushed", origin, c.Format())
		}
		all = append(all, push.Log{Origin: origin, Keys: of[origin], Copy: c})
	}
	var err error
	m.push, err = push.NewServer(ctx, push.Config{Logs: all, Cosigners: m.by, TicketKey: m.ticket, Fault: m.fault})
	return err
}

func (m *mirrorServer) handler(url string) (http.Handler, error) {
	cfg := serve.Config{Dir: m.dir, URL: url, Fault: m.fault}
	for _, c := range m.by {
		cfg.Keys = append(cfg.Keys, c.Verifier())
	}
	if len(m.by) > 0 {
		cfg.Sign = m.sign
	}
	files, err := serve.New(cfg)
	if err != nil {
		return nil, err
	}
	look := page.New()
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if m.look(look, rw, r, url) {
			return
		}
		if m.push != nil && (r.URL.Path == "/add-checkpoint" || r.URL.Path == "/add-entries") {
			m.push.ServeHTTP(rw, r)
			return
		}
		files.ServeHTTP(rw, r)
	}), nil
}

// look answers with the page of a copy, at the address of its folder, and with the
// page's files; it reports whether it did.
func (m *mirrorServer) look(look *page.Page, rw http.ResponseWriter, r *http.Request, url string) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	if name, ok := strings.CutPrefix(r.URL.Path, "/"+page.Prefix); ok {
		return look.File(rw, r, name)
	}
	folder, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if !ok || strings.Contains(folder, "/") || strings.HasPrefix(folder, ".") || folder == "" {
		return false
	}
	c, err := mirror.FindFolder(m.dir, folder)
	if err != nil || c.Format != source.Tiles {
		return false
	}
	f := page.Facts{Origin: c.Origin, URL: url + "/" + folder, Files: "../" + page.Prefix, Size: c.Head.Size, Mirror: true}
	for _, k := range c.Keys {
		f.Keys = append(f.Keys, k.String())
	}
	look.Write(rw, f)
	return true
}

// sign cosigns the checkpoint of a copy that another process writes. One that was
// pushed is cosigned already.
func (m *mirrorServer) sign(folder string, note, previous []byte) ([]byte, error) {
	c, err := mirror.FindFolder(m.dir, folder)
	if err != nil {
		return nil, fmt.Errorf("which log the copy %s is of: %w", folder, err)
	}
	if m.signed(c, note) {
		return note, nil
	}
	signed, _, err := push.Cosign(note, previous, c.Origin, c.Keys, m.by, time.Now())
	return signed, err
}

// signed reports whether all of the mirror's keys cosigned a checkpoint.
func (m *mirrorServer) signed(c mirror.Info, note []byte) bool {
	for _, by := range m.by {
		o, err := checkpoint.OpenExtended(c.Origin, note, c.Keys, by.Verifier())
		if err != nil || !o.VerifiedBy(by.Verifier()) {
			return false
		}
	}
	return true
}

// serving is what serve prints.
type serving struct {
	URL   string   `json:"url"`
	Vkeys []string `json:"vkeys,omitempty"`
	Logs  []string `json:"logs,omitempty"` // that may be pushed
}

func (m *mirrorServer) banner(url string) serving {
	s := serving{URL: url, Logs: m.names}
	for _, c := range m.by {
		s.Vkeys = append(s.Vkeys, c.Verifier().String())
	}
	return s
}

func (m *mirrorServer) text(url string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Serving the copies in %s at %s/<hex SHA-256(origin)>/\n", oneLine(m.dir), url)
	for _, origin := range m.names {
		fmt.Fprintf(&b, "  takes    %s\n", oneLine(origin))
	}
	for i, c := range m.by {
		if i == 0 {
			b.WriteString("\nFor the policy of a log or a verifier (one of these: it is one mirror):\n\n")
		}
		fmt.Fprintf(&b, "witness %s %s %s\n", c.Verifier().Name(), c.Verifier(), url)
	}
	return b.String()
}
