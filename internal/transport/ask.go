package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// ErrNotReady is what AskReady returns when the server answers that it is not
// ready.
var ErrNotReady = errors.New("not ready")

// askTimeout is how long a server may take to answer, which it does from memory.
const askTimeout = 5 * time.Second

// AskReady asks the admin port at an address, as a server listens on it, whether
// the server is ready. It returns the lines of the answer: the reason, if the
// error is ErrNotReady, and warnings. Any other error says why there is no answer.
func AskReady(ctx context.Context, address string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if strings.HasPrefix(address, ":") {
		address = "localhost" + address
	}
	url := "http://" + address + "/readyz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("ask for readiness: %w", err)
	}
	direct := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy knows the admin port
	res, err := direct.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for readiness: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line != "ok" {
			lines = append(lines, line)
		}
	}
	switch res.StatusCode {
	case http.StatusOK:
		return lines, nil
	case http.StatusServiceUnavailable:
		return lines, ErrNotReady
	}
	return nil, fmt.Errorf("%s answered %s: another server has that port; give the address of the admin port with --admin", url, res.Status)
}

// Health is the command that containers use as their probe: it prints what the
// server at an address says, and fails unless it is ready.
func Health(ctx context.Context, address string, w io.Writer) error {
	lines, err := AskReady(ctx, address)
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
	if err == nil {
		_, err = fmt.Fprintln(w, "ready")
	}
	return err
}
