package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// load adds entries from outside of the cluster, each once: nothing is tried again.
type load struct {
	url string
	key *ecdsa.PrivateKey

	mu      sync.Mutex
	added   []entry
	refused []string
	slowest time.Duration
	stop    chan struct{}
	wait    sync.WaitGroup
}

// entry is one that was added.
type entry struct {
	body  []byte
	index string
}

func newLoad(url string) (*load, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return &load{url: url, key: key, stop: make(chan struct{})}, err
}

// run has some clients add entries until they are told to stop.
func (l *load) run(ctx context.Context, clients int) {
	for range clients {
		l.wait.Go(func() {
			client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{}}
			for {
				select {
				case <-l.stop:
					return
				case <-time.After(10 * time.Millisecond):
					l.add(ctx, client)
				}
			}
		})
	}
}

// add adds an entry, and keeps what was answered.
func (l *load) add(ctx context.Context, client *http.Client) {
	body, err := l.request()
	began := time.Now()
	index := ""
	if err == nil {
		index, err = l.post(ctx, client, body)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest = max(l.slowest, time.Since(began))
	if err != nil {
		l.refused = append(l.refused, time.Now().Format("15:04:05 ")+err.Error())
		return
	}
	l.added = append(l.added, entry{body, index})
}

// request is a new hashedrekord.
func (l *load) request() ([]byte, error) {
	digest := sha256.Sum256([]byte(rand.Text()))
	signature, err := l.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(l.key.Public())
	if err != nil {
		return nil, err
	}
	return json.Marshal(object{"hashedRekordRequestV002": object{
		"digest": digest[:], "signature": object{"content": signature, "verifier": object{"publicKey": object{"rawBytes": public}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}},
	}})
}

// post adds an entry over Rekor v2, and returns its index.
func (l *load) post(ctx context.Context, client *http.Client, body []byte) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url+"/api/v2/log/entries", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	var said struct{ LogIndex string }
	if err := json.Unmarshal(answer, &said); err != nil || res.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("%s: %.200s", res.Status, answer)
	}
	return said.LogIndex, nil
}

// finish stops the clients, and demands that nothing was refused.
func (l *load) finish() (string, error) {
	close(l.stop)
	l.wait.Wait()
	said := fmt.Sprintf("%d adds, %d refused, the slowest took %d ms", len(l.added), len(l.refused), l.slowest.Milliseconds())
	if len(l.refused) > 0 {
		return said, fmt.Errorf("%s; the first: %s", said, l.refused[0])
	}
	return said, nil
}

// there demands that each entry that was answered is in the log at the index that it
// was given, and at another than every other: adding it again tells its index.
func (l *load) there(ctx context.Context) error {
	seen := map[string]bool{}
	for _, e := range l.added {
		index, err := l.post(ctx, http.DefaultClient, e.body)
		if err != nil || index != e.index || seen[index] {
			return fmt.Errorf("an entry that was number %s is now %s, %v", e.index, index, err)
		}
		seen[index] = true
	}
	return nil
}
