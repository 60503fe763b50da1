package push

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"indelible/checkpoint"
	"indelible/internal/places"
	"indelible/mirror/source"
	"indelible/witness"
)

// Config is what a Server is made from.
type Config struct {
	Logs      []Log                  // required
	Cosigners []*checkpoint.Cosigner // the mirror's keys, of one name; required
	TicketKey TicketKey              // required: the same for each instance of the mirror
	Now       func() time.Time       // time.Now
	// Fault is called with what clients are not shown; it may be nil.
	Fault func(error)
	// Mirrored is called after each new mirror checkpoint; it may be nil.
	Mirrored func(origin string, size int64)
}

// Log is a log that is mirrored.
type Log struct {
	Origin string
	Keys   []checkpoint.Verifier // one of which must have signed
	Copy   Copy                  // which nothing else writes
}

// Limits of add-entries.
const (
	// maxUploads is how many uploads are read at one time, and maxLarge how many of
	// them have a package of more than smallPackage.
	maxUploads, maxLarge = 32, 2
	// maxExcess is how many stored entries an upload may bring again.
	maxExcess = 8 * PackageSize
	// maxRequest is the maximum size of a request: 32 of the largest packages.
	maxRequest = MaxPackages*maxPackageBytes + 1<<17
	// packageTimeout is how long a package may take to arrive, uploadTimeout a
	// request, and answerTimeout an answer.
	packageTimeout, uploadTimeout, answerTimeout = 30 * time.Second, 5 * time.Minute, 60 * time.Second
)

var (
	errProof  = errors.New("the proof does not hold")
	errCopied = errors.New("the copy")
)

// Server answers add-checkpoint and add-entries.
type Server struct {
	cfg            Config
	name           string
	logs           pending
	checkpoints    http.Handler
	uploads, large *places.Places
}

// NewServer makes a Server. No log may have the mirror's name.
func NewServer(ctx context.Context, cfg Config) (*Server, error) {
	if len(cfg.Cosigners) == 0 || cfg.TicketKey == (TicketKey{}) {
		return nil, errors.New("mirror: Cosigners and a TicketKey are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{cfg: cfg, name: cfg.Cosigners[0].Verifier().Name(), uploads: places.New(maxUploads), large: places.New(maxLarge)}
	for _, l := range cfg.Logs {
		if err := checkNames(s.name, l); err != nil {
			return nil, err
		}
		s.logs.logs = append(s.logs.logs, &mirrored{Log: l})
	}
	w, err := witness.New(ctx, witness.Config{State: s.logs, Register: noRegister{}, Now: cfg.Now})
	if err != nil {
		return nil, err
	}
	s.checkpoints = w.Handler("", func(_ context.Context, err error) {
		if cfg.Fault != nil {
			cfg.Fault(err)
		}
	})
	return s, nil
}

// checkNames refuses a log whose signatures could be confused with the mirror's.
func checkNames(mirror string, l Log) error {
	if l.Origin == mirror {
		return fmt.Errorf("the log %q has the mirror's own name: give the mirror another", mirror)
	}
	for _, k := range l.Keys {
		if k.Name() == mirror {
			return fmt.Errorf("a key of the log %q has the mirror's own name %q: give the mirror another", l.Origin, mirror)
		}
	}
	return nil
}

// ServeHTTP answers at the submission prefix.
func (s *Server) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	switch r.URL.EscapedPath() {
	case "/add-checkpoint":
		s.checkpoints.ServeHTTP(rw, r)
	case "/add-entries":
		s.addEntries(rw, r)
	default:
		refuse(rw, http.StatusNotFound, fmt.Sprintf("there is nothing at %.100q; this mirror takes add-checkpoint and add-entries", r.URL.EscapedPath()))
	}
}

// answer is an answer to add-entries.
type answer struct {
	status int
	info   *Info  // mirror-info is the body, if set
	text   string // otherwise the body
}

func failed(status int, format string, args ...any) answer {
	return answer{status: status, text: fmt.Sprintf(format, args...) + "\n"}
}

func (s *Server) addEntries(rw http.ResponseWriter, r *http.Request) {
	// SPEC: tlog-mirror: mirrors SHOULD send Accept-Encoding.
	rw.Header().Set("Accept-Encoding", "gzip")
	a := s.upload(rw, r)
	http.NewResponseController(rw).SetWriteDeadline(time.Now().Add(answerTimeout))
	rw.Header().Set("Cache-Control", "no-store")
	switch {
	case a.info != nil:
		rw.Header().Set("Content-Type", infoType)
		rw.WriteHeader(a.status)
		rw.Write(a.info.Marshal())
	case a.status == http.StatusOK:
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(rw, a.text)
	default:
		if a.status == http.StatusServiceUnavailable {
			rw.Header().Set("Retry-After", "1")
		}
		refuse(rw, a.status, a.text)
	}
}

// upload answers one request: what is wrong with it before its body is read, and
// then package by package.
func (s *Server) upload(rw http.ResponseWriter, r *http.Request) answer {
	if a, ok := acceptable(rw, r); !ok {
		return a
	}
	place, err := s.uploads.Take(r.Context())
	if err != nil {
		return s.unread(err)
	}
	defer place.Leave()
	u := &upload{s: s, ctx: r.Context(), client: http.NewResponseController(rw), place: place, end: time.Now().Add(uploadTimeout)}
	defer u.leave()
	u.client.SetWriteDeadline(u.end.Add(answerTimeout))
	if a, ok := u.begin(http.MaxBytesReader(rw, r.Body, maxRequest), r.Header.Get("Content-Encoding")); !ok {
		return a
	}
	return u.run()
}

// acceptable looks at what a request says of its body.
func acceptable(rw http.ResponseWriter, r *http.Request) (answer, bool) {
	if r.Method != http.MethodPost {
		rw.Header().Set("Allow", http.MethodPost)
		return failed(http.StatusMethodNotAllowed, "this takes POST alone"), false
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != entriesType {
		return failed(http.StatusUnsupportedMediaType, "the content type is %.100q; it must be %s", r.Header.Get("Content-Type"), entriesType), false
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") && !strings.EqualFold(e, "gzip") {
		return failed(http.StatusUnsupportedMediaType, "the content encoding is %.100q; gzip is known here", e), false
	}
	if r.ContentLength > maxRequest {
		return failed(http.StatusRequestEntityTooLarge, "the request has %d bytes; send at most %d packages in one, which have at most %d", r.ContentLength, MaxPackages, maxRequest), false
	}
	return answer{}, true
}

// upload is an add-entries request at work.
type upload struct {
	s      *Server
	ctx    context.Context
	client *http.ResponseController
	end    time.Time // of the time that the request has
	place  *places.Place
	big    *places.Place // of a large package

	body   *bufio.Reader
	h      Header
	log    *mirrored
	target source.Head
}

func (u *upload) leave() {
	if u.big != nil {
		u.big.Leave()
	}
}

// wait gives the client time for the next part of its body, for as long as no
// other needs the place more.
func (u *upload) wait() {
	at := time.Now().Add(packageTimeout)
	if at.After(u.end) {
		at = u.end
	}
	u.client.SetReadDeadline(at)
	u.place.Waits(u.cut)
	if u.big != nil {
		u.big.Waits(u.cut)
	}
}

func (u *upload) cut() { u.client.SetReadDeadline(time.Unix(1, 0)) }

// waited ends that. It returns whose fault it is that err came.
func (u *upload) waited(err error) error {
	cut := u.place.Settled()
	if u.big != nil {
		cut = u.big.Settled() || cut
	}
	if cut && errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w: it came too slowly while others waited", places.ErrBusy)
	}
	return err
}

// room takes a place for a large package.
func (u *upload) room() (err error) {
	if u.big != nil {
		return nil
	}
	if u.big, err = u.s.large.Take(u.ctx); err == nil {
		u.big.Waits(u.cut)
	}
	return err
}

// begin reads the header, and compares it with what the mirror has.
func (u *upload) begin(body io.Reader, encoding string) (answer, bool) {
	u.wait()
	err := u.open(body, encoding)
	if err = u.waited(err); err != nil {
		return u.s.unread(err), false
	}
	if u.log = u.s.logs.find(u.h.Origin); u.log == nil {
		return failed(http.StatusNotFound, "this mirror does not know the log %.100q", u.h.Origin), false
	}
	if !exists(u.log.Copy.Pending()) {
		return failed(http.StatusUnprocessableEntity, "there is no pending checkpoint of %.100q: send one to add-checkpoint first", u.h.Origin), false
	}
	return u.fits()
}

func (u *upload) open(body io.Reader, encoding string) (err error) {
	if strings.EqualFold(encoding, "gzip") {
		if body, err = gzip.NewReader(bufio.NewReader(body)); err != nil {
			return fmt.Errorf("%w: gzip: %w", ErrMalformed, err)
		}
	}
	u.body = bufio.NewReaderSize(body, 64<<10)
	u.h, err = ReadHeader(u.body)
	return err
}

// fits compares the bounds of an upload with what the mirror has.
// SPEC: tlog-mirror, add-entries, processing: in this order.
func (u *upload) fits() (answer, bool) {
	var ok bool
	if u.target, ok = u.s.target(u.log, u.h); !ok || u.h.End < u.log.Copy.Head().Size {
		return u.s.conflict(u.log, u.log.Copy.Pending()), false
	}
	next := u.log.Copy.Next()
	if u.h.Start > next || min(u.h.End, next)-u.h.Start > maxExcess {
		return u.s.conflict(u.log, u.target), false
	}
	return answer{}, true
}

// conflict tells a client how to go on towards a pending checkpoint.
func (s *Server) conflict(l *mirrored, to source.Head) answer {
	return answer{status: http.StatusConflict, info: s.info(l, to)}
}

func (s *Server) info(l *mirrored, to source.Head) *Info {
	if to.Size < l.Copy.Head().Size { // it was overtaken
		to = l.Copy.Pending()
	}
	return &Info{Pending: to.Size, Next: l.Copy.Next(), Ticket: s.cfg.TicketKey.seal(s.name, l.Origin, to.Note)}
}

// run stores packages until the last one, or until one does not arrive.
func (u *upload) run() answer {
	pkgs := NewPackages(u.h, u.body)
	pkgs.room = u.room
	stored := int64(0)
	for stored < u.h.Packages() {
		u.wait()
		p, err := pkgs.Next()
		if err = u.waited(err); err != nil {
			return u.partly(stored, err)
		}
		leaves, err := u.log.prove(p, u.target)
		if errors.Is(err, errProof) {
			return failed(http.StatusUnprocessableEntity, "%v", err)
		}
		if err == nil {
			err = u.log.store(p, leaves)
		}
		if err != nil {
			return u.s.unread(fmt.Errorf("%w of %s: %w", errCopied, u.h.Origin, err))
		}
		stored++
	}
	return u.commit()
}

// partly answers an upload that ended before its last package.
func (u *upload) partly(stored int64, why error) answer {
	if stored == 0 {
		return u.s.unread(why)
	}
	if err := u.log.sync(); err != nil {
		return u.s.unread(fmt.Errorf("%w of %s: %w", errCopied, u.h.Origin, err))
	}
	return answer{status: http.StatusAccepted, info: u.s.info(u.log, u.target)}
}

// commit makes the target the mirror checkpoint, and cosigns it.
// SPEC: tlog-mirror: nothing is signed before all of it is durable; the mirror
// checkpoint never becomes smaller.
func (u *upload) commit() answer {
	l := u.log
	l.write.Lock()
	defer l.write.Unlock()
	if u.target.Size < l.Copy.Head().Size {
		return u.s.conflict(l, l.Copy.Pending())
	}
	lines, err := u.s.cosign(l, u.target)
	if err != nil {
		return u.s.unread(fmt.Errorf("%w of %s: %w", errCopied, u.h.Origin, err))
	}
	if u.s.cfg.Mirrored != nil {
		u.s.cfg.Mirrored(u.h.Origin, u.target.Size)
	}
	return answer{status: http.StatusOK, text: string(lines)}
}

// cosign commits a head with the mirror's signatures, which it returns.
func (s *Server) cosign(l *mirrored, h source.Head) ([]byte, error) {
	if err := l.Copy.Sync(); err != nil {
		return nil, err
	}
	note, lines, err := Cosign(h.Note, l.Copy.Head().Note, l.Origin, l.Keys, s.cfg.Cosigners, s.cfg.Now())
	if err != nil {
		return nil, err
	}
	return lines, l.Copy.Commit(source.Head{Size: h.Size, Root: h.Root, Note: note})
}

// unread answers an error. What is none of the client's is not shown.
func (s *Server) unread(err error) answer {
	tooLarge := (*http.MaxBytesError)(nil)
	switch {
	case errors.Is(err, errCopied):
		if s.cfg.Fault != nil {
			s.cfg.Fault(err)
		}
		return failed(http.StatusInternalServerError, "a fault of the mirror, whose log says more; try again")
	case errors.Is(err, places.ErrBusy):
		return failed(http.StatusServiceUnavailable, "%v", err)
	case errors.As(err, &tooLarge):
		return failed(http.StatusRequestEntityTooLarge, "the request has more than %d bytes; send at most %d packages in one", maxRequest, MaxPackages)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return failed(http.StatusRequestTimeout, "the first package did not arrive within %s", packageTimeout)
	case errors.Is(err, io.EOF):
		return failed(http.StatusBadRequest, "the request ends before its first package")
	}
	return failed(http.StatusBadRequest, "%v", err)
}

func refuse(rw http.ResponseWriter, status int, why string) {
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	rw.Header().Set("X-Content-Type-Options", "nosniff")
	rw.Header().Set("Cache-Control", "no-store")
	rw.WriteHeader(status)
	io.WriteString(rw, strings.TrimSuffix(why, "\n")+"\n")
}
