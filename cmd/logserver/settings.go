package main

import (
	"fmt"
	"os"
	"strconv"

	"indelible/internal/config"
	"indelible/internal/transport"
)

// settings is the table that flags, environment, file and documentation come
// from.
func settings() []config.Setting {
	return []config.Setting{
		{Name: "http", Type: config.Text, Default: "127.0.0.1:8080", Help: "Address of the HTTP port: REST APIs and tiles. Everyone who reaches it may write, unless --writers says otherwise."},
		{Name: "grpc", Type: config.Text, Default: "127.0.0.1:8081", Help: "Address of the gRPC port. Everyone who reaches it may write, unless --writers says otherwise."},
		{Name: "admin", Type: config.Text, Default: "127.0.0.1:8082", Help: "Address of the operator's port: health, metrics, profiles. Keep it private."},
		{Name: "data-dir", Type: config.File, Default: defaultDir, Help: "Directory of the SQLite database, the keys and, unless this is the default, the register."},
		{Name: "origin", Type: config.Text, Help: "The log's name, first line of every checkpoint; fixed when the log is created. Default: this host's name; for a SQLite log in the default data directory, a name of its own below it."},
		{Name: "storage", Type: config.Text, Default: "sqlite", OneOf: []string{"sqlite", "mysql"}, Help: "The database: sqlite or mysql (MySQL 9.7, MariaDB 10.11 and later)."},
		{Name: "mysql-dsn-file", Type: config.File, Help: "File with the DSN, user:password@tcp(host:3306)/database; which only the server may read."},
		{Name: "mysql-dsn", Type: config.Text, Help: "The DSN itself; refused where it carries a password that others could see: on the command line, and in a file that others can read."},
		{Name: "mysql-tls-ca", Type: config.File, Help: "Certificates (PEM) of the authorities that the server of MySQL or MariaDB is verified by, for the database and for a register in one. With it, or with --mysql-tls-cert, every connection is encrypted and verified. Default: the DSN's tls=."},
		{Name: "mysql-tls-cert", Type: config.File, Help: "Client certificate (PEM) for MySQL or MariaDB, for accounts with REQUIRE X509."},
		{Name: "mysql-tls-key", Type: config.File, Help: "Its private key; which only the server may read. The three files are read again for each connection."},
		{Name: "wait-for-database", Type: config.Duration, Default: "0s", Help: "Time that serve and init wait for MySQL or MariaDB if it cannot be reached, and the same for a register in a database; 0s: they do not wait. They do not wait after a wrong password or database either."},
		{Name: "log-key", Type: config.File, Help: "File of the log's Ed25519 key. Default: log.key in the data directory."},
		{Name: "log-key-password-file", Type: config.File, Help: "File with the password of an encrypted log key."},
		{Name: "mldsa-key", Type: config.File, Help: "File of an ML-DSA-44 key with which the log signs its checkpoints beside the Ed25519 one, for the time when a quantum computer breaks that one; the same for all replicas; created on first use."},
		{Name: "register", Type: config.File, Written: true, Schemes: []string{"mysql:", "s3:"}, Help: "The register, the log's memory outside its database, one for all replicas: a file, best on another disk; mysql:FILE, a second database, whose DSN the file holds; or s3://BUCKET/PREFIX?endpoint=URL&region=R, an object in a store that honours conditional writes, with credentials from the environment. Default: for the SQLite log in the default data directory, a file in the user's state home ($XDG_STATE_HOME/indelible/registers, else ~/.local/state/indelible/registers; in a container, name a volume that stays); for any other, and where there is no home, the file register in the data directory."},
		{Name: "witness-policy", Type: config.File, Help: "File that names witnesses and their quorum (C2SP tlog-policy). Nothing is published or answered that the quorum has not cosigned."},
		{Name: "mirrors", Type: config.List, Help: "Names of those witnesses of --witness-policy that are mirrors (C2SP tlog-mirror). Each is sent every entry, and cosigns what it has stored: if the quorum needs one, what was answered survives the loss of the database."},
		{Name: "witness-fail-open", Type: config.Bool, Default: "false", Help: "Publish without the quorum when it is not met within 2s."},
		{Name: "witness-refresh", Type: config.Duration, Default: "10m", Help: "Time after which the checkpoint of a log without new entries is cosigned again."},
		{Name: "entry-kinds", Type: config.List, NotZero: true, Default: "hashedrekord,dsse,intoto,rekord", OneOf: []string{"hashedrekord", "dsse", "intoto", "rekord", "raw"}, Help: "Kinds of entries that the log accepts. intoto and rekord come over Rekor v1 only; raw entries are opaque bytes without a signature."},
		{Name: "rekor-v2", Type: config.Bool, Default: "true", Help: "Serve Rekor v2's API, for cosign and other Sigstore clients, below /api/v2/ and over gRPC."},
		{Name: "rekor-v1", Type: config.Bool, Default: "true", Help: "Serve Rekor v1's API, for their older versions and rekor-cli, below /api/v1/."},
		{Name: "rekor-v1-key", Type: config.File, Schemes: []string{"awskms://", "azurekms://", "gcpkms://", "hashivault://", "openbao://"}, Help: "The ECDSA P-256 key that the Rekor v1 API signs with, one for all replicas: a file, made on first start; or the URI of a key in a key management service as cosign takes it, awskms://…, azurekms://…, gcpkms://…, hashivault://NAME or openbao://NAME, with credentials from the environment. Default: rekor-v1.key in the data directory."},
		{Name: "rekor-v1-key-password-file", Type: config.File, Help: "File with the password of an encrypted key of the Rekor v1 API."},
		{Name: "rekor-v1-host", Type: config.Text, Help: "Name in the Rekor v1 API's signed notes; sigstore-js looks for it in the log's URL. Default: the origin."},
		{Name: "rekor-v1-conflict", Type: config.Bool, Default: "false", Help: "Over Rekor v1, answer an entry that is in the log already with 409, as Rekor does; clients take that for an error."},
		{Name: "search", Type: config.Bool, Default: "true", Help: "Keep a search index, and answer searches."},
		{Name: "publish-to", Type: config.File, Written: true, Schemes: []string{"s3:"}, Help: "Where the log's checkpoint, tiles and entry bundles are kept as plain files, for a web server or a CDN: a directory, or s3://BUCKET/PREFIX?endpoint=URL&region=R, a bucket in a store that honours conditional writes, with credentials from the environment. A checkpoint is there only after all that it needs. Default: nowhere."},
		{Name: "publish-interval", Type: config.Duration, Default: "10s", NotZero: true, Help: "Minimum time from one checkpoint at --publish-to to the next."},
		{Name: "public-url", Type: config.Text, Help: "The log's URL as clients reach it, such as https://log.example.com, for the files below /trust/. Default: the one each client used."},
		{Name: "tls-cert", Type: config.File, Help: "Certificate (PEM) for the HTTP and gRPC ports; read again when it changes."},
		{Name: "tls-key", Type: config.File, Help: "Its private key; which only the server may read."},
		{Name: "tls-client-ca", Type: config.File, Help: "Authorities (PEM) by which client certificates are verified, for --writers. A client need not have one; one whose certificate is by another authority is turned away."},
		{Name: "writers", Type: config.File, Help: "File with the policy of who may write (see docs/writers.md), or none for a read-only server. Default: everyone who reaches the ports may write."},
		{Name: "trusted-proxies", Type: config.List, Help: "Addresses and networks (CIDR) of the proxies in front of the server, whose header X-Forwarded-For says which client a request is of. Without it each request is its sender's, and all clients behind one proxy share one client's part of the processors."},
		{Name: "max-body", Type: config.Size, Default: "8MiB", NotZero: true, Help: "Maximum size of a request."},
		{Name: "max-connections", Type: config.Number, Default: strconv.Itoa(transport.DefaultConnections), NotZero: true, Help: "Maximum open connections, of the HTTP port and of the gRPC port each; fewer if the process may not open that many files (RLIMIT_NOFILE). At the maximum, a new connection replaces the one that has been idle for the longest, else one whose client has been slow for a second or more; one that is at work keeps its place. Each costs some 20KiB, with TLS 50KiB."},
		{Name: "request-memory", Type: config.Size, Default: "64MiB", NotZero: true, Help: "Maximum memory for all large requests (over 64KiB each) until they are answered; max-body or more. A quarter is added for small requests alone. When it is full, the request that arrives the slowest is ended (503) for one that comes at once; where none is slow, large ones are told to come back later (503). Requests that arrive over gRPC have as much again."},
		{Name: "max-batch", Type: config.Number, Default: "1024", NotZero: true, Help: "Maximum entries of one append."},
		{Name: "max-queue", Type: config.Number, Default: "16384", NotZero: true, Help: "Maximum entries that wait, max-batch or more; beyond that, clients get 429 and try again later."},
		{Name: "max-queue-bytes", Type: config.Size, Default: "64MiB", NotZero: true, Help: "Maximum memory for entries that wait."},
		{Name: "linger", Type: config.Duration, Default: "0s", Help: "How long a batch waits for more entries. Under load, batches grow without it."},
		{Name: "add-timeout", Type: config.Duration, Default: "20s", NotZero: true, Help: "Maximum time until an add is answered. Sigstore's clients give up after 30s."},
		{Name: "tile-cache", Type: config.Size, Default: "64MiB", NotZero: true, Help: "Memory for hash tiles, from which the server makes proofs."},
		{Name: "response-cache", Type: config.Size, Default: "48MiB", Help: "Memory for full tiles and entry bundles that are ready to send, and the same again for what Rekor v1 signed."},
		{Name: "scrub-rate", Type: config.Number, Default: "256", Help: "Entries a second that a scrub in the background compares with the published tree, round after round; 0: none. It rests 19 times as long as it reads."},
		{Name: "max-clock-step", Type: config.Duration, Default: "10m", NotZero: true, Help: "Maximum time that the clock may be behind the last entry; beyond it, the log refuses entries."},
		{Name: "shutdown-delay", Type: config.Duration, Default: "0s", Help: "How long the server still takes requests after it was told to stop, while it says that it is not ready. In Kubernetes 5s to 10s, until no load balancer sends requests any more; with shutdown-timeout, less than terminationGracePeriodSeconds. A second signal ends it at once."},
		{Name: "shutdown-timeout", Type: config.Duration, Default: "15s", NotZero: true, Help: "Maximum time for running requests when the server stops."},
		{Name: "access-log", Type: config.Bool, Default: "false", Help: "Write a line (INFO) for each request over HTTP and gRPC: method, path, status, bytes, seconds, client, request id. It has no query and no body."},
		{Name: "log-level", Type: config.Text, Default: "info", OneOf: []string{"debug", "info", "warn", "error"}, Help: "Lowest level that is written to standard error."},
	}
}

// underLoad is what its readers want to know of two of them.
const underLoad = "\n## Many clients, and slow ones\n\n" +
	"Idle and slow clients, however many, keep nobody out; a request that is at work keeps what it has.\n\n" +
	"- **Connections.** When a port has `max-connections` of them, a new one takes the place of the one that is idle for\n" +
	"  the longest. Where none is idle, it takes that of the one whose client is the slowest in sending a request or in\n" +
	"  taking its answer, once it has been slow for a second (64KiB come at once, and what is more at 64KiB a second);\n" +
	"  then that of one with nothing but streams of gRPC over which nothing goes. The connection is closed without an\n" +
	"  answer, as idle ones are after two minutes: clients open another. While all are at work, new ones wait.\n" +
	"- **Memory.** The buffers for requests count against `request-memory` before they are made. When it is full, the\n" +
	"  request that arrives the slowest is answered 503 (`Retry-After: 1`), and its memory goes to a small one (64KiB)\n" +
	"  that asks for it, or to a large one if the slowest has been slow for a second. Where all of it is at work, who asks\n" +
	"  is answered 503. Over gRPC a request that does not end is canceled, and where there is no room it is `Unavailable`.\n" +
	"- **Processors.** Half of them verify signatures, over all APIs, and clients share them: while requests wait, each\n" +
	"  client that has some gets an equal part of the time, however many it sends and however expensive they are. A client is\n" +
	"  an IPv4 address, or the /64 of an IPv6 address; behind a proxy, what `trusted-proxies` lets the proxy say. At most 8,192\n" +
	"  verifications wait, and a client may have as many of them as there are places free; one more is answered 429 (503 on\n" +
	"  the Rekor paths; `Retry-After: 1`). What the entries of one request may cost is bounded by their size.\n" +
	"- A request may take 10s for its headers, of at most 16KiB, and 30s for all of it (408).\n"

// aboutMemory is what decides how much of it the process takes.
const aboutMemory = "\n## Memory\n\n" +
	"| setting | what a miss costs | what fits |\n|---|---|---|\n" +
	"| `tile-cache` | a proof reads a tile of 8KiB, from the database or a published file, and hashes 255 nodes | 16.5KiB for 256 entries: 64MiB for a million entries, 512MiB for eight million |\n" +
	"| `response-cache` | a bundle is 256 rows of the database; with `publish-to` a directory, it is one file. Both are hashed | 257KiB for a bundle of entries of 1KiB; five eighths are for full tiles and bundles |\n" +
	"| the same again for Rekor v1 | the entry is read and signed once more | answers of Rekor v1 as they were sent |\n\n" +
	"The garbage collector works harder as the process comes near a limit. It is 192MiB with the default caches, and follows\n" +
	"them: it has what they have less, or what they have more and a quarter on top (`tile-cache: 512MiB` makes it 752MiB). It is at\n" +
	"most four fifths of the memory that the container's control group has, and at least 64MiB. If `GOMEMLIMIT` or `GOGC` is in\n" +
	"the environment, it decides. The server warns at its start if the caches do not fit into the container.\n"

// signals is what they do.
const signals = "\n## Signals\n\n" +
	"| signal | logserver and logwitness |\n|---|---|\n" +
	"| SIGTERM, SIGINT | `/readyz` is 503 at once. The ports take requests for `shutdown-delay` more, then none; requests that run may take `shutdown-timeout`. A second signal ends the process at once. |\n" +
	"| SIGHUP | The settings and their files are read again. `log-level`, the files of `tls-cert`, `tls-key`, `tls-client-ca` and `writers`, and the file of logwitness's `logs` take effect; connections read the files of `mysql-dsn-file`, of a register `mysql:FILE` and of `mysql-tls-*` themselves; the log names other changed settings, which take effect after a restart. Among these are the files of `witness-policy` and of logwitness's `feed`: a log must ask new witnesses what they remember before it signs again, and a witness must accept the logs of a feed before it looks at them, and a start does both. Restart one replica after the other. What cannot be read is an error in the log, and what was in use before stays. |\n"

// documentation is docs/configuration.md.
func documentation() string {
	return "# Configuration of logserver\n\n" +
		"<!-- Made by `logserver config doc`; do not edit. -->\n\n" +
		"Each setting is a flag, an environment variable, and a key of the YAML file that `--config FILE`\n" +
		"(`INDELIBLE_CONFIG`) names. A flag wins over the environment, the environment over the file. A key that\n" +
		"is not in this table is an error; a variable that begins with `INDELIBLE_` and names no setting may be for another program,\n" +
		"and is warned of. `logserver config check` prints what is in effect, and where it came from.\n\n" +
		"```yaml\nstorage: mysql\nmysql-dsn-file: /etc/indelible/dsn\nregister: /var/lib/indelible-register/register\nentry-kinds: [hashedrekord, dsse]\n```\n\n" +
		config.Markdown(settings()) + underLoad + aboutMemory + signals
}

// hostname is the default origin.
func hostname() (string, error) {
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("find this host's name, the default origin: %w; give --origin", err)
	}
	return name, nil
}
