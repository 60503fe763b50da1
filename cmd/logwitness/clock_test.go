//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"indelible/checkpoint"
	"indelible/evidence"
	"indelible/keys"
	"indelible/witness"
	"indelible/witness/register"
	"indelible/witness/sqlstate"
)

// A clock that was years ahead for a moment: the witness refuses nothing, repeats
// that time and says so; and the way out in the guide is a second witness that
// takes over what the first one remembers. Neither ever says of an earlier
// time that it saw more than of a later one.
func TestClockFarAhead(t *testing.T) {
	log := manyTrees(t, 1)[0]
	three, four := log.with("a", "b", "c"), log.with("a", "b", "c", "d")
	old, next := newServer(t, []*tree{log}), newServer(t, []*tree{log})
	old.start()
	old.want(log.with("a"), 0, 200, "")
	old.stop()
	notes := []string{old.cosignAhead(three, 1)}
	old.start()
	notes = append(notes, old.cosign(four, 3))
	if times := old.times(notes, log); times[0] != times[1] || time.Until(times[1]) < 24*time.Hour {
		t.Errorf("times of the first witness: %v", times)
	}
	if err := contains(old.out.String(), "the clock is behind the last cosignature", log.origin); err != nil {
		t.Error(err)
	}

	next.start()
	next.takeOver(old, log)
	next.want(log.with("A", "b", "c", "d", "e"), 4, 422, "does not extend")
	taken, err := get("http://" + next.listen + "/" + witness.OriginHash(log.origin) + "/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	others := []string{taken, next.cosign(four.with("e"), 4)}
	for _, at := range next.times(others, log) {
		if time.Since(at).Abs() > 10*time.Minute {
			t.Errorf("time of the second witness: %v", at)
		}
	}
	notes = append(notes, old.cosign(four.with("e"), 4))
	neverShrunk(t, old.verifier, notes)
	neverShrunk(t, next.verifier, others)
	old.stop()
	next.stop()
}

// cosignAhead has the witness, which does not run, cosign by a clock that is ten
// years ahead.
func (s *server) cosignAhead(tr *tree, from int64) (note string) {
	s.t.Helper()
	state, err := sqlstate.OpenSQLite(s.t.Context(), s.path("data/witness.db"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer state.Close()
	memory, err := register.Open(s.path("data/register"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer memory.Close()
	key, err := keys.Load(s.path("key"), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	cosigner, err := checkpoint.NewCosigner(s.verifier.Name(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	ahead := func() time.Time { return time.Now().AddDate(10, 0, 0) }
	w, err := witness.New(s.t.Context(), witness.Config{State: state, Register: memory, Cosigners: []*checkpoint.Cosigner{cosigner}, Now: ahead})
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := witness.ParseRequest(tr.body(s.t, from))
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := w.AddCheckpoint(s.t.Context(), r); err != nil {
		s.t.Fatal(err)
	}
	head, err := state.Head(s.t.Context(), tr.origin)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(head.Note)
}

// cosign has the witness cosign tr, and returns what it serves then.
func (s *server) cosign(tr *tree, from int64) (note string) {
	s.t.Helper()
	s.want(tr, from, 200, "")
	note, err := get("http://" + s.listen + "/" + witness.OriginHash(tr.origin) + "/checkpoint")
	if err != nil {
		s.t.Fatal(err)
	}
	return note
}

// takeOver runs the guide's command.
func (s *server) takeOver(old *server, log *tree) {
	s.t.Helper()
	guide, err := os.ReadFile("../../docs/witness.md")
	if err != nil {
		s.t.Fatal(err)
	}
	_, command, found := strings.Cut(string(guide), "\nlog=example.com/log\n")
	command, _, ends := strings.Cut(command, "\n```")
	if !found || !ends {
		s.t.Fatal("the guide has no such command")
	}
	command = strings.NewReplacer("127.0.0.1:8090", old.listen, "127.0.0.1:8092", s.listen).Replace(command)
	if out, err := exec.Command("bash", "-euo", "pipefail", "-c", "log="+log.origin+"\n"+command).CombinedOutput(); err != nil {
		s.t.Fatalf("%s\n%v\n%s", command, err, out)
	}
}

// times are those of the witness's cosignatures.
func (s *server) times(notes []string, log *tree) (all []time.Time) {
	s.t.Helper()
	for _, note := range notes {
		o, err := checkpoint.OpenAs(log.origin, []byte(note), []checkpoint.Verifier{log.key.Verifier()}, s.verifier)
		if err != nil {
			s.t.Fatal(err)
		}
		seconds, ok := o.Timestamp(s.verifier)
		if !ok {
			s.t.Fatalf("not cosigned:\n%s", note)
		}
		all = append(all, time.Unix(seconds, 0))
	}
	return all
}

// neverShrunk demands that no two of the notes are evidence against the witness.
func neverShrunk(t *testing.T, by checkpoint.Verifier, notes []string) {
	t.Helper()
	for _, a := range notes {
		for _, b := range notes {
			if file, err := evidence.OfShrunk([]checkpoint.Verifier{by}, []byte(a), []byte(b)); !errors.Is(err, evidence.ErrNotProven) {
				t.Errorf("%v\n%s", err, file)
			}
		}
	}
}
