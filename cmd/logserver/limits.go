package main

import (
	"fmt"

	"indelible/internal/config"
)

// checkProxies finds invalid addresses of proxies.
func checkProxies(v config.Values) error {
	_, err := trustedProxies(v)
	return err
}

// largestEntry is the most bytes that an entry has.
const largestEntry = 65535

// checkLimits finds limits that would refuse for good what others let in.
func checkLimits(v config.Values) error {
	if queue, batch := v.Number("max-queue"), v.Number("max-batch"); queue < batch {
		return fmt.Errorf("--max-queue is %d, and --max-batch %d: a queue that holds no full batch never fills one; raise --max-queue to %d or more, or lower --max-batch", queue, batch, batch)
	}
	if queue := v.Size("max-queue-bytes"); queue < largestEntry {
		return fmt.Errorf("--max-queue-bytes is %d: an entry can have %d bytes, and would never find room; raise it to that or more", queue, largestEntry)
	}
	if body, all := v.Size("max-body"), v.Size("request-memory"); all < body {
		return fmt.Errorf("--request-memory is %d, and --max-body %d: the largest request would never find room; raise --request-memory to %d or more, or lower --max-body", all, body, body)
	}
	return nil
}
