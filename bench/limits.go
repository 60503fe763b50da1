package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The names of the limits, by which results look them up.
const (
	limitVerify = "limit: P-256 verifications"
	limitInsert = "limit: 1 KiB rows inserted, 1,024 a transaction"
	limitCommit = "limit: tiny commits, one connection"
	limitFsync  = "limit: 128 bytes written and fsynced"
	limitTile   = "limit: net/http serving a tile from memory"
	limitBundle = "limit: net/http serving a bundle from memory"
)

func limitGRPC(clients int) string {
	return fmt.Sprintf("limit: gRPC echo of 1 KiB, %d clients", clients)
}

func limitJSON(clients int) string {
	return fmt.Sprintf("limit: JSON POST echo of 1 KiB, %d clients", clients)
}

// measureLimits measures what the machine can do without the log.
func measureLimits(ctx context.Context, b *bench) error {
	for _, m := range []func(context.Context, *bench) error{
		measureVerify, measureFsync, measureEcho, measureStatic, measureInserts, measureCommits,
	} {
		if err := m(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// limit adds a limit's row.
func (b *bench) limit(what string, r result) error {
	b.table.add(row{what: what, rate: r.rate(), times: r.times})
	return r.err
}

func measureVerify(ctx context.Context, b *bench) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte("artifact"))
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		return err
	}
	return b.limit(limitVerify, closedLoop(ctx, runtime.NumCPU(), b.o.duration/2, func(context.Context, int, int64) error {
		if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], sig) {
			return fmt.Errorf("a good signature did not verify")
		}
		return nil
	}))
}

func measureFsync(ctx context.Context, b *bench) error {
	f, err := os.Create(filepath.Join(b.dir, "fsync"))
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 128)
	return b.limit(limitFsync, closedLoop(ctx, 1, b.o.duration/2, func(context.Context, int, int64) error {
		if _, err := f.Write(block); err != nil {
			return err
		}
		return f.Sync()
	}))
}

// measureEcho measures calls that do nothing, to a server in a process of its
// own, as the log's is.
func measureEcho(ctx context.Context, b *bench) error {
	echo, err := b.startEcho(ctx)
	if err != nil {
		return err
	}
	defer echo.stop()
	for _, clients := range []int{1, 64, 256, 1024} {
		conns, err := dial(echo.grpc, clients)
		if err != nil {
			return err
		}
		payload := wrapperspb.Bytes(make([]byte, 1024))
		r := closedLoop(ctx, clients, b.o.duration, func(ctx context.Context, c int, _ int64) error {
			return conns.of(c).Invoke(ctx, echoMethod, payload, new(wrapperspb.BytesValue))
		})
		conns.close()
		if err := b.limit(limitGRPC(clients), r); err != nil {
			return err
		}
	}
	body, err := json.Marshal(echoMessage{Data: make([]byte, 750)})
	if err != nil {
		return err
	}
	for _, clients := range []int{1, 64, 256, 1024} {
		web := newWeb(clients)
		r := closedLoop(ctx, clients, b.o.duration, func(ctx context.Context, _ int, _ int64) error {
			return web.post(ctx, echo.http+"/echo", body, new(echoMessage))
		})
		web.close()
		if err := b.limit(limitJSON(clients), r); err != nil {
			return err
		}
	}
	return nil
}

// measureStatic measures plain net/http with a tile and a bundle of 1 KiB
// entries in memory.
func measureStatic(ctx context.Context, b *bench) error {
	echo, err := b.startEcho(ctx)
	if err != nil {
		return err
	}
	defer echo.stop()
	for _, s := range []struct{ what, path string }{{limitTile, "/static/tile"}, {limitBundle, "/static/bundle"}} {
		web := newWeb(readClients)
		r := closedLoop(ctx, readClients, b.o.duration, func(ctx context.Context, _ int, _ int64) error {
			return web.get(ctx, echo.http+s.path)
		})
		web.close()
		if err := b.limit(s.what, r); err != nil {
			return err
		}
	}
	return nil
}

// measureInserts inserts rows like the log's own, with its index, on one
// connection and nothing else.
func measureInserts(ctx context.Context, b *bench) error {
	if b.o.engine != "mysql" {
		return nil
	}
	db, err := b.openDatabase(ctx, "bench_limit")
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `CREATE TABLE rows1k (log_id BIGINT NOT NULL, idx BIGINT NOT NULL, leaf_key BIGINT NOT NULL,
		leaf_hash BINARY(32) NOT NULL, integrated_at BIGINT NOT NULL, body MEDIUMBLOB NOT NULL,
		PRIMARY KEY (log_id, idx), KEY leaf (log_id, leaf_key)) ENGINE=InnoDB`); err != nil {
		return err
	}
	const perStatement, perTransaction = 256, 1024
	stmt, err := db.PrepareContext(ctx, `INSERT INTO rows1k VALUES `+strings.Repeat(`(1,?,?,?,?,?),`, perStatement-1)+`(1,?,?,?,?,?)`)
	if err != nil {
		return err
	}
	defer stmt.Close()
	r := closedLoop(ctx, 1, b.o.duration, func(ctx context.Context, _ int, n int64) error {
		return insertRows(ctx, db, stmt, n*perTransaction, perTransaction/perStatement, perStatement)
	})
	r.ops *= perTransaction
	r.times = nil
	return b.limit(limitInsert, r)
}

func insertRows(ctx context.Context, db *sql.DB, stmt *sql.Stmt, from int64, statements, rows int) error {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	body := make([]byte, 1024)
	for s := range statements {
		args := make([]any, 0, 5*rows)
		for i := range rows {
			idx := from + int64(s*rows+i)
			hash := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(idx)))
			args = append(args, idx, int64(binary.BigEndian.Uint64(hash[:])), hash[:], idx, body)
		}
		if _, err := tx.StmtContext(ctx, stmt).ExecContext(ctx, args...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func measureCommits(ctx context.Context, b *bench) error {
	m, err := b.commits(ctx, 0)
	if err != nil {
		return err
	}
	return b.limit(limitCommit, m.result)
}

// commits changes one row again and again, in a fresh database.
func (b *bench) commits(ctx context.Context, _ int) (measured, error) {
	db, err := b.openCommits(ctx)
	if err != nil {
		return measured{}, err
	}
	defer db.Close()
	for _, q := range []string{`CREATE TABLE c (id INT PRIMARY KEY, n BIGINT NOT NULL)`, `INSERT INTO c VALUES (1, 0)`} {
		if _, err := db.ExecContext(ctx, q); err != nil {
			return measured{}, err
		}
	}
	r := closedLoop(ctx, 1, b.o.duration/2, func(ctx context.Context, _ int, _ int64) error {
		_, err := db.ExecContext(ctx, `UPDATE c SET n = n + 1 WHERE id = 1`)
		return err
	})
	return measured{result: r}, r.err
}

// openCommits makes a database of the run's engine. SQLite has the settings of
// logserver and logwitness, with which a commit is on disk when it returns.
func (b *bench) openCommits(ctx context.Context) (*sql.DB, error) {
	if b.db != nil {
		return b.openDatabase(ctx, "bench_commit")
	}
	dir, err := os.MkdirTemp(b.dir, "commit")
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "commit.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// echoMessage is what the JSON echo carries: 750 bytes make 1,000 characters.
type echoMessage struct {
	Data []byte `json:"data"`
}

const echoMethod = "/bench.Echo/Echo"

// echoService answers a message with itself, without generated code.
func echoService() *grpc.ServiceDesc {
	handle := func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := new(wrapperspb.BytesValue)
		return in, decode(in)
	}
	return &grpc.ServiceDesc{
		ServiceName: "bench.Echo", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Echo", Handler: handle}},
	}
}

func echoHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		var m echoMessage
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err == nil {
			err = json.Unmarshal(body, &m)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(m)
	})
	mux.HandleFunc("POST /bytes", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Write(body)
	})
	mux.Handle("GET /static/tile", static(make([]byte, 8192)))
	mux.Handle("GET /static/bundle", static(make([]byte, 256*1026)))
	return mux
}

func static(data []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "x.bin", time.Time{}, bytes.NewReader(data))
	})
}
