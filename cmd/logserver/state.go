package main

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"

	"indelible/checkpoint"
	"indelible/guard/registers"
	"indelible/internal/config"
)

// defaultDir is the data directory that no setting names.
const defaultDir = "./indelible-data"

// stateFolder is the folder for registers in the user's state home (XDG Base
// Directory), which no copy of a data directory takes along; empty if the user
// has no home that can be written to.
func stateFolder() string {
	home := os.Getenv("HOME")
	state := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) {
		state = filepath.Join(home, ".local", "state")
	}
	if !filepath.IsAbs(state) {
		return ""
	}
	return filepath.Join(state, "indelible", "registers")
}

// registerAt is where the register by an id is. In the state folder it is found
// by its id; a log that was made with its register in the data directory goes on
// with that one.
func (p paths) registerAt(id string) string {
	if p.state == "" {
		return p.register
	}
	outside := filepath.Join(p.state, id)
	if !exists(outside) && exists(p.register) {
		return p.register
	}
	return outside
}

// newRegisterAt is where the register of a log that is made has its place; empty
// if that depends on an id that is not known yet.
func (p paths) newRegisterAt(id string) string {
	switch {
	case p.state == "" || !writable(p.state):
		return p.register
	case id != "":
		return p.registerAt(id)
	case exists(p.register):
		return p.register
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// writable reports whether a folder can be written to, or made.
func writable(dir string) bool {
	for !exists(dir) {
		dir = filepath.Dir(dir)
	}
	f, err := os.CreateTemp(dir, ".indelible-*")
	if err != nil {
		return false
	}
	f.Close()
	return os.Remove(f.Name()) == nil
}

// registerID is the id of the first register of a key's log: it is found again
// after an interrupted creation, when the log has no row yet.
func registerID(signer *checkpoint.KeySigner) string {
	sum := sha256.Sum256([]byte("indelible register of " + signer.Verifier().String()))
	return hex.EncodeToString(sum[:16])
}

// elsewhere says where a register that is missing may be, where no setting names
// it.
func (o *opened) elsewhere(p paths) string {
	if filepath.Clean(p.dir) == filepath.Clean(defaultDir) {
		return ". A SQLite log in the default data directory has its register in the state home of the user that made it: ~/.local/state/indelible/registers/" + o.record.Register +
			". The home of a container ends with the container: keep the register on a volume of its own, with --register FILE or with XDG_STATE_HOME"
	}
	return ""
}

// copies says what a copy of the data directory that is put back would do. Where
// a place for the register was given, its owner decided that.
func copies(v config.Values, o *opened, logger *slog.Logger) {
	if v.Text("storage") != "sqlite" || v.Text("register") != "" {
		return
	}
	p := pathsOf(v)
	if kind, _ := registers.KindOf(o.place); kind == registers.File && o.place != p.register {
		if !o.created {
			return
		}
		logger.Info("the register is outside of the data directory, so that a copy of the directory that is put back is noticed; move it along when the log moves to another machine",
			"register", o.place, "directory", p.dir)
		return
	}
	logger.Warn("the register is in the data directory: when a copy of the directory is put back, the log signs a second history, and nothing on this machine notices",
		"register", o.place, "do", "stop the server, move the register to a place that no copy of the directory takes back, and name it with --register")
}
