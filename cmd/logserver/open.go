package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"indelible/checkpoint"
	"indelible/guard"
	"indelible/guard/registers"
	"indelible/internal/config"
	"indelible/internal/mysqldb"
	"indelible/internal/secret"
	"indelible/keys"
	"indelible/merkle"
	"indelible/publication"
	"indelible/storage"
	"indelible/storage/mysql"
	"indelible/storage/sqlite"
	"indelible/trust"
)

// check finds what is wrong with settings taken together.
func check(v config.Values) error {
	dsn, file := v.Text("mysql-dsn"), v.Text("mysql-dsn-file")
	switch {
	case v.Text("storage") == "mysql" && dsn == "" && file == "":
		return errors.New("storage mysql needs --mysql-dsn-file FILE, a file with user:password@tcp(host:3306)/database")
	case v.Text("storage") == "sqlite" && (dsn != "" || file != ""):
		// Without this, a forgotten --storage would begin a log of its own.
		return errors.New("a DSN is given, and the storage is sqlite: give --storage mysql, or leave the DSN out")
	case dsn != "" && file != "":
		return errors.New("give one of --mysql-dsn and --mysql-dsn-file")
	case dsn != "" && strings.HasPrefix(string(v.From("mysql-dsn")), "flag") && mysqldb.HasPassword(dsn):
		return errors.New("--mysql-dsn carries a password, which everybody on this host can see in the list of processes: put the DSN into a file and give --mysql-dsn-file")
	case (v.Text("tls-cert") == "") != (v.Text("tls-key") == ""):
		return errors.New("give both --tls-cert and --tls-key, or neither")
	case v.Text("tls-client-ca") != "" && v.Text("tls-cert") == "":
		return errors.New("--tls-client-ca verifies clients of TLS: give --tls-cert and --tls-key, too")
	}
	return errors.Join(mysqlTLS(v).Check(), checkNames(v), checkAddresses(v), checkLimits(v), checkRekorV1Key(v), checkSecrets(v), checkProxies(v), checkPublication(v))
}

// checkNames finds what is wrong with the names that clients will know the log
// by.
func checkNames(v config.Values) error {
	for _, setting := range []string{"origin", "rekor-v1-host"} {
		if name := v.Text(setting); name != "" {
			if err := checkpoint.ValidateOrigin(name); err != nil {
				return fmt.Errorf("--%s: %w", setting, err)
			}
		}
	}
	if u := v.Text("public-url"); u != "" {
		if _, err := trust.BaseURL(u); err != nil {
			return fmt.Errorf("--public-url: %w", err)
		}
	}
	return nil
}

// paths are where the files of a log are.
type paths struct {
	dir, db, key, register, rekorV1 string
	// state is the folder of the registers that no setting names; empty: such a
	// register is in the data directory.
	state string
}

func pathsOf(v config.Values) paths {
	dir := v.Text("data-dir")
	in := func(setting, name string) string {
		if path := v.Text(setting); path != "" {
			return path
		}
		return filepath.Join(dir, name)
	}
	p := paths{
		dir: dir, db: filepath.Join(dir, "log.db"),
		key: in("log-key", "log.key"), register: registers.WithTLS(in("register", "register"), mysqlTLS(v)), rekorV1: in("rekor-v1-key", "rekor-v1.key"),
	}
	if v.Text("register") == "" && v.Text("storage") == "sqlite" && inDefaultDir(v) {
		p.state = stateFolder()
	}
	return p
}

// mysqlTLS are the files for TLS to the databases, that of the register too.
func mysqlTLS(v config.Values) mysqldb.TLS {
	return mysqldb.TLS{CA: v.Text("mysql-tls-ca"), Cert: v.Text("mysql-tls-cert"), Key: v.Text("mysql-tls-key")}
}

func dsnOf(v config.Values) (string, error) {
	if file := v.Text("mysql-dsn-file"); file != "" {
		dsn, err := secret.Line(file)
		if err != nil {
			return "", fmt.Errorf("--mysql-dsn-file: %w", err)
		}
		return dsn, nil
	}
	return v.Text("mysql-dsn"), nil
}

// databaseAccess is what connections need beside the DSN.
func databaseAccess(v config.Values) mysqldb.Access {
	return mysqldb.Access{TLS: mysqlTLS(v), Source: func() (string, error) { return dsnOf(v) }}
}

// access is what a database is opened for.
type access int

const (
	reading  access = iota // beside a server that runs
	changing               // with the lock that keeps others away, where there is one
	trying                 // the same, and what making it takes is tried
	creating               // the same, and it may be made
)

// openStore opens the database.
func openStore(ctx context.Context, v config.Values, to access) (storage.Store, error) {
	switch v.Text("storage") {
	case "mysql":
		dsn, err := dsnOf(v)
		if err != nil {
			return nil, err
		}
		store, err := mysql.Open(ctx, dsn, mysql.Options{
			Migrate: to == creating, Try: to == trying,
			Access:  databaseAccess(v),
			Waiting: func(what string) { fmt.Fprintln(os.Stderr, "Waiting for", what) },
		})
		if err != nil {
			return nil, err
		}
		return store, nil
	default:
		return openSQLite(ctx, pathsOf(v), to)
	}
}

// errNoFile: the data directory has no database.
var errNoFile = errors.New("there is no log in")

func openSQLite(ctx context.Context, p paths, to access) (storage.Store, error) {
	if _, err := os.Stat(p.db); err != nil && to != creating {
		return nil, fmt.Errorf("%w %s: %w", errNoFile, p.dir, err)
	}
	if to == reading {
		store, err := sqlite.OpenBeside(ctx, p.db)
		if err != nil {
			return nil, err
		}
		return store, nil
	}
	store, err := sqlite.Open(ctx, p.db, sqlite.Options{})
	if errors.Is(err, sqlite.ErrLocked) && to == changing {
		return nil, fmt.Errorf("%w\nThis command changes the log, and no server may run beside it: stop that of %s first. "+
			"logserver guard status and logserver fsck only read, and run beside a server", err, p.dir)
	}
	if err != nil {
		return nil, err
	}
	return store, nil
}

// findLog finds the one log that is meant.
func findLog(ctx context.Context, store storage.Store, origin string) (storage.Log, error) {
	logs, err := store.Logs(ctx)
	if err != nil {
		return storage.Log{}, err
	}
	var names []string
	for _, l := range logs {
		if l.Origin == origin || origin == "" && len(logs) == 1 {
			return l, nil
		}
		names = append(names, l.Origin)
	}
	switch {
	case len(logs) == 0:
		return storage.Log{}, fmt.Errorf("%w: the database holds no log", storage.ErrNotFound)
	case origin == "":
		return storage.Log{}, fmt.Errorf("the database holds several logs (%s): say which with --origin", strings.Join(names, ", "))
	}
	return storage.Log{}, fmt.Errorf("%w: %w %q, but %s", storage.ErrNotFound, errAnother, origin, strings.Join(names, ", "))
}

// errAnother: the database holds logs, and not the one that is meant.
var errAnother = errors.New("the database holds no log")

// opened is a log's parts, ready to run.
type opened struct {
	store    storage.Store
	record   storage.Log
	signer   *checkpoint.KeySigner
	mldsa    *checkpoint.Cosigner // nil: the log signs with signer alone
	register registers.Register
	created  bool
	place    string            // where register is, or would be
	lost     error             // why register is nil, where that is allowed
	kept     *publication.Kept // the folder of --publish-to; nil: none
	undo     []func() error
}

// cosigners are the log's keys that sign with a time.
func (o *opened) cosigners() []*checkpoint.Cosigner {
	if o.mldsa == nil {
		return nil
	}
	return []*checkpoint.Cosigner{o.mldsa}
}

func (o *opened) close() error {
	var errs []error
	if o.register != nil {
		errs = append(errs, o.register.Close())
	}
	if o.store != nil {
		errs = append(errs, o.store.Close())
	}
	return errors.Join(errs...)
}

// abandon closes the parts, and takes back what was made for a log that is not
// whole, the newest first. What was there before stays.
func (o *opened) abandon() error {
	var errs []error
	if o.register != nil {
		errs = append(errs, o.register.Close())
		o.register = nil
	}
	for _, undo := range slices.Backward(o.undo) {
		errs = append(errs, undo())
	}
	o.undo = nil
	return errors.Join(append(errs, o.close())...)
}

// keep says that what was made stays.
func (o *opened) keep() { o.undo = nil }

// removes has a file removed when the log is abandoned.
func (o *opened) removes(path string) {
	o.undo = append(o.undo, func() error { return os.Remove(path) })
}

// open opens a log's parts. With create, a log that is not there is made; until
// keep is called, abandon takes that back.
func open(ctx context.Context, v config.Values, create, adoptKey bool) (o *opened, err error) {
	p := pathsOf(v)
	if kind, at := registers.KindOf(p.register); kind == registers.File {
		if info, err := os.Stat(at); err == nil && info.IsDir() {
			return nil, fmt.Errorf("--register %s is a directory; name a file in it", at)
		}
	}
	o = &opened{}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.abandon())
			o = nil
		}
	}()
	if err := o.openStore(ctx, v, p, create); err != nil {
		return o, err
	}
	err = storage.ErrNotFound
	if o.store != nil {
		o.record, err = findLog(ctx, o.store, v.Text("origin"))
	}
	if errors.Is(err, errAnother) && v.Text("storage") == "sqlite" {
		return o, fmt.Errorf("%w; a log's origin cannot be changed: give each log a data directory of its own (--data-dir)", err)
	}
	if errors.Is(err, storage.ErrNotFound) && create {
		return o, o.make(ctx, v, p, adoptKey)
	}
	if errors.Is(err, storage.ErrNotFound) {
		return o, orphans(ctx, v, p, err)
	}
	if err != nil {
		return o, err
	}
	return o, o.load(ctx, v, p)
}

// openStore opens the database. Where a log may be made, one of SQLite is made if
// it is not there. The tables of one of MySQL are not made yet: store is nil, and
// what making them takes was tried, before anything else is made.
func (o *opened) openStore(ctx context.Context, v config.Values, p paths, create bool) (err error) {
	if !create {
		o.store, err = openStore(ctx, v, changing)
		return err
	}
	if err := o.makeDir(p.dir); err != nil {
		return fmt.Errorf("create the data directory: %w", err)
	}
	if v.Text("storage") == "mysql" {
		o.store, err = openStore(ctx, v, trying)
		if errors.Is(err, mysql.ErrEmpty) {
			return nil
		}
		if !mysql.OtherSchema(err) { // which is brought up to date
			return err
		}
	}
	if o.store, err = openStore(ctx, v, creating); err != nil {
		return err
	}
	if file, ok := o.store.(*sqlite.Store); ok && file.Made() {
		o.undo = append(o.undo, func() error {
			o.store = nil
			return file.Remove()
		})
	}
	return nil
}

// makeDir makes a directory and those above it that are not there.
func (o *opened) makeDir(dir string) error {
	var made []string
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		if _, err := os.Stat(at); !errors.Is(err, os.ErrNotExist) {
			break
		}
		made = append(made, at)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, at := range slices.Backward(made) {
		o.undo = append(o.undo, func() error {
			os.Remove(at) // unless somebody put something into it
			return nil
		})
	}
	return nil
}

// orphans adds to "there is no log" that there is a key or a register of one.
func orphans(ctx context.Context, v config.Values, p paths, err error) error {
	const orphan = "%w, and yet there is %s: this is not the database of the log that it belongs to, or it was emptied; " +
		"point to the right one, or restore it"
	if _, stat := os.Stat(p.key); stat == nil {
		if _, bad := loadKey(v, p); bad != nil {
			return fmt.Errorf("%w, and --log-key: %w", err, bad)
		}
		return fmt.Errorf(orphan, err, p.key)
	}
	origin, nameless := givenOrigin(v)
	if nameless != nil {
		return errors.Join(err, nameless)
	}
	there, unknown := registers.Exists(ctx, p.register, origin)
	switch {
	case unknown != nil:
		return fmt.Errorf("%w, and whether it has a register is not known: %w", err, unknown)
	case there:
		return fmt.Errorf(orphan, err, "the register "+p.register)
	}
	return fmt.Errorf("%w: create it with logserver init", err)
}

// openAnyway opens a log that exists, even one without its register.
func openAnyway(ctx context.Context, v config.Values, to access) (o *opened, err error) {
	o = &opened{}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.close())
			o = nil
		}
	}()
	p := pathsOf(v)
	if o.store, err = openStore(ctx, v, to); err != nil {
		return o, err
	}
	if o.record, err = findLog(ctx, o.store, v.Text("origin")); err != nil {
		return o, err
	}
	if err := o.loadSigner(v, p); err != nil {
		return o, err
	}
	if o.lost = o.loadRegister(ctx, p); o.lost != nil && o.register != nil {
		err = o.register.Close()
		o.register = nil
	}
	return o, err
}

// load opens the key and the register of a log that exists.
func (o *opened) load(ctx context.Context, v config.Values, p paths) error {
	if err := o.loadSigner(v, p); err != nil {
		return err
	}
	return o.loadRegister(ctx, p)
}

func (o *opened) loadSigner(v config.Values, p paths) error {
	key, err := loadKey(v, p)
	if err != nil {
		return fmt.Errorf("the key of log %q: %w", o.record.Origin, err)
	}
	if o.signer, err = checkpoint.NewSigner(o.record.Origin, key); err != nil {
		return err
	}
	if vkey := o.signer.Verifier().String(); !has(o.record.Keys, vkey) {
		return fmt.Errorf("%s is not the key of log %q: its vkey is %s, and the log's is %s; give the log's own key with --log-key",
			p.key, o.record.Origin, vkey, strings.Join(o.record.Keys, ", "))
	}
	return nil
}

func (o *opened) loadRegister(ctx context.Context, p paths) (err error) {
	o.place = p.registerAt(o.record.Register)
	o.register, err = registers.Open(ctx, o.place, o.record.Origin)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return &goneError{fmt.Sprintf("log %q exists, and its register (%s) does not: without the register it is not known what the log signed; "+
			"put the register back, or give its place with --register (one that is lost for good is replaced by logserver guard accept)%s", o.record.Origin, o.place, o.elsewhere(p))}
	case errors.Is(err, guard.ErrCorrupt):
		return fmt.Errorf("%w; restore the register from its newest copy", err)
	case err != nil:
		return fmt.Errorf("%w; without its register the log signs nothing", err)
	case o.register.ID() != o.record.Register || o.register.Origin() != o.record.Origin:
		return fmt.Errorf("%s %w %q (id %s), and log %q has the one with id %s; give the log's own with --register",
			o.place, errOtherRegister, o.register.Origin(), o.register.ID(), o.record.Origin, o.record.Register)
	}
	return nil
}

// errOtherRegister: the register that was opened belongs to another log.
var errOtherRegister = errors.New("is the register of log")

// goneError says that the register is not there. It is [os.ErrNotExist].
type goneError struct{ text string }

func (e *goneError) Error() string        { return e.text }
func (e *goneError) Is(target error) bool { return target == os.ErrNotExist }

func has(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func password(v config.Values, setting string) ([]byte, error) {
	file := v.Text(setting)
	if file == "" {
		return nil, nil
	}
	text, err := secret.Line(file)
	return []byte(text), err
}

func loadKey(v config.Values, p paths) (crypto.Signer, error) {
	pw, err := password(v, "log-key-password-file")
	if err != nil {
		return nil, err
	}
	return keys.Load(p.key, pw)
}

// make creates a log: its keys, its register, and its row last. An error takes
// all of it back. When the process ends in between, the register is still at the
// empty tree, which shows that nothing was signed, and the next run completes
// what is missing.
func (o *opened) make(ctx context.Context, v config.Values, p paths, adoptKey bool) error {
	origin, err := o.newOrigin(v, p)
	if err != nil {
		return err
	}
	if err := o.existing(ctx, v, p, origin, adoptKey); err != nil {
		return err
	}
	link, err := o.newKey(v, p, origin)
	if err != nil {
		return err
	}
	if err := o.moreKeys(ctx, v, p, origin); err != nil {
		return err
	}
	if o.register == nil {
		if err := o.newRegister(ctx, p, origin); err != nil {
			return err
		}
	}
	if o.store == nil {
		if o.store, err = openStore(ctx, v, creating); err != nil {
			return err
		}
	}
	if err := link(); err != nil {
		return err
	}
	o.created = true
	return o.createLog(ctx, v, origin)
}

// createLog writes the log's row. When it is not known whether it is there, what
// was made stays, and the next run completes it.
func (o *opened) createLog(ctx context.Context, v config.Values, origin string) (err error) {
	o.record, err = o.store.CreateLog(ctx, storage.Log{
		Instance: guard.NewID(), Origin: origin, Keys: []string{o.signer.Verifier().String()},
		Register: o.register.ID(), CreatedAt: time.Now().UTC().Truncate(time.Millisecond),
	}, storage.Head{Root: merkle.EmptyRoot()})
	if err != nil {
		if _, found := o.store.FindLog(ctx, origin); !errors.Is(found, storage.ErrNotFound) {
			o.keep()
		}
		return err
	}
	if v.Text("storage") == "mysql" {
		o.keep() // others see it from now on
	}
	return nil
}

// newOrigin is the name of a log that is created: the one that is given, else this
// host's. In the default data directory each log has a name of its own below the
// host's, so that a client who remembers the key of an earlier one can start over.
func (o *opened) newOrigin(v config.Values, p paths) (string, error) {
	origin, err := givenOrigin(v)
	if err != nil || v.Text("origin") != "" || v.Text("storage") != "sqlite" || !inDefaultDir(v) {
		return origin, err
	}
	// The file keeps the name for a creation that is interrupted.
	path := filepath.Join(p.dir, "origin")
	name, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		name = []byte(origin + "/" + strings.ToLower(rand.Text()[:8]) + "\n")
		o.removes(path)
		err = os.WriteFile(path, name, 0o600)
	}
	origin = strings.TrimSpace(string(name))
	if err == nil {
		err = checkpoint.ValidateOrigin(origin)
	}
	if err != nil {
		return "", fmt.Errorf("the name of the new log, %s: %w; give one with --origin", path, err)
	}
	return origin, nil
}

// givenOrigin is --origin, else this host's name.
func givenOrigin(v config.Values) (string, error) {
	origin := v.Text("origin")
	if origin != "" {
		return origin, nil
	}
	origin, err := hostname()
	if err != nil {
		return "", err
	}
	if err := checkpoint.ValidateOrigin(origin); err != nil {
		return "", fmt.Errorf("this host's name cannot name a log: %w; give a name with --origin", err)
	}
	return origin, nil
}

func inDefaultDir(v config.Values) bool {
	return filepath.Clean(v.Text("data-dir")) == filepath.Clean(defaultDir)
}

// existing takes over the register at the empty tree that an interrupted creation
// left, and refuses any other, and a key without one.
func (o *opened) existing(ctx context.Context, v config.Values, p paths, origin string, adoptKey bool) error {
	_, stat := os.Stat(p.key)
	id, bad := "", error(nil)
	if stat == nil {
		id, bad = keyedID(v, p, origin)
	}
	if o.place = p.newRegisterAt(id); o.place != "" {
		if err := o.otherRegister(ctx, o.place, origin); err != nil {
			return err
		}
		r, err := emptyRegister(ctx, o.place, origin)
		if err != nil {
			return err
		}
		if o.register = r; r != nil {
			return nil
		}
	}
	switch {
	case bad != nil:
		return fmt.Errorf("--log-key: %w; to have a key made, name a file that is not there", bad)
	case stat != nil || adoptKey:
		return nil
	}
	return fmt.Errorf("there is a key, %s, and no log that it belongs to: if it signed for a log, that log's database is not this one, "+
		"and a new log must not be made with its key; if it is new, say so with logserver init --adopt-key", p.key)
}

// keyedID is the id that the first register of the log's key has in the state
// folder.
func keyedID(v config.Values, p paths, origin string) (string, error) {
	key, err := loadKey(v, p)
	if err != nil {
		return "", err
	}
	signer, err := checkpoint.NewSigner(origin, key)
	if err != nil {
		return "", err
	}
	return registerID(signer), nil
}

// emptyRegister opens a register if there is one, which must be the log's and at
// the empty tree.
func emptyRegister(ctx context.Context, place, origin string) (registers.Register, error) {
	r, err := registers.Open(ctx, place, origin)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if errors.Is(err, guard.ErrCorrupt) {
		return nil, fmt.Errorf("%w; if it is a log's, restore it from its newest copy; if the log is to be new, remove it, or give another place with --register", err)
	}
	if err != nil {
		return nil, err
	}
	state, err := r.Read(ctx)
	if err == nil && (r.Origin() != origin || state.Newest.Size > 0 || state.Poisoned != "") {
		err = fmt.Errorf("there is a register, %s, of log %q, which signed a tree of size %d, and the database does not hold that log: "+
			"it was emptied, or is another; point to the right one, or restore it (a new log needs a register, a key and a name of its own)",
			place, r.Origin(), state.Newest.Size)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// otherRegister refuses the register of a log that the database holds as well, by
// another name than the one that is asked for.
func (o *opened) otherRegister(ctx context.Context, place, origin string) error {
	r, err := registers.Open(ctx, place, origin)
	if err != nil {
		return nil // emptyRegister says what is wrong with it
	}
	defer r.Close()
	if r.Origin() == origin || o.store == nil {
		return nil
	}
	if _, err := findLog(ctx, o.store, r.Origin()); err != nil {
		return nil
	}
	return fmt.Errorf("the database holds log %q, whose register %s is, and none by the name %q: a log's origin cannot be changed; "+
		"give --origin %s, or, for another log, a register and a key of its own (--register, --log-key)", r.Origin(), place, origin, r.Origin())
}
