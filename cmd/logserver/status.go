package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"indelible/guard"
	"indelible/guard/registers"
	"indelible/internal/config"
	"indelible/internal/transport"
	translog "indelible/log"
	"indelible/storage"
	"indelible/storage/mysql"
)

// The exit codes of guard status, and their names in its JSON. Of several that
// apply the first counts. 1 is every other error, and 2 is not used.
const (
	statusOK           = 0
	statusPoisoned     = 3
	statusContradicts  = 4
	statusRegisterLost = 5
	statusRegisterAway = 6
	statusDatabaseAway = 7
	statusNotReady     = 8
	statusDamaged      = 9
)

func statusNames() map[int]string {
	return map[int]string{
		statusOK: "ok", statusPoisoned: "poisoned", statusContradicts: "contradiction", statusRegisterLost: "register-lost",
		statusRegisterAway: "register-unreachable", statusDatabaseAway: "database-unreachable", statusNotReady: "not-ready", statusDamaged: "damaged",
	}
}

// askWithin is how long the database, and how long the register, may take to
// answer guard status.
const askWithin = 10 * time.Second

func (p *program) statusCommand() *cobra.Command {
	output := ""
	cmd := &cobra.Command{
		Use: "status", Short: "Print what the database, the register and the witnesses know",
		Long: "Print what the database, the register and the witnesses of --witness-policy know, whether this machine's clock\n" +
			"fits, and whether the server at --admin is ready, and else why not, and\n" +
			"how far its scrub is. It only reads, and runs beside a server. Where one of them does not answer, it prints the others.\n\n" +
			"Exit codes; of several that apply, the first counts:\n" +
			"  0  ok: database, register and witnesses agree\n" +
			"  3  poisoned: the log signs nothing until logserver guard clear\n" +
			"  4  contradiction: the database, the register or a witness is behind another, or holds another tree\n" +
			"  5  register-lost: the register is not there, is damaged, or is another log's\n" +
			"  6  register-unreachable: the register does not answer, or cannot be read\n" +
			"  7  database-unreachable: the database does not answer, or refuses this program\n" +
			"  8  not-ready: the server at --admin is not ready, or this machine's clock is wrong\n" +
			"  9  damaged: the server's scrub found damaged entries or tiles\n" +
			"  1  another error, such as settings that are wrong, or no log at all",
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	cmd.RunE = p.with(func(ctx context.Context, v config.Values) error {
		if output != "text" && output != "json" {
			return fmt.Errorf("--output %q: it is text or json", output)
		}
		return p.guardStatus(ctx, v, output)
	})
	return cmd
}

// codedError is an error with an exit code of its own.
type codedError struct {
	code int
	text string
}

func (e *codedError) Error() string { return e.text }

// exitCode is the exit code of a program that ends with an error.
func exitCode(err error) int {
	var coded *codedError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &coded):
		return coded.code
	}
	return 1
}

// sight is what guard status finds out. What does not answer has an error in place
// of an answer.
type sight struct {
	standing
	o        *opened
	database error // why the database is not known
	register error // why the register is not known
	server   serverSight
	clock    error // why a server on this machine would refuse every add
}

func (p *program) guardStatus(ctx context.Context, v config.Values, output string) error {
	s, err := look(ctx, v)
	if err != nil {
		return err
	}
	defer s.o.close()
	code, reasons := s.verdict()
	if output == "json" {
		if err := json.NewEncoder(p.stdout).Encode(s.report(code, reasons)); err != nil {
			return err
		}
	} else {
		s.print(p.stdout, v)
	}
	if code == statusOK {
		return nil
	}
	return &codedError{code, fmt.Sprintf("guard status: %s (exit code %d)", statusNames()[code], code)}
}

// look asks the database, the register, the witnesses and the server. What does not answer is
// in the result; an error means that the settings are wrong, or name no log.
func look(ctx context.Context, v config.Values) (s *sight, err error) {
	if _, err := loadPolicy(v); err != nil {
		return nil, err
	}
	s = &sight{o: &opened{}}
	if err := s.open(ctx, v); err != nil {
		return nil, errors.Join(err, s.o.close())
	}
	s.gather(ctx, v)
	s.server = askServer(ctx, v.Text("admin"))
	if s.database == nil {
		s.clock = translog.CheckClock(time.Now(), s.head.IntegratedAt, v.Duration("max-clock-step"))
	}
	return s, nil
}

// open opens the database and the register. One without the other will do.
func (s *sight) open(ctx context.Context, v config.Values) (err error) {
	within, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	p := pathsOf(v)
	if s.o.store, s.database = openStore(within, v, reading); s.database == nil {
		s.o.record, s.database = findLog(within, s.o.store, v.Text("origin"))
		if s.database != nil && !errors.Is(s.database, storage.ErrNotFound) {
			return s.database // several logs, for example
		}
	}
	if s.database == nil {
		if err := s.o.loadSigner(v, p); err != nil {
			return err
		}
		again, cancel := context.WithTimeout(ctx, askWithin)
		defer cancel()
		s.register = s.o.loadRegister(again, p)
	} else {
		s.register = s.openRegisterAlone(ctx, v, p)
		if gone := s.database; noLog(gone) && errors.Is(s.register, os.ErrNotExist) {
			return orphans(ctx, v, p, gone)
		}
	}
	if s.register != nil && s.o.register != nil {
		err = s.o.register.Close()
		s.o.register = nil
	}
	return err
}

// noLog reports that the database answers, or would, and that the log is not
// there.
func noLog(err error) bool {
	return errors.Is(err, storage.ErrNotFound) || errors.Is(err, mysql.ErrEmpty) || errors.Is(err, errNoFile)
}

// openRegisterAlone opens the register of a log whose database does not say which
// one it has.
func (s *sight) openRegisterAlone(ctx context.Context, v config.Values, p paths) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	origin, err := originAlone(v, p)
	if err != nil {
		return err
	}
	s.o.place = p.register
	if p.state != "" {
		if id, err := keyedID(v, p, origin); err == nil {
			s.o.place = p.registerAt(id)
		}
	}
	if s.o.register, err = registers.Open(ctx, s.o.place, origin); err != nil {
		s.o.register = nil
		return err
	}
	s.o.record.Origin = s.o.register.Origin()
	if named := v.Text("origin"); named != "" && named != s.o.record.Origin {
		return fmt.Errorf("%w: %s is the register of log %q, not of log %q", errOtherRegister, s.o.place, s.o.record.Origin, named)
	}
	return nil
}

// originAlone is the name of the log, as far as it is known without its database.
func originAlone(v config.Values, p paths) (string, error) {
	if name, err := os.ReadFile(filepath.Join(p.dir, "origin")); err == nil && v.Text("origin") == "" && p.state != "" {
		return strings.TrimSpace(string(name)), nil
	}
	return givenOrigin(v)
}

// gather asks the witnesses, the database and the register in the order of
// [stand], and keeps who does not answer.
func (s *sight) gather(ctx context.Context, v config.Values) {
	s.standing.register.Newest = guard.Empty()
	if s.database == nil {
		s.witnesses, s.database = recall(ctx, v, s.o)
	}
	within, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	if s.database == nil {
		s.published, s.database = s.o.store.Published(within, s.o.record.ID)
	}
	if s.register == nil {
		var state guard.State
		if state, s.register = s.o.register.Confirm(within); s.register == nil {
			s.standing.register = state
		}
	}
	if s.database == nil {
		again, cancel := context.WithTimeout(ctx, askWithin)
		defer cancel()
		s.head, s.database = s.o.store.LockedHead(again, s.o.record.ID)
	}
}

// contradiction is which of them does not fit, as far as they are known.
func (s *sight) contradiction() error {
	switch newest := s.standing.register.Newest; {
	case s.database == nil && s.register == nil:
		if err := s.agree(); err != nil {
			return err
		}
		return s.registerBehind()
	case s.database == nil:
		return s.agree()
	case noLog(s.database) && s.register == nil && newest.Size > 0:
		return fmt.Errorf("the database holds no log, and the register knows that size %d was signed: it was emptied, or is another database; point to the right one, or restore it", newest.Size)
	}
	return nil
}

// lost reports whether an error of a register says that it is lost, and not only
// that it cannot be asked at present.
func lost(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, guard.ErrCorrupt) || errors.Is(err, errOtherRegister)
}

// verdict is the exit code, and all that is wrong.
func (s *sight) verdict() (code int, reasons []string) {
	add := func(c int, why string) {
		if reasons = append(reasons, why); code == statusOK {
			code = c
		}
	}
	for _, poison := range s.poison() {
		add(statusPoisoned, poison)
	}
	if err := s.contradiction(); err != nil {
		add(statusContradicts, err.Error())
	}
	switch {
	case s.register == nil:
	case lost(s.register):
		add(statusRegisterLost, s.register.Error())
	default:
		add(statusRegisterAway, s.register.Error())
	}
	if s.database != nil {
		add(statusDatabaseAway, s.database.Error())
	}
	if s.server.answers && !s.server.ready {
		add(statusNotReady, "the server at "+s.server.at+" is not ready: "+strings.Join(s.server.says, "; "))
	}
	if s.clock != nil {
		add(statusNotReady, "on this machine, "+s.clock.Error()+"; a server here refuses every add")
	}
	if n := s.server.scrub["findings"]; n > 0 {
		add(statusDamaged, fmt.Sprintf("the scrub of the server at %s found damaged parts: %.0f", s.server.at, n))
	}
	return code, reasons
}

// poison is who says that the log is poisoned, and why.
func (s *sight) poison() (all []string) {
	for _, poison := range []struct{ where, why string }{{"register", s.standing.register.Poisoned}, {"database", s.o.record.Poisoned}} {
		if poison.why != "" {
			all = append(all, fmt.Sprintf("Poisoned, says the %s: %s", poison.where, poison.why))
		}
	}
	return all
}

// statusReport is what guard status prints as JSON. Fields may be added, and none
// is removed or changes its meaning. docs/operations.md describes them.
type statusReport struct {
	State     string          `json:"state"`
	Exit      int             `json:"exit"`
	Reasons   []string        `json:"reasons"`
	Origin    string          `json:"origin,omitempty"`
	Register  headReport      `json:"register"`
	Database  headReport      `json:"database"`
	Published *headReport     `json:"published,omitempty"`
	Witnesses []witnessReport `json:"witnesses"`
	Server    *serverReport   `json:"server,omitempty"`
}

type headReport struct {
	Place    string `json:"place,omitempty"`
	Size     *int64 `json:"size,omitempty"` // nil: not known
	Root     string `json:"root,omitempty"`
	Time     string `json:"time,omitempty"`
	Poisoned string `json:"poisoned,omitempty"`
	Error    string `json:"error,omitempty"`
}

type witnessReport struct {
	Name    string `json:"name"`
	Size    *int64 `json:"size,omitempty"` // nil: not known
	Root    string `json:"root,omitempty"`
	Time    string `json:"time,omitempty"`
	Claimed int64  `json:"claimed,omitempty"`
	Other   bool   `json:"other_tree,omitempty"`
	Error   string `json:"error,omitempty"`
}

type serverReport struct {
	Ready   bool     `json:"ready"`
	Says    []string `json:"says,omitempty"`
	Damaged int64    `json:"damaged"`
}

func (s *sight) report(code int, reasons []string) statusReport {
	r := statusReport{State: statusNames()[code], Exit: code, Reasons: append([]string{}, reasons...), Origin: s.o.record.Origin, Witnesses: []witnessReport{}}
	newest := s.standing.register.Newest
	r.Register = head(newest.Size, newest.Root, newest.Time, s.standing.register.Poisoned, s.register)
	r.Register.Place = s.o.place
	r.Database = head(s.head.Size, s.head.Root, 0, s.o.record.Poisoned, s.database)
	if s.published.Version > 0 {
		published := head(s.published.Size, s.published.Root, s.published.At, "", nil)
		r.Published = &published
	}
	for _, m := range s.witnesses {
		r.Witnesses = append(r.Witnesses, reportWitness(m, s.unknown(m)))
	}
	if s.server.answers {
		r.Server = &serverReport{s.server.ready, s.server.says, int64(s.server.scrub["findings"])}
	}
	return r
}

func head(size int64, root storage.Hash, at int64, poisoned string, err error) headReport {
	if err != nil {
		return headReport{Poisoned: poisoned, Error: err.Error()}
	}
	r := headReport{Size: &size, Root: hex.EncodeToString(root[:]), Poisoned: poisoned}
	if at > 0 {
		r.Time = stamp(at)
	}
	return r
}

func reportWitness(m memory, unknown error) witnessReport {
	r := witnessReport{Name: m.name}
	if m.err == nil {
		r.Size, r.Root = &m.opened.Size, hex.EncodeToString(m.opened.Root[:])
	}
	if m.at > 0 {
		r.Time = stamp(m.at * 1000)
	}
	if c := m.claim; c != nil {
		r.Claimed, r.Other = c.Size, c.Other
	}
	if unknown != nil {
		r.Error = unknown.Error()
	}
	return r
}

// print writes it all for people.
func (s *sight) print(w io.Writer, v config.Values) {
	fmt.Fprintf(w, "log        %s\n", s.o.record.Origin)
	s.printRegister(w, s.o, s.register)
	if s.database != nil {
		fmt.Fprintf(w, "database   not known: %v\n", s.database)
	} else {
		s.printHeads(w)
	}
	s.server.print(w)
	if err := s.contradiction(); err != nil {
		fmt.Fprintf(w, "\n%v\n", err)
	}
	for _, poison := range s.poison() {
		fmt.Fprintf(w, "\n%s\n", poison)
	}
	if s.clock != nil {
		fmt.Fprintf(w, "\nOn this machine, %v; a server here refuses every add\n", s.clock)
	}
}

// serverSight is what a server that runs here says of itself. One that runs
// elsewhere is not asked.
type serverSight struct {
	at             string
	answers, ready bool
	says           []string
	scrub          map[string]float64 // its metrics; empty for none
}

func askServer(ctx context.Context, at string) serverSight {
	s := serverSight{at: at}
	lines, err := transport.AskReady(ctx, at)
	s.says, s.ready = lines, err == nil
	if s.answers = err == nil || errors.Is(err, transport.ErrNotReady); s.answers {
		s.scrub = askScrub(ctx, at)
	}
	return s
}

func (s serverSight) print(w io.Writer) {
	if !s.answers {
		fmt.Fprintf(w, "server     none answers at http://%s: it does not run, or runs elsewhere\n", s.at)
		fmt.Fprintf(w, "scrub      not known: no server answers at %s (--admin)\n", s.at)
		return
	}
	state := "NOT READY"
	if s.ready {
		state = "ready"
	}
	fmt.Fprintf(w, "server     %s, says http://%s\n", state, s.at)
	for _, line := range s.says {
		fmt.Fprintf(w, "           %s\n", line)
	}
	s.printScrub(w)
}
