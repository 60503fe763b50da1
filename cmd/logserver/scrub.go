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

	"indelible/internal/config"
	"indelible/internal/words"
)

const (
	// scrubTimeout is how long guard status waits for the server's answer.
	scrubTimeout = 3 * time.Second
	// scrubAnswer is the maximum of bytes that it reads of it.
	scrubAnswer = 1 << 20
	scrubPrefix = "indelible_scrub_"
)

// printScrub writes how far the scrub of the server at --admin is, and which parts
// of the log are damaged.
func printScrub(ctx context.Context, v config.Values, w io.Writer) {
	ctx, cancel := context.WithTimeout(ctx, scrubTimeout)
	defer cancel()
	at := v.Text("admin")
	metrics, err := askAdmin(ctx, at, "/metrics")
	if err != nil {
		fmt.Fprintf(w, "scrub      not known: no server answers at %s (--admin)\n", at)
		return
	}
	said := scrubMetrics(metrics)
	if _, ok := said["findings"]; !ok {
		fmt.Fprintf(w, "scrub      not known: the server at %s (--admin) has no scrub\n", at)
		return
	}
	fmt.Fprintf(w, "scrub      at entry %.0f after %s  damaged parts %.0f\n           as the server at %s says\n",
		said["position"], words.Count(int64(said["rounds"]), "round"), said["findings"], at)
	if end := said["last_round_timestamp_seconds"]; end > 0 {
		fmt.Fprintf(w, "           last round ended at %s, after %s\n", stamp(int64(end)*1000), time.Duration(said["last_round_seconds"]*float64(time.Second)).Round(time.Second))
	}
	ready, err := askAdmin(ctx, at, "/readyz")
	for line := range strings.Lines(ready) {
		if warning, ok := strings.CutPrefix(strings.TrimSpace(line), "warning: "); ok && err == nil {
			fmt.Fprintf(w, "           %s\n", warning)
		}
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
