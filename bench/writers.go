package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	pb "indelible/api/proto/indelible/v1"
)

const (
	writerPrincipals = 1000
	writerRules      = 200
	// goalWriters is how much of the rate without a policy is left with one.
	goalWriters = 0.93
)

// measureWriters compares a log that has a policy of writers with one that has none,
// and then what a neighbour keeps beside a principal that floods the log.
func measureWriters(ctx context.Context, b *bench) error {
	const clients = 256
	dir, err := os.MkdirTemp("", "bench-writers")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	policy := filepath.Join(dir, "writers.yaml")
	if err := os.WriteFile(policy, []byte(largePolicy()), 0o600); err != nil {
		return err
	}
	signed, err := b.signInAdvance()
	if err != nil {
		return err
	}
	m, err := b.alternate(ctx, b.signedWay(nativeAPI(), signed, clients), b.writersWay(signed, clients, policy))
	if err != nil {
		return err
	}
	b.table.add(m[0].row(fmt.Sprintf("signed adds, REST, %d clients, anybody may write", clients)))
	b.table.add(m[1].against(m[0], fmt.Sprintf("with a policy of %d principals and %d rules", writerPrincipals, writerRules), "anybody may write", goalWriters))
	return b.floods(ctx, policy)
}

// largePolicy gives each principal a token and one of the rules, which looks at the
// entry. The last principal may add one entry an hour.
func largePolicy() string {
	var out strings.Builder
	out.WriteString("principals:\n")
	for i := range writerPrincipals {
		fmt.Fprintf(&out, "- {name: p%d, tokens: [\"sha256:%x\"]}\n", i, sha256.Sum256([]byte(tokenOf(i))))
	}
	fmt.Fprintf(&out, "- {name: flood, tokens: [\"sha256:%x\"]}\nrules:\n- {name: flood, principals: [flood], rate: 1/h}\n", sha256.Sum256([]byte("flood")))
	for r := range writerRules - 1 {
		fmt.Fprintf(&out, "- {name: rule %d, entry: 'entry.kind in [\"hashedrekord\", \"dsse\"] && entry.size < 20000', rate: 1000000/s, burst: 1000000, principals: [", r)
		for i := r; i < writerPrincipals; i += writerRules - 1 {
			fmt.Fprintf(&out, "p%d, ", i)
		}
		out.WriteString("]}\n")
	}
	return out.String()
}

func tokenOf(principal int) string { return fmt.Sprintf("indelible_bench_%d", principal) }

// writersWay has clients add signed entries, each as another principal.
func (b *bench) writersWay(signed []*pb.HashedRekord, clients int, policy string) way {
	var bodies [][]byte
	return func(ctx context.Context, _ int) (measured, error) {
		if bodies == nil {
			bodies = make([][]byte, len(signed))
			if err := onAllCores(len(signed), func(i int) (err error) {
				bodies[i], err = nativeAPI().body(signed[i])
				return err
			}); err != nil {
				return measured{}, err
			}
		}
		p, err := b.startLog(ctx, "--writers", policy)
		if err != nil {
			return measured{}, err
		}
		defer p.stop()
		web := newWeb(clients)
		defer web.close()
		m := b.meter([]*process{p})
		r := closedLoop(ctx, clients, b.o.duration, func(ctx context.Context, _ int, n int64) error {
			if n >= int64(len(bodies)) {
				return fmt.Errorf("out of signed entries after %d", n)
			}
			status, err := postBy(ctx, web, tokenOf(int(n%writerPrincipals)), p.http+nativeAPI().path, bodies[n])
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("an add was answered %d", status)
			}
			return err
		})
		return measured{r, m.note()}, r.err
	}
}

// postBy posts with a token, and returns the answer's status.
func postBy(ctx context.Context, w *web, token, url string, body []byte) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := w.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// floods compares what a neighbour adds alone with what it adds while a principal whose
// rate is used up sends as much as it can.
func (b *bench) floods(ctx context.Context, policy string) error {
	p, err := b.startLog(ctx, "--writers", policy)
	if err != nil {
		return err
	}
	defer p.stop()
	signed, err := newSigned()
	if err != nil {
		return err
	}
	if err := spend(ctx, p, signed); err != nil {
		return err
	}
	next := int64(0)
	flooded := func(attackers int) way {
		return func(ctx context.Context, _ int) (measured, error) {
			m := b.meter([]*process{p})
			end, refused := flood(ctx, p.http+nativeAPI().path, attackers)
			web := newWeb(neighbours)
			defer web.close()
			from := next
			next += 1 << 32 // what no other round used
			r := closedLoop(ctx, neighbours, b.o.duration, func(ctx context.Context, _ int, n int64) error {
				e, err := signed.make(from + n)
				if err != nil {
					return err
				}
				body, err := nativeAPI().body(e.GetHashedRekord())
				if err != nil {
					return err
				}
				status, err := postBy(ctx, web, tokenOf(0), p.http+nativeAPI().path, body)
				if err == nil && status != http.StatusOK {
					err = fmt.Errorf("an add was answered %d", status)
				}
				return err
			})
			note := m.note()
			end()
			if attackers > 0 {
				note = join(note, fmt.Sprintf("%d requests refused", refused.Load()))
			}
			return measured{r, note}, r.err
		}
	}
	refused := func(ctx context.Context, _ int) (measured, error) {
		web := newWeb(neighbours)
		defer web.close()
		m, body := b.meter([]*process{p}), bytes.Repeat([]byte("x"), addSize)
		r := closedLoop(ctx, neighbours, b.o.duration, func(ctx context.Context, _ int, _ int64) error {
			status, err := postBy(ctx, web, "flood", p.http+nativeAPI().path, body)
			if err == nil && status != http.StatusTooManyRequests {
				err = fmt.Errorf("a request was answered %d, and not refused", status)
			}
			return err
		})
		return measured{r, m.note()}, r.err
	}
	m, err := b.alternate(ctx, flooded(0), flooded(4), flooded(64), refused)
	if err != nil {
		return err
	}
	b.table.add(m[0].row(fmt.Sprintf("signed adds of a principal, REST, %d clients, alone", neighbours)))
	for i, attackers := range []int{4, 64} {
		b.table.add(m[i+1].against(m[0], fmt.Sprintf("beside a principal that is refused over %d connections", attackers), "alone", 1.0/3))
	}
	b.table.add(m[3].row(fmt.Sprintf("requests refused by their writer's rate, REST, %d clients, which wait beyond 100 a second", neighbours)))
	return nil
}

// addSize is about how many bytes an add has.
const addSize = 800

// spend uses up the rate of the principal flood.
func spend(ctx context.Context, p *process, signed *signedEntries) error {
	web := newWeb(1)
	defer web.close()
	e, err := signed.make(-1)
	if err != nil {
		return err
	}
	body, err := nativeAPI().body(e.GetHashedRekord())
	if err != nil {
		return err
	}
	status, err := postBy(ctx, web, "flood", p.http+nativeAPI().path, body)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("an add was answered %d", status)
	}
	return err
}

// flood sends requests of the principal flood, until end is called.
func flood(ctx context.Context, url string, connections int) (end func(), refused *atomic.Int64) {
	ctx, cancel := context.WithCancel(ctx)
	web, refused := newWeb(max(1, connections)), new(atomic.Int64)
	body := bytes.Repeat([]byte("x"), addSize)
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			for ctx.Err() == nil {
				if status, err := postBy(ctx, web, "flood", url, body); err == nil && status == http.StatusTooManyRequests {
					refused.Add(1)
				}
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
		web.close()
	}, refused
}
