package quorum

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"indelible/checkpoint"
)

// inside answers requests in the test's own process and time.
type inside map[string]*fake // by host

func (n inside) RoundTrip(r *http.Request) (*http.Response, error) {
	answered := make(chan *http.Response, 1)
	go func() {
		defer close(answered)
		defer func() { recover() }() // the connection is cut
		rec := httptest.NewRecorder()
		n[r.URL.Host].ServeHTTP(rec, r)
		answered <- rec.Result()
	}()
	select {
	case res := <-answered:
		if res == nil {
			return nil, errors.New("the connection was cut")
		}
		return res, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// newInside makes n witnesses of a log in a synctest bubble, k of which suffice,
// and has them asked.
func newInside(t *testing.T, log *tree, k, n int, cfg Config) ([]*fake, *Witnesses) {
	t.Helper()
	net, fakes := inside{}, make([]*fake, n)
	for i := range fakes {
		host := fmt.Sprintf("w%d.test", i)
		fakes[i] = &fake{t: t, key: fakeKey(t, byte(i)), log: log, url: "http://" + host, done: make(chan struct{})}
		net[host] = fakes[i]
	}
	t.Cleanup(func() {
		for _, f := range fakes {
			close(f.done)
		}
		synctest.Wait()
	})
	cfg.Policy, cfg.Client = policy(t, k, fakes...), &http.Client{Transport: net}
	return fakes, newWitnesses(t, log, cfg)
}

// is has a fake answer otherwise from now on.
func (f *fake) is(answer func(http.ResponseWriter) bool) {
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

// cosigns adds a fake's cosignature to a note.
func (f *fake) cosigns(t *testing.T, note []byte) []byte {
	t.Helper()
	o, err := checkpoint.Open(note, []checkpoint.Verifier{f.log.key.Verifier()})
	if err != nil {
		t.Fatal(err)
	}
	sig, err := f.key.Cosign(o.Checkpoint, time.Now().Unix())
	if err != nil {
		t.Fatal(err)
	}
	note, _, err = checkpoint.AddCosignatures(note, []checkpoint.Verifier{f.key.Verifier()}, sig)
	if err != nil {
		t.Fatal(err)
	}
	return note
}

func cut(http.ResponseWriter) bool { panic(http.ErrAbortHandler) }

func status(code int, header ...string) func(http.ResponseWriter) bool {
	return func(w http.ResponseWriter) bool {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		return true
	}
}

// knows is what the log's register says.
func knows(size int64) func(context.Context) (int64, error) {
	return func(context.Context) (int64, error) { return size, nil }
}

// A log that starts shows its witnesses the checkpoint that it published last.
// None of them shows a checkpoint itself.
func TestConfirm(t *testing.T) {
	other := func(f *fake) { f.answer = status(http.StatusUnprocessableEntity) }
	for name, test := range map[string]struct {
		spoil func(w []*fake)
		known int64
		fails error
		says  string
		asked []int         // add-checkpoint and look, by witness
		takes time.Duration // at most
	}{
		"all know it":                    {func([]*fake) {}, 5, nil, "", []int{1, 1, 1}, 0},
		"one was restored":               {func(w []*fake) { w[2].size = 3 }, 5, nil, "", []int{1, 1, 2}, 0},
		"one never saw the log":          {func(w []*fake) { w[2].size = 0 }, 5, nil, "", []int{1, 1, 2}, 0},
		"one is down":                    {func(w []*fake) { w[2].answer = cut }, 5, nil, "", []int{1, 1, 2}, 0},
		"one is silent":                  {func(w []*fake) { w[2].hold = make(chan struct{}) }, 5, nil, "", []int{1, 1, 1}, hearFor},
		"one knows more":                 {func(w []*fake) { w[1].size = 9 }, 5, ErrAhead, "witness w1 says that it cosigned size 9 of this log, and the newest that this log knows to be signed is size 5", []int{1, 2, 1}, 0},
		"all know more":                  {func(w []*fake) { w[0].size, w[1].size, w[2].size = 7, 8, 9 }, 5, ErrAhead, "witness w0 says that it cosigned size 7", []int{2, 2, 2}, 0},
		"one knows what a replica added": {func(w []*fake) { w[0].size, w[1].size = 9, 9 }, 9, nil, "", []int{2, 2, 1}, 0},
		"one holds another tree":         {func(w []*fake) { other(w[0]) }, 5, ErrAhead, "witness w0 says that the tree it cosigned is another one", []int{2, 1, 1}, 0},
		"two are down":                   {func(w []*fake) { w[0].answer, w[1].answer = cut, cut }, 5, ErrQuorum, "witness w0: ", []int{2, 2, 1}, 0},
		"two are silent":                 {func(w []*fake) { w[0].hold, w[1].hold = make(chan struct{}), make(chan struct{}) }, 5, ErrQuorum, "after 20s no answer yet from 2 of 3", []int{1, 1, 1}, 20 * time.Second},
		"one is silent and knows more, and one is down": {func(w []*fake) { w[0].hold, w[0].size, w[1].answer = make(chan struct{}), 9, cut }, 5, ErrQuorum, "witness w1: ", []int{1, 2, 1}, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newTree(t, 9)
				w, asks := newInside(t, log, 2, 3, Config{Wait: 20 * time.Second, Ahead: func(Claim) {}})
				for _, f := range w {
					f.size = 5
				}
				published := log.note(t, 5)
				for _, f := range w[:2] {
					published = f.cosigns(t, published)
				}
				test.spoil(w)
				before := time.Now()
				err := asks.Confirm(t.Context(), published, log.prove(5), knows(test.known))
				if !errors.Is(err, test.fails) || test.fails == nil && err != nil || test.says != "" && !strings.Contains(err.Error(), test.says) {
					t.Errorf("%v", err)
				}
				if took := time.Since(before); took > test.takes {
					t.Errorf("it took %s", took)
				}
				for i, f := range w {
					if n := f.count(); n != test.asked[i] {
						t.Errorf("witness %d was asked %d times, not %d", i, n, test.asked[i])
					}
				}
			})
		})
	}
}

// A log that published nothing asks as well: it may be one that was, emptied.
func TestConfirmEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newTree(t, 9)
		_, first := newInside(t, log, 1, 2, Config{})
		confirm := func(asks *Witnesses) error { return asks.Confirm(t.Context(), log.note(t, 0), log.prove(0), knows(0)) }
		if err := confirm(first); err != nil {
			t.Error(err)
		}
		w, asks := newInside(t, log, 1, 2, Config{})
		w[0].answer = status(http.StatusUnprocessableEntity) // it cosigns no empty tree, which says nothing of another
		if err := confirm(asks); err != nil {
			t.Error(err)
		}
		w, asks = newInside(t, log, 1, 2, Config{})
		w[1].size = 7
		if err := confirm(asks); !errors.Is(err, ErrAhead) || !strings.Contains(err.Error(), "size 7") {
			t.Errorf("%v", err)
		}
	})
}

// A witness that said that it knows more cannot be got rid of by cutting it off:
// its word counts until it cosigns.
func TestAClaimStandsUntilTheWitnessCosigns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newTree(t, 9)
		var told []Claim
		w, asks := newInside(t, log, 1, 2, Config{Ahead: func(c Claim) { told = append(told, c) }})
		w[0].size, w[1].size, w[1].shows = 5, 9, log.note(t, 9)
		confirm := func() error { return asks.Confirm(t.Context(), log.note(t, 5), log.prove(5), knows(5)) }
		for range 3 {
			if err := confirm(); !errors.Is(err, ErrAhead) {
				t.Errorf("%v", err)
			}
			w[1].is(cut)
			time.Sleep(time.Minute)
		}
		if len(told) == 0 || told[0].Witness != "w1" || told[0].Size != 9 || told[0].Other || !bytes.Equal(told[0].Note, w[1].shows) {
			t.Errorf("%+v", told)
		}
		w[1].is(nil)
		w[1].size = 5 // its operator put right what was wrong
		if err := confirm(); err != nil {
			t.Error(err)
		}
		if n := w[0].count(); n != 1 {
			t.Errorf("the one that confirmed was asked %d times", n)
		}
	})
}

// What a witness claims in an ordinary round counts as well.
func TestAClaimWhileTheLogRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newTree(t, 12)
		told := make(chan Claim, 10)
		w, asks := newInside(t, log, 1, 2, Config{Ahead: func(c Claim) { told <- c }})
		w[1].size = 9
		if _, err := asks.Cosign(t.Context(), log.note(t, 6), log.prove(6)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if c := <-told; c.Size != 9 || c.Witness != "w1" {
			t.Errorf("%+v", c)
		}
		if err := asks.Confirm(t.Context(), log.note(t, 6), log.prove(6), knows(6)); !errors.Is(err, ErrAhead) {
			t.Errorf("%v", err)
		}
	})
}

func TestConfirmFailOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newTree(t, 9)
		var said []error
		w, asks := newInside(t, log, 2, 2, Config{FailOpen: true, Wait: 2 * time.Second, Unconfirmed: func(err error) { said = append(said, err) }})
		w[0].size, w[1].hold = 5, make(chan struct{})
		confirm := func() error { return asks.Confirm(t.Context(), log.note(t, 5), log.prove(5), knows(5)) }
		if err := confirm(); err != nil || len(said) != 1 || !errors.Is(said[0], ErrQuorum) {
			t.Errorf("%v, said %v", err, said)
		}
		// It does not sign over a witness that knows more, be it one that is enough.
		w[1].mu.Lock()
		w[1].size = 9
		w[1].mu.Unlock()
		close(w[1].hold)
		synctest.Wait()
		time.Sleep(time.Minute)
		if err := confirm(); !errors.Is(err, ErrAhead) || len(said) != 1 {
			t.Errorf("%v, said %v", err, said)
		}
	})
}

// A witness that is down is asked less and less often, one that has cosigned a
// checkpoint is not asked for it again, and none is asked for one that will not
// be published.
func TestWitnessesRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newTree(t, 2000)
		w, asks := newInside(t, log, 2, 3, Config{Fresh: time.Hour})
		for _, f := range w[1:] {
			f.answer = status(http.StatusBadGateway)
		}
		every := func(d time.Duration, cosign func(second int) error) {
			t.Helper()
			for i := range int(d / time.Second) {
				if err := cosign(i); !errors.Is(err, ErrQuorum) || !strings.Contains(err.Error(), "it answered 502") {
					t.Fatalf("%v", err)
				}
				time.Sleep(time.Second)
			}
		}
		cosign := func(size int) error {
			_, err := asks.Cosign(t.Context(), log.note(t, size), log.prove(size))
			return err
		}
		every(10*time.Minute, func(int) error { return cosign(5) })
		if n := w[0].count(); n != 1 {
			t.Errorf("the witness that cosigned was asked %d times", n)
		}
		failing := w[1].count()
		if failing < 10 || failing > 30 {
			t.Errorf("the witness that is down was asked %d times in 10 minutes", failing)
		}
		// The log grows meanwhile.
		every(10*time.Minute, func(i int) error { return cosign(6 + i) })
		if n := w[1].count() - failing; n > 20 {
			t.Errorf("the witness that is down was asked %d times in 10 more minutes", n)
		}
		if n, m := w[0].count(), w[1].count()+w[2].count(); n > m {
			t.Errorf("the one that is well was asked %d times, and those that are not %d times", n, m)
		}
		// They are back, and well: a rest is short again.
		w[1].is(nil)
		for begun := time.Now(); cosign(1000) != nil; time.Sleep(time.Second) {
			if time.Since(begun) > maxRest {
				t.Fatal("it is not asked any more")
			}
		}
		w[0].is(status(http.StatusBadGateway))
		w[1].is(status(http.StatusBadGateway))
		if err := cosign(1001); err == nil {
			t.Fatal("cosigned by whom?")
		}
		w[0].is(nil)
		w[1].is(nil)
		time.Sleep(firstRest)
		if err := cosign(1001); err != nil {
			t.Error(err)
		}
	})
}

// One that limits requests is not asked before it wants to be, and does not
// block the log after the others are back.
func TestWitnessThatLimitsRequests(t *testing.T) {
	for name, header := range map[string]string{"seconds": "40", "a time": time.Date(2000, 1, 1, 0, 0, 40, 0, time.UTC).Format(http.TimeFormat)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newTree(t, 9)
				w, asks := newInside(t, log, 2, 2, Config{})
				w[0].answer, w[1].answer = status(http.StatusTooManyRequests, "Retry-After", header), cut
				cosign := func() error {
					_, err := asks.Cosign(t.Context(), log.note(t, 5), log.prove(5))
					return err
				}
				cosign()
				w[0].is(nil)
				w[1].is(nil)
				begun := time.Now()
				for cosign() != nil {
					time.Sleep(100 * time.Millisecond)
				}
				if took := time.Since(begun); took < 39*time.Second || took > 41*time.Second || w[0].count() != 2 || w[1].count() != 2 {
					t.Errorf("after %s, asked %d and %d times", took, w[0].count(), w[1].count())
				}
			})
		})
	}
}

// What comes after a round was given up counts for the next, unless it is too
// old by then; and a checkpoint that had enough is shown to all again.
func TestCosignaturesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newTree(t, 9)
		w, asks := newInside(t, log, 2, 2, Config{Wait: time.Second, Timeout: time.Minute, Fresh: 10 * time.Minute})
		w[1].hold = make(chan struct{})
		cosign := func() (string, error) {
			note, err := asks.Cosign(t.Context(), log.note(t, 5), log.prove(5))
			return string(note), err
		}
		if _, err := cosign(); !errors.Is(err, ErrQuorum) {
			t.Fatal(err)
		}
		close(w[1].hold)
		synctest.Wait()
		first, err := cosign()
		if err != nil || cosigned(t, log, []byte(first), w...) != 2 || w[0].count() != 1 || w[1].count() != 1 {
			t.Errorf("%v, asked %d and %d times", err, w[0].count(), w[1].count())
		}
		time.Sleep(5 * time.Minute)
		again, err := cosign()
		if err != nil || again == first || w[0].count() != 2 || w[1].count() != 2 {
			t.Errorf("%v, asked %d and %d times", err, w[0].count(), w[1].count())
		}
		// One is an hour away: what the other gave has grown old.
		w[1].is(cut)
		for begun := time.Now(); time.Since(begun) < time.Hour; time.Sleep(time.Second) {
			cosign()
		}
		if n := w[0].count(); n < 2+6 || n > 2+7 {
			t.Errorf("asked %d times in an hour", n-2)
		}
	})
}
