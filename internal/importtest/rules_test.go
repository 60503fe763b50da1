package importtest

import "slices"

// rule is what a package may import of ours, and why.
type rule struct {
	allow []string
	why   string
}

const api = "api/proto/indelible/v1"

// rules has every package with code that is not a test. A new package needs a
// line here, and a change of the picture in docs/architecture.md.
func rules() map[string]rule {
	return map[string]rule{
		api:                            {nil, "generated code is a leaf"},
		"merkle":                       {nil, "the mathematics of the tree stand alone"},
		"checkpoint":                   {[]string{"merkle", "internal/redact"}, "a checkpoint holds a root"},
		"keys":                         {[]string{"internal/durable", "checkpoint", "internal/filename", "internal/secret"}, "keys sign checkpoints"},
		"keys/kms":                     {nil, "signs digests with keys that are elsewhere"},
		"keys/kms/kmstest":             {nil, "stand-ins for key management services"},
		"keys/kms/kmstest/vault":       {[]string{"keys/kms/kmstest"}, "one of them as a program, for tests in other modules"},
		"entry":                        {[]string{"merkle", "internal/strictjson"}, "an entry has a leaf hash"},
		"verify":                       {[]string{"merkle", "checkpoint", "entry", "internal/strictjson"}, "proves from bytes alone: a verifier that fetched would be no proof"},
		"verify/timestamp":             {nil, "timestamps of RFC 3161: knows neither bundles nor logs"},
		"verify/trustedroot":           {[]string{"verify", "verify/timestamp"}, "Sigstore's trusted root, as verify's trust"},
		"fsck":                         {[]string{"merkle"}, "the auditor recomputes: it must share nothing with what it audits"},
		"storage":                      {nil, "engines know rows and transactions, never the tree"},
		"storage/internal/rows":        {[]string{"internal/wait", "storage"}, "the statements that the SQL engines have in common"},
		"storage/mysql":                {[]string{"storage", "storage/internal/rows", "internal/mysqldb", "internal/sqlerror"}, "an engine"},
		"storage/sqlite":               {[]string{"internal/sqlitefile", "storage", "storage/internal/rows", "internal/sqlerror"}, "an engine"},
		"storage/memory":               {[]string{"storage"}, "an engine for tests"},
		"storage/faulty":               {[]string{"storage"}, "an engine that fails on demand, for tests"},
		"storage/storagetest":          {[]string{"storage"}, "what every engine must pass; that is all it may know of them"},
		"guard":                        {[]string{"internal/wait", "internal/durable", "merkle", "checkpoint"}, "the register knows heads, not how they are stored"},
		"guard/guardtest":              {[]string{"guard", "merkle"}, "what every register must pass; that is all it may know of them"},
		"guard/database":               {[]string{"guard", "internal/mysqldb"}, "a register in a second database"},
		"guard/object":                 {[]string{"guard", "internal/s3"}, "a register in an object store"},
		"guard/registers":              {[]string{"internal/secret", "guard", "guard/database", "guard/object", "internal/mysqldb"}, "opens a register of any kind by its place"},
		"log":                          {[]string{"merkle", "checkpoint", "entry", "storage", "guard", "internal/bytecache", "internal/growth"}, "the heart: it knows the storage contract and no engine, and no API"},
		"forward":                      {[]string{"internal/wait", "merkle", "fsck", "storage", "internal/growth"}, "brings a database forward: it signs nothing, and knows no register and no key"},
		"witness":                      {[]string{"merkle", "checkpoint", "internal/places"}, "cosigns any log: it knows neither log nor server nor storage"},
		"witness/sqlstate":             {[]string{"internal/sqlitefile", "witness", "witness/internal/group", "merkle", "checkpoint", "internal/mysqldb", "internal/sqlerror"}, "the witness's rows, in any of its databases"},
		"witness/register":             {[]string{"internal/durable", "witness", "witness/internal/group", "merkle"}, "the witness's memory outside of its database"},
		"witness/internal/group":       {nil, "work that waits for company"},
		"evidence":                     {[]string{"merkle", "checkpoint"}, "proves from bytes alone that a log contradicted itself"},
		"evidence/folder":              {[]string{"internal/durable", "evidence", "checkpoint"}, "files of evidence on disk, for whoever finds a contradiction"},
		"feeder":                       {[]string{"internal/wait", "internal/redact", "client", "witness", "evidence", "evidence/folder", "merkle", "checkpoint"}, "looks at other logs for the witness: it knows neither log nor server nor storage"},
		"quorum":                       {[]string{"internal/redact", "merkle", "checkpoint", "mirror/push"}, "asks witnesses for any log, and sends mirrors its entries: it knows neither log nor server"},
		"conformance":                  {[]string{"internal/wait", "internal/redact", "merkle", "checkpoint"}, "tries any witness from outside: it knows none, ours included"},
		"client":                       {[]string{"internal/wait", "internal/web", "internal/redact", "merkle", "checkpoint"}, "embeddable: neither server nor gRPC comes with it"},
		"mirror/source":                {[]string{"client", "evidence", "checkpoint", "merkle", "internal/bytecache"}, "reads any log: it knows neither copy nor monitor nor server"},
		"mirror/push":                  {[]string{"internal/wait", "merkle", "checkpoint", "mirror", "mirror/source", "witness", "internal/places", "internal/redact", "internal/web"}, "entries to mirrors and from clients, of any log; add-checkpoint is a witness's without signatures"},
		"mirror/sourcetest":            {[]string{"checkpoint", "merkle"}, "a log for tests"},
		"mirror":                       {[]string{"internal/wait", "internal/filelock", "mirror/source", "client", "evidence", "evidence/folder", "checkpoint", "merkle"}, "copies of logs on disk: it knows neither server nor storage"},
		"publication":                  {[]string{"log", "merkle", "checkpoint", "mirror", "internal/filelock", "internal/s3", "internal/wait"}, "a log as plain files: it knows neither server nor storage"},
		"monitor":                      {[]string{"internal/wait", "internal/durable", "client", "internal/filelock", "mirror/source", "entry", "evidence", "evidence/folder", "checkpoint", "merkle", "internal/redact", "internal/web"}, "watches any log: it knows neither copy nor server"},
		"mirror/serve":                 {[]string{"merkle", "checkpoint", "internal/bytecache"}, "serves copies as they are on disk: who writes them does not matter"},
		"page":                         {nil, "files and the HTML around them: it knows neither log nor server"},
		"page/prover":                  {[]string{"merkle", "checkpoint", "entry", "verify", "evidence"}, "proves from bytes alone, for the page in a browser"},
		"page/wasm":                    {[]string{"page/prover"}, "page/prover for browsers"},
		"server":                       {[]string{"internal/vitals", "log", "page", "checkpoint", "merkle", "server/admission", "server/failure", "server/rest", "internal/answers", "internal/transport", api}, "REST around the native service"},
		"server/rest":                  {[]string{"server/failure", "internal/transport"}, "bodies and JSON of any REST API"},
		"writers":                      {[]string{"entry", "internal/words"}, "who may write, from a policy: it knows no server and no network"},
		"writers/jwt":                  {[]string{"writers"}, "tokens of issuers: it knows no server"},
		"writers/jwt/jwttest":          {nil, "an issuer for tests"},
		"writers/gate":                 {[]string{"writers", "writers/jwt", "entry"}, "the policy of a server that runs, for every API"},
		"server/admission":             {[]string{"entry", "internal/fair", "internal/transport/rpc", "writers/gate"}, "which client a request is of, and when its turn is, for every API"},
		"server/failure":               {[]string{"internal/requestid", "entry", "log", "index", "internal/answers", "internal/fair", "writers"}, "the table from our errors to the wire"},
		"server/native":                {[]string{"log", "index", "entry", "merkle", "server/admission", "server/failure", "internal/answers", "internal/transport", api}, "one API; it knows no other, and no storage"},
		"server/rekorv1":               {[]string{"log", "entry", "merkle", "checkpoint", "index", "server/admission", "server/failure", "internal/answers", "internal/strictjson", "internal/transport", "internal/bytecache"}, "one API; it knows no other, and no storage"},
		"server/rekorv2":               {[]string{"log", "entry", "merkle", "server/admission", "server/failure", "server/rest", "internal/answers", "internal/fair", "internal/transport"}, "one API; it knows no other, and no storage"},
		"server/trustfiles":            {[]string{"trust", "server/failure"}, "serves what package trust makes"},
		"trust":                        {[]string{"internal/redact", "checkpoint"}, "pure: keys in, Sigstore's files out"},
		"doctor":                       {[]string{"internal/wait", "internal/redact", "client", "verify", "trust", "entry", "merkle", "checkpoint"}, "tries a log as its clients do"},
		"index":                        {[]string{"internal/wait", "log", "entry", "storage", "merkle"}, "follows the log; its rows are storage's"},
		"server/tiles":                 {[]string{"log", "entry", "merkle", "server/failure", "internal/answers", "internal/transport", "internal/bytecache", api}, "one API; it knows no other, and no storage"},
		"internal/strictjson":          {nil, "JSON that all readers read alike: pure"},
		"internal/wait":                {nil, "a pause that a context ends"},
		"internal/durable":             {nil, "changes of files that last"},
		"internal/sqlitefile":          {[]string{"internal/filelock"}, "a SQLite file for one process"},
		"internal/testkit":             {[]string{"internal/freeport"}, "what the tests of several packages need"},
		"internal/bytecache":           {nil, "bytes by key"},
		"internal/growth":              {[]string{"merkle", "storage"}, "rows of a tree that grows, for all who append"},
		"internal/sdnotify":            {nil, "a message to systemd"},
		"internal/describe":            {nil, "the commands of any program"},
		"internal/config":              {[]string{"internal/filename", "internal/sdnotify"}, "settings of any program"},
		"internal/redact":              {nil, "URLs without secrets"},
		"internal/progress":            {nil, "a bar on a terminal"},
		"internal/notices":             {nil, "a text that comes with every program"},
		"internal/web":                 {nil, "limits of any HTTP client"},
		"internal/filename":            {nil, "a file or a URI, in any setting"},
		"internal/s3":                  {nil, "objects in a store, for the register and the publication"},
		"internal/filelock":            {nil, "a file for one process"},
		"internal/places":              {nil, "memory for requests of slow clients"},
		"internal/secret":              {nil, "files with secrets, of any program"},
		"internal/words":               {nil, "numbers and their nouns"},
		"internal/tiledir":             {[]string{"merkle", "checkpoint", "fsck"}, "a log in a folder of files"},
		"internal/fair":                {nil, "processors shared among clients"},
		"internal/freeport":            {nil, "ports for processes"},
		"internal/dbtest":              {[]string{"internal/freeport"}, "runs databases"},
		"internal/mysqldb":             {[]string{"internal/secret"}, "connections to MySQL and MariaDB, of the log, of its register and of the witness"},
		"internal/sqlerror":            {nil, "which errors of a database are about its rows"},
		"internal/answers":             {[]string{"internal/fair"}, "bounds what reads cost, over any protocol"},
		"internal/transport":           {[]string{"internal/fair", "internal/requestid"}, "listeners and HTTP servers of any service"},
		"internal/transport/rpc":       {[]string{"internal/answers", "internal/fair", "internal/requestid", "internal/transport"}, "gRPC servers, for programs that speak it"},
		"internal/transport/adminport": {[]string{"internal/transport"}, "the admin port, for programs with metrics"},
		"internal/vitals":              {nil, "metrics of any server"},
		"internal/requestid":           {nil, "names of requests, over any protocol"},
		"internal/outage":              {nil, "few lines about what fails again and again"},
		"internal/importtest":          {nil, "tests"},
		"test/e2e":                     {nil, "tests of the programs"},
		"bench":                        {[]string{"monitor", "mirror/source", "merkle", "checkpoint", "entry", "guard", "guard/database", "storage", "storage/mysql", "storage/sqlite", "log", "server/native", "internal/freeport", "internal/dbtest", "internal/mysqldb", api}, "measures the program from outside, and the log with and without its guard"},
		"cmd/logcli":                   {[]string{"internal/wait", "page", "mirror/push", "mirror/serve", "internal/tiledir", "internal/transport", "internal/words", "mirror", "mirror/source", "evidence/folder", "internal/notices", "internal/describe", "internal/progress", "internal/redact", "internal/web", "internal/filename", "internal/config", "internal/secret", "client", "monitor", "verify", "verify/timestamp", "verify/trustedroot", "evidence", "trust", "doctor", "conformance", "fsck", "keys", "checkpoint", "entry", "merkle"}, "a client: neither log nor server nor storage"},
		"cmd/logwitness":               {[]string{"internal/secret", "internal/words", "internal/notices", "internal/describe", "internal/sdnotify", "internal/redact", "internal/filename", "feeder", "evidence", "witness", "witness/sqlstate", "witness/register", "checkpoint", "keys", "internal/config", "internal/mysqldb", "internal/transport", "internal/transport/adminport", "internal/requestid", "internal/vitals", "internal/outage"}, "wires a witness: neither log nor server nor storage"},
		"cmd/logserver": {[]string{
			"internal/wait", "internal/durable",
			"internal/secret",
			"internal/words",
			"log", "publication", "guard", "guard/registers", "entry", "keys", "keys/kms", "checkpoint", "merkle", "fsck", "storage", "storage/mysql", "storage/sqlite",
			"internal/notices", "internal/describe", "internal/sdnotify", "internal/filename", "internal/progress", "internal/redact", "internal/tiledir", "forward", "client", "index", "quorum", "trust", "server", "server/admission", "server/native", "server/rekorv1", "server/rekorv2", "server/tiles", "server/trustfiles", "writers", "writers/gate", "internal/answers", "internal/config", "internal/mysqldb", "internal/transport", "internal/transport/adminport", "internal/transport/rpc", "internal/requestid", "internal/vitals", "internal/outage", api,
		}, "wires everything; what is a choice is a switch here"},
	}
}

// onlyInTests is what code that is not a test must not import, and who may:
// packages that are for tests themselves.
func onlyInTests() map[string][]string {
	return map[string][]string{
		"testing":                               {"internal/testkit", "storage/storagetest", "guard/guardtest", "mirror/sourcetest", "writers/jwt/jwttest"},
		"testing/*":                             {"storage/storagetest", "guard/guardtest", "mirror/sourcetest", "writers/jwt/jwttest"},
		"github.com/transparency-dev/formats/*": nil,
		"github.com/rogpeppe/go-internal/*":     nil,
		"indelible/storage/memory":              {"storage/storagetest"},
		"indelible/storage/faulty":              {"storage/storagetest"},
		"indelible/storage/storagetest":         nil,
		"indelible/guard/guardtest":             nil,
		"indelible/writers/jwt/jwttest":         nil,
		"indelible/mirror/sourcetest":           nil,
		"indelible/keys/kms/kmstest":            {"keys/kms/kmstest/vault"},
		"indelible/internal/freeport":           {"internal/testkit", "bench", "internal/dbtest"},
		"indelible/internal/testkit":            nil,
		"indelible/internal/dbtest":             {"bench"},
		"indelible/internal/importtest":         nil,
		"indelible/test/e2e":                    nil,
	}
}

// impure is what makes a package more than a function of its arguments.
func impure() []string {
	return []string{"os", "os/*", "net", "net/*", "database/*", "syscall", "io/ioutil", "log", "log/*", "time", "math/rand", "math/rand/*", "path/filepath", "plugin", "runtime/*"}
}

// onlyText is named as if it were impure, and only takes text apart.
const onlyText = "net/url"

// pure packages import nothing impure, nor does what they import of others,
// the standard library aside (crypto/x509 knows package net for IP addresses).
func pure() []string {
	return []string{"merkle", "checkpoint", "entry", "verify", "evidence", "page/prover"}
}

// unreachable is what a package must not reach by any way.
func unreachable() map[string][]string {
	server := []string{"indelible/log", "indelible/server", "indelible/server/*", "indelible/storage", "indelible/storage/*", "database/sql", "modernc.org/*", "github.com/go-sql-driver/*"}
	// The clients of key management services double a program: only logserver,
	// which may sign by them, has them.
	services := []string{
		"indelible/keys/kms", "github.com/sigstore/sigstore/pkg/signature/kms", "github.com/sigstore/sigstore/pkg/signature/kms/*",
		"github.com/aws/*", "github.com/Azure/*", "cloud.google.com/*", "google.golang.org/api/*", "github.com/hashicorp/*",
	}
	// gRPC and what comes with it are a third of a small program.
	rpc := []string{"google.golang.org/grpc", "google.golang.org/grpc/*", "github.com/grpc-ecosystem/*", "indelible/api/*"}
	offline := []string{"net/http", "google.golang.org/grpc", "google.golang.org/grpc/*", "database/sql", "os/exec"}
	return map[string][]string{
		"merkle": {"net", "os/exec"},
		"verify": offline,
		// Not pure, as times are read there, but it asks nobody.
		"verify/timestamp":   offline,
		"verify/trustedroot": offline,
		"entry":              {"net/http", "google.golang.org/grpc", "google.golang.org/grpc/*", "database/sql"},
		"checkpoint":         {"net/http", "google.golang.org/grpc", "google.golang.org/grpc/*", "database/sql"},
		"storage":            {"database/sql"},
		"log":                {"net/http", "google.golang.org/grpc", "google.golang.org/grpc/*", "database/sql"},
		"client":             slices.Concat(server, rpc, []string{"google.golang.org/protobuf/*"}),
		"feeder":             server,
		"mirror/source":      server,
		"page/prover":        offline,
		"evidence":           {"net/http", "google.golang.org/grpc", "google.golang.org/grpc/*", "database/sql"},
		"keys":               services,
		"server/rekorv1":     services,
		"bench":              services,
		"cmd/logcli":         slices.Concat(server, services, rpc, []string{"github.com/prometheus/*"}),
		"cmd/logwitness":     slices.Concat(services, rpc, []string{"indelible/log", "indelible/server", "indelible/server/*", "indelible/storage", "indelible/storage/*"}),
	}
}
