package index

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"indelible/internal/dbtest"
	"indelible/storage"
	"indelible/storage/mysql"
	"indelible/storage/sqlite"
)

// benchSize is how many entries are indexed.
const benchSize = 100_000

// BenchmarkFollower indexes a log from the first entry on. Each entry has two
// keys, of which one is shared by many.
func BenchmarkFollower(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "log.db")
		s, err := sqlite.Open(b.Context(), path, sqlite.Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		db, err := sql.Open("sqlite", "file:"+path)
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		benchFollower(b, s, func() (n int64) {
			if err := db.QueryRow("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()").Scan(&n); err != nil {
				b.Fatal(err)
			}
			return n
		})
	})
	b.Run("mariadb", func(b *testing.B) {
		server, err := dbtest.Start(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		defer server.Remove()
		if err := server.Exec(b.Context(), "CREATE DATABASE bench"); err != nil {
			b.Fatal(err)
		}
		s, err := mysql.Open(b.Context(), server.DSN("bench"), mysql.Options{Migrate: true})
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		db, err := sql.Open("mysql", server.DSN("bench"))
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		benchFollower(b, s, func() (n int64) {
			if _, err := db.Exec("ANALYZE TABLE search_rows"); err != nil {
				b.Fatal(err)
			}
			if err := db.QueryRow("SELECT data_length + index_length FROM information_schema.tables WHERE table_schema = 'bench' AND table_name = 'search_rows'").Scan(&n); err != nil {
				b.Fatal(err)
			}
			return n
		})
	})
}

func benchFollower(b *testing.B, store storage.Store, size func() int64) {
	w := newWorld(b, store)
	for i := int64(0); i < benchSize; {
		var bodies [][]byte
		for range 1000 {
			bodies = append(bodies, bodyOf(i, i))
			i++
		}
		w.publish(w.append(bodies...))
	}
	before := size()
	for b.Loop() {
		if err := Rebuild(b.Context(), store, w.id, nil); err != nil {
			b.Fatal(err)
		}
	}
	seconds := b.Elapsed().Seconds() / float64(b.N)
	b.ReportMetric(benchSize/seconds, "entries/s")
	b.ReportMetric(float64(size()-before)/benchSize, "bytes/entry")
	x := w.open(nil)
	begin := time.Now()
	const finds = 2000
	for i := range int64(finds) {
		hits, err := x.Find(b.Context(), artifactKey(i*37%benchSize), -1, 100)
		if err != nil || len(hits.Records) != 1 {
			b.Fatal(fmt.Sprint(len(hits.Records), err))
		}
	}
	b.ReportMetric(float64(time.Since(begin).Microseconds())/finds, "µs/find")
}
