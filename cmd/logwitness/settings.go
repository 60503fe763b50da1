//go:build unix

package main

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"indelible/checkpoint"
	"indelible/internal/config"
	"indelible/internal/redact"
)

// defaultKey is the key file of keygen and serve.
const defaultKey = "witness.key"

// settings is the table that flags, environment and file come from.
func settings() []config.Setting {
	return []config.Setting{
		{Name: "listen", Type: config.Text, Default: "127.0.0.1:8090", Help: "Address that logs and monitors ask."},
		{Name: "admin", Type: config.Text, Default: "127.0.0.1:8091", Help: "Address of the operator's port: health, metrics, profiles. Keep it private."},
		{Name: "data-dir", Type: config.File, Default: "./logwitness-data", Help: "Directory of the SQLite database and the register."},
		{Name: "key", Type: config.List, Default: defaultKey, Help: "Files of the witness's keys, one of each type: Ed25519, ML-DSA-44."},
		{Name: "name", Type: config.Text, Help: "The witness's name. Default: that in FILE.vkey beside each key, which keygen wrote."},
		{Name: "logs", Type: config.File, Help: "List of the logs to cosign for (logs/v0); logs that are added to the file later are cosigned too. Default: the logs that the witness knows already."},
		{Name: "feed", Type: config.File, Help: "Logs that the witness polls, because they do not send their checkpoints: a tlog-policy file with log lines, their URLs, and quorum none. Read at the start."},
		{Name: "feed-interval", Type: config.Duration, Default: "1m", Help: "Time between two polls of such a log; longer after failures."},
		{Name: "evidence", Type: config.File, Help: "Folder for the evidence against logs that contradict themselves. Default: evidence in the data directory."},
		{Name: "storage", Type: config.Text, Default: "sqlite", OneOf: []string{"sqlite", "mysql"}, Help: "The database: sqlite or mysql (MySQL 9.7, MariaDB 10.11 and later)."},
		{Name: "mysql-dsn-file", Type: config.File, Help: "File with the DSN, user:password@tcp(host:3306)/database; which only the witness may read."},
		{Name: "mysql-tls-ca", Type: config.File, Help: "Certificates (PEM) of the authorities that the server of MySQL or MariaDB is verified by. With it, or with --mysql-tls-cert, every connection is encrypted and verified. Default: the DSN's tls=."},
		{Name: "mysql-tls-cert", Type: config.File, Help: "Client certificate (PEM) for MySQL or MariaDB, for accounts with REQUIRE X509."},
		{Name: "mysql-tls-key", Type: config.File, Help: "Its private key; which only the witness may read. The three files are read again for each connection."},
		{Name: "wait-for-database", Type: config.Duration, Default: "0s", Help: "Time that a start waits for MySQL or MariaDB if it cannot be reached; 0s: it does not wait. It does not wait after a wrong password or database either."},
		{Name: "register", Type: config.File, Written: true, Help: "File of the register, the witness's memory outside its database; best on another disk. Default: register in the data directory."},
		{Name: "public-url", Type: config.Text, Help: "The witness's URL as logs reach it. Default: the address it listens on."},
		{Name: "tls-cert", Type: config.File, Help: "Certificate (PEM); read again when it changes."},
		{Name: "tls-key", Type: config.File, Help: "Its private key."},
		{Name: "shutdown-delay", Type: config.Duration, Default: "0s", Help: "How long the witness still takes requests after it was told to stop, while it says that it is not ready. In Kubernetes 5s to 10s; a second signal ends it at once."},
		{Name: "shutdown-timeout", Type: config.Duration, Default: "15s", Help: "Maximum time for running requests when the witness stops."},
		{Name: "access-log", Type: config.Bool, Default: "false", Help: "Write a line (INFO) for each request: method, path, status, bytes, seconds, client, request id. It has no query and no body."},
		{Name: "log-level", Type: config.Text, Default: "info", OneOf: []string{"debug", "info", "warn", "error"}, Help: "Lowest level that is written to standard error."},
	}
}

// check finds what is wrong with settings taken together.
func check(v config.Values) error {
	switch {
	case v.Text("storage") == "mysql" && v.Text("mysql-dsn-file") == "":
		return errors.New("storage mysql needs --mysql-dsn-file FILE, a file with user:password@tcp(host:3306)/database")
	case v.Text("storage") == "sqlite" && v.Text("mysql-dsn-file") != "":
		// Without this, a forgotten --storage would begin with an empty memory.
		return errors.New("--mysql-dsn-file is given, and the storage is sqlite: give --storage mysql, or leave it out")
	case (v.Text("tls-cert") == "") != (v.Text("tls-key") == ""):
		return errors.New("give both --tls-cert and --tls-key, or neither")
	case v.Duration("feed-interval") <= 0:
		return fmt.Errorf("--feed-interval %v: it must be more than nothing", v.Duration("feed-interval"))
	case len(v.List("key")) == 0:
		return errors.New("give a key with --key FILE; logwitness keygen makes one")
	}
	if name := v.Text("name"); name != "" {
		if err := checkpoint.ValidateOrigin(name); err != nil {
			return fmt.Errorf("--name: %w", err)
		}
	}
	return checkURL(v.Text("public-url"))
}

func checkURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.HasSuffix(text, "/") {
		return fmt.Errorf("--public-url %q: it must be like https://witness.example.com, without a slash at the end", redact.URL(text))
	}
	return nil
}

func databasePath(v config.Values) string { return filepath.Join(v.Text("data-dir"), "witness.db") }

func registerPath(v config.Values) string {
	if path := v.Text("register"); path != "" {
		return path
	}
	return filepath.Join(v.Text("data-dir"), "register")
}
