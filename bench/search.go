package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	pb "indelible/api/proto/indelible/v1"
)

// measureSearch compares searches with one SELECT by an index, in a log of
// signed entries.
func measureSearch(ctx context.Context, b *bench) error {
	p, err := b.startLog(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	if err := b.preloadSigned(ctx, p); err != nil {
		return err
	}
	db, err := b.lastDatabase()
	if err != nil {
		return err
	}
	defer db.Close()
	searches := []search{nativeSearch(p), rekorV1Search(p)}
	m, err := b.alternate(ctx, b.selects(db), b.searches(searches[0]), b.searches(searches[1]))
	if err != nil {
		return err
	}
	b.table.add(m[0].row(fmt.Sprintf("SELECTs by an index, %d clients", searchClients)))
	for i, s := range searches {
		b.table.add(m[i+1].row(fmt.Sprintf("searches for an artifact, %s, %d clients", s.name, searchClients)))
		b.table.add(row{
			what: "1/p99 of the searches, " + s.name, rate: m[i+1].times.perSecond(0.99), limit: m[0].times.perSecond(0.99), goal: 1. / 20,
			note: "limit: 1/p99 of the SELECTs",
		})
	}
	return nil
}

// preloadSigned fills a log with signed entries, and waits for its index.
func (b *bench) preloadSigned(ctx context.Context, p *process) error {
	start := time.Now()
	if err := fillSigned(ctx, p, b.o.preload); err != nil {
		return err
	}
	filled := time.Now()
	if err := awaitIndex(ctx, p, b.o.preload); err != nil {
		return err
	}
	b.table.add(row{
		what: "signed entries in batches of 512, until they are found", rate: float64(b.o.preload) / time.Since(start).Seconds(),
		note: fmt.Sprintf("%d entries in %.0f s; the index was %.2f s behind", b.o.preload, time.Since(start).Seconds(), time.Since(filled).Seconds()),
	})
	return nil
}

const searchClients = 8

// search is one of the ways to look for an artifact over REST.
type search struct {
	name string
	ask  func(ctx context.Context, web *web, digest [32]byte) ([]byte, error)
	hits func(answer []byte) (int, error)
}

func nativeSearch(p *process) search {
	return search{"native", func(ctx context.Context, web *web, digest [32]byte) ([]byte, error) {
		return web.body(ctx, p.http+"/v1/entries:search?artifact=sha256:"+hex.EncodeToString(digest[:]))
	}, nativeHits}
}

func nativeHits(answer []byte) (int, error) {
	var found struct {
		Entries []json.RawMessage `json:"entries"`
	}
	err := json.Unmarshal(answer, &found)
	return len(found.Entries), err
}

func rekorV1Search(p *process) search {
	return search{"Rekor v1", func(ctx context.Context, web *web, digest [32]byte) ([]byte, error) {
		return web.send(ctx, p.http+"/api/v1/index/retrieve", "application/json", fmt.Appendf(nil, `{"hash":"sha256:%x"}`, digest))
	}, rekorV1Hits}
}

func rekorV1Hits(answer []byte) (int, error) {
	var uuids []string
	err := json.Unmarshal(answer, &uuids)
	return len(uuids), err
}

// searches has clients look for artifacts that are in the log.
func (b *bench) searches(s search) way {
	return func(ctx context.Context, _ int) (measured, error) {
		web := newWeb(searchClients)
		defer web.close()
		r := closedLoop(ctx, searchClients, b.o.duration, func(ctx context.Context, _ int, n int64) error {
			answer, err := s.ask(ctx, web, digestOf(rand.Int64N(b.o.preload)))
			if err != nil || n%sampled != 0 {
				return err
			}
			hits, err := s.hits(answer)
			if err == nil && hits != 1 {
				err = fmt.Errorf("%d entries found of an artifact that has one", hits)
			}
			return err
		})
		return measured{result: r}, r.err
	}
}

// selects measures single SELECTs by an index, of the log's own rows.
func (b *bench) selects(db *sql.DB) way {
	return func(ctx context.Context, _ int) (measured, error) {
		db.SetMaxIdleConns(searchClients)
		stmt, err := db.PrepareContext(ctx, `SELECT COUNT(*) FROM entries WHERE log_id = 1 AND leaf_key = ?`)
		if err != nil {
			return measured{}, err
		}
		defer stmt.Close()
		r := closedLoop(ctx, searchClients, b.o.duration, func(ctx context.Context, _ int, _ int64) error {
			var n int64
			return stmt.QueryRowContext(ctx, rand.Int64()).Scan(&n)
		})
		return measured{result: r}, r.err
	}
}

func digestOf(n int64) [32]byte { return sha256.Sum256(fmt.Appendf(nil, "artifact %d", n)) }

// fillSigned adds signed entries in batches.
func fillSigned(ctx context.Context, p *process, count int64) error {
	cs, err := dial(p.grpc, 1)
	if err != nil {
		return err
	}
	defer cs.close()
	s, err := newSigned()
	if err != nil {
		return err
	}
	const size = 512
	client := pb.NewLogClient(cs[0])
	return onAllCores(int((count+size-1)/size), func(batch int) error {
		req := &pb.AddEntriesRequest{}
		for n := int64(batch) * size; n < min(count, int64(batch+1)*size); n++ {
			digest := digestOf(n)
			e, err := s.sign(digest[:])
			if err != nil {
				return err
			}
			req.Entries = append(req.Entries, e)
		}
		res, err := client.AddEntries(ctx, req)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(res.GetOutcomes(), func(o *pb.AddOutcome) bool { return o.GetError() != nil }); i >= 0 {
			return fmt.Errorf("entry %d: %s", i, res.GetOutcomes()[i].GetError().GetMessage())
		}
		return nil
	})
}

// awaitIndex waits until the index knows so many entries.
func awaitIndex(ctx context.Context, p *process, size int64) error {
	web := newWeb(1)
	defer web.close()
	for {
		var answer struct {
			CompleteTo int64 `json:"completeTo,string"`
		}
		body, err := web.body(ctx, p.http+"/v1/entries:search?artifact=sha256:"+hex.EncodeToString(make([]byte, 32)))
		if err == nil {
			err = json.Unmarshal(body, &answer)
		}
		if err != nil {
			return err
		}
		if answer.CompleteTo >= size {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
