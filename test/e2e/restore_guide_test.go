//go:build unix

package e2e

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// guideSection is a part of a guide, with its commands.
type guideSection struct {
	title string
	sh    []string
}

// guide returns the sections of a guide; the first is what comes before any title.
func guide(t *testing.T, file string) []guideSection {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	list := []guideSection{{title: "introduction"}}
	for _, m := range regexp.MustCompile("(?ms)^## ([^\n]*)$|^```sh\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		if m[1] != "" {
			list = append(list, guideSection{title: m[1]})
			continue
		}
		list[len(list)-1].sh = append(list[len(list)-1].sh, m[2])
	}
	return list
}

// room is a folder with two logs as the guide speaks of them, of five entries
// each, which witnesses have seen, and a backup of the first from when it had
// one.
type room struct {
	*watched
	ledger *ledger
	dir    string
	size   int64
	root   string
}

func newRoom(t *testing.T) *room {
	t.Helper()
	dir := t.TempDir()
	args := []string{"--data-dir", filepath.Join(dir, "data"), "--origin", origin}
	r := &room{watched: newWatched(t, args), ledger: newLedger(t), dir: dir}
	config := fmt.Sprintf("data-dir: %s\nwitness-policy: %s\n", filepath.Join(dir, "data"), r.policy)
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "log.yaml"), []byte(config), 0o600), os.Mkdir(filepath.Join(dir, "backup"), 0o700)); err != nil {
		t.Fatal(err)
	}
	r.grow(t, 1)
	copyFile(t, r.path("data/log.db"), r.path("backup/oldest.db"))
	r.grow(t, 5)
	copyFile(t, r.path("data/log.db"), r.path("backup/newest.db"))
	r.start()
	r.ready()
	saveMirror(t, r.server, r.path("mirror"))
	if err := os.WriteFile(r.path("log.vkey"), []byte(r.vkey()[0].String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.stop()

	other := newServer(t, "--data-dir", r.path("other"), "--origin", "other.example")
	other.start()
	other.ready()
	newLedger(t).add(other.client(other.vkey()), "other")
	other.stop()
	return r
}

func (r *room) path(name string) string { return filepath.Join(r.dir, name) }

// grow runs the server until the log has so many entries.
func (r *room) grow(t *testing.T, size int) {
	t.Helper()
	r.start()
	r.ready()
	for r.ledger.len() < size {
		r.ledger.add(r.demanding(), fmt.Sprint("entry ", r.ledger.len()))
	}
	r.cosignedByAll(t, r.ledger)
	_, o, err := r.cosigners()
	if err != nil {
		t.Fatal(err)
	}
	r.size, r.root = o.Size, fmt.Sprintf("%x", o.Root)
	r.stop()
}

// shell runs commands of the guide.
func (r *room) shell(t *testing.T, sh string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", sh)
	cmd.Dir, cmd.Env = r.dir, append(os.Environ(), "PATH="+bins+":/usr/local/bin:/usr/bin:/bin", fmt.Sprintf("SIZE=%d", r.size), "ROOT="+r.root, "LOG_URL=http://"+r.http)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// is moves and copies files: what went wrong.
func (r *room) is(t *testing.T, sh string) {
	t.Helper()
	if out, err := r.shell(t, sh); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// A guideState is what a section of the guide is about.
type guideState struct {
	broken string // how it came about
	says   string // the server then
	during bool   // the server runs before, and while the commands do
	beside bool   // the server that finds it runs while the commands do
	status bool   // logserver guard status fails, since it finds something
	ends   bool   // the log does not go on, with the one entry of the oldest backup
}

func guideStates() map[string]guideState {
	const older, rollback = "cp backup/oldest.db data/log.db", "rollback: the database's tree head has size 1, and the register knows that size 5 was signed"
	return map[string]guideState{
		"Before anything is wrong":                         {broken: "rm -r mirror", during: true},
		"What is known where":                              {broken: "true", beside: true},
		"The database is behind":                           {broken: older, says: rollback},
		"The database is behind, and a mirror is not":      {broken: older, says: rollback},
		"The database is behind, and nothing has the rest": {broken: older, says: rollback, beside: true, status: true, ends: true},
		"The register is lost":                             {broken: "rm data/register", says: "its register", status: true},
		"The register is another log":                      {broken: "mv data/register kept; mv other/register data/register; mv kept other/register", says: `is the register of log "other.example"`},
		"Two databases are swapped":                        {broken: "mv data/log.db x; mv other/log.db data/log.db; mv x other/log.db", says: "give each log a data directory of its own"},
	}
}

// TestRestoreGuide makes each section's state, sees that the server says it, and
// runs the section's commands, after which the log goes on, or is of use to its
// readers.
func TestRestoreGuide(t *testing.T) {
	states := guideStates()
	sections := guide(t, "../../docs/restore.md")
	intro := strings.Join(sections[0].sh, "")
	sections = sections[1:]
	found := 0
	for _, s := range sections {
		if len(s.sh) == 0 {
			continue
		}
		state, ok := states[strings.TrimSuffix(s.title, "'s")]
		if !ok {
			t.Errorf("no state is known for the section %q", s.title)
			continue
		}
		found++
		t.Run(s.title, func(t *testing.T) {
			r := newRoom(t)
			r.follow(t, state, intro, s)
			if state.ends {
				r.isFrozen(t, state.says)
				return
			}
			r.grow(t, 7)
			r.start()
			r.ready()
			r.ledger.settle(r.demanding())
		})
	}
	if found != len(states) {
		t.Errorf("%d sections with commands are in the guide, not %d", found, len(states))
	}
}

// follow brings a state about and runs the section's commands.
func (r *room) follow(t *testing.T, state guideState, intro string, s guideSection) {
	t.Helper()
	if state.during {
		r.start()
		r.ready()
	}
	r.is(t, state.broken)
	if state.says != "" {
		r.saysThen(t, state.says)
	}
	if state.beside {
		r.start()
		r.answers(t)
	}
	for _, sh := range s.sh {
		finds := state.status && sh == "logserver guard status\n"
		if out, err := r.shell(t, intro+sh); (err != nil) != finds {
			t.Fatalf("%v\n%s\n%s", err, sh, out)
		}
	}
	if state.during {
		r.sameMirror(t)
	}
	r.stop()
}

// sameMirror demands that the guide's mirror is that of the tests, and that the log's
// database can be restored from it.
func (r *room) sameMirror(t *testing.T) {
	t.Helper()
	saveMirror(t, r.server, r.path("want"))
	r.is(t, fmt.Sprintf("rm want/checkpoint; cp -r mirror/%x got; rm got/checkpoint; diff -r want got", sha256.Sum256([]byte(origin))))
	r.stop()
	r.is(t, "cp backup/oldest.db data/log.db; INDELIBLE_CONFIG=log.yaml logserver restore --from mirror")
}

// saysThen starts the server, which ends or is not ready, and gives a reason.
func (r *room) saysThen(t *testing.T, why string) {
	t.Helper()
	r.start()
	eventually(t, "the server says "+why, func() error {
		if text := r.out.String(); !strings.Contains(text, why) {
			return errors.New(tail(text))
		}
		return nil
	})
	r.stop()
}

// answers waits until the server serves its readers, if it does no more.
func (r *room) answers(t *testing.T) {
	t.Helper()
	c := r.demanding()
	eventually(t, "the server serves its readers", func() error {
		_, err := c.Checkpoint(t.Context())
		return err
	})
}

// TestGuardAcceptRefuses tries it where nothing is lost, and with heads that are
// not the database's, and where witnesses know better.
func TestGuardAcceptRefuses(t *testing.T) {
	r := newRoom(t)
	refused := func(says, args string) {
		t.Helper()
		out, err := r.shell(t, "INDELIBLE_CONFIG=$PWD/log.yaml logserver guard accept "+args)
		if err == nil || !strings.Contains(out, says) {
			t.Errorf("%s: %v: %s", args, err, out)
		}
	}
	word := ` --by ada --reason "a test"`
	exact := fmt.Sprintf("--size %d --root %s", r.size, r.root)
	refused("nothing is lost", exact+word)
	r.is(t, "mv data/register kept; cp other/register data/register")
	refused("there is a register", exact+word)
	r.is(t, "rm data/register")
	refused("given are size 4", fmt.Sprintf("--size 4 --root %s", r.root)+word)
	refused("given are size 5 and root 00", "--size 5 --root "+strings.Repeat("0", 64)+word)
	refused("64 hex digits", "--size 5 --root 00"+word)
	refused("--reason", exact+" --by ada")
	// The older database's own head, which the witnesses know is not the newest.
	status, err := r.shell(t, "cp backup/oldest.db data/log.db; INDELIBLE_CONFIG=$PWD/log.yaml logserver guard status")
	m := regexp.MustCompile(`(?m)^database +size 1  root ([0-9a-f]{64})$`).FindStringSubmatch(status)
	if err == nil || m == nil || !strings.Contains(status, "register   none: ") || strings.Count(status, "size 5") < 4 || !strings.Contains(status, "the database is behind: size 5 was signed, as witness w") {
		t.Fatalf("%v: %s", err, status)
	}
	refused("size 5 was signed, as witness w", "--size 1 --root "+m[1]+word)
	if _, err := os.Stat(r.path("data/register")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a register was made: %v", err)
	}

	// Accepted, it is known by whom; and the old register is not taken for it.
	r.is(t, "cp backup/newest.db data/log.db; INDELIBLE_CONFIG=$PWD/log.yaml logserver guard accept "+exact+word)
	if status, err = r.shell(t, "INDELIBLE_CONFIG=$PWD/log.yaml logserver guard status"); err != nil || !strings.Contains(status, `made on the word of "ada" at `) || !strings.Contains(status, ": a test") {
		t.Errorf("%v: %s", err, status)
	}
	r.grow(t, 6)
	r.is(t, "mv data/register new; cp kept data/register")
	r.saysThen(t, "give the log's own with --register")
}
