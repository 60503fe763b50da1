package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"indelible/internal/words"
)

const (
	// scrubTimeout is how long guard status waits for the server's answer.
	scrubTimeout = 3 * time.Second
	// scrubAnswer is the maximum of bytes that it reads of it.
	scrubAnswer = 1 << 20
	scrubPrefix = "indelible_scrub_"
)

// askScrub asks the server at an admin port how far its scrub is; empty if it does
// not say.
func askScrub(ctx context.Context, at string) map[string]float64 {
	ctx, cancel := context.WithTimeout(ctx, scrubTimeout)
	defer cancel()
	metrics, err := askAdmin(ctx, at, "/metrics")
	if err != nil {
		return nil
	}
	return scrubMetrics(metrics)
}

// printScrub writes how far the scrub is.
func (s serverSight) printScrub(w io.Writer) {
	if _, ok := s.scrub["findings"]; !ok {
		fmt.Fprintf(w, "scrub      not known: the server at %s (--admin) has no scrub\n", s.at)
		return
	}
	fmt.Fprintf(w, "scrub      at entry %.0f after %s  damaged parts %.0f\n           as the server at %s says\n",
		s.scrub["position"], words.Count(int64(s.scrub["rounds"]), "round"), s.scrub["findings"], s.at)
	if end := s.scrub["last_round_timestamp_seconds"]; end > 0 {
		fmt.Fprintf(w, "           last round ended at %s, after %s\n", stamp(int64(end)*1000), time.Duration(s.scrub["last_round_seconds"]*float64(time.Second)).Round(time.Second))
	}
}

// askAdmin asks a server's admin port. /readyz answers 503 as well.
func askAdmin(ctx context.Context, at, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+path, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultTransport.RoundTrip(req) // no redirects
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, scrubAnswer))
	return string(body), err
}

// scrubMetrics reads the metrics of the scrub.
func scrubMetrics(text string) map[string]float64 {
	all := make(map[string]float64)
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		name, ours := strings.CutPrefix(name, scrubPrefix)
		if n, err := strconv.ParseFloat(value, 64); ok && ours && err == nil {
			all[name] = n
		}
	}
	return all
}
