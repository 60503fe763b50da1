package guardtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"testing"
)

// renamed is a register's content as if it were another log's, with checksums
// that are right. It is made without package guard, as a second opinion of the
// format.
func renamed(t *testing.T, content []byte) []byte {
	t.Helper()
	lines := bytes.SplitAfter(content, []byte("\n"))
	header := bytes.Fields(lines[0])
	if len(header) != 4 {
		t.Fatalf("a header of %d fields: %s", len(header), lines[0])
	}
	other := summed(fmt.Sprintf("%s %s %s", header[0], header[1], "other.example.com"))
	for _, line := range lines[1:] {
		if end := bytes.Fields(line); len(end) == 5 && string(end[0]) == "end" {
			hash := sha256.Sum256(other)
			line = summed(fmt.Sprintf("%s %s %s %s", end[0], end[1], end[2], hex.EncodeToString(hash[:])))
		}
		other = append(other, line...)
	}
	return other
}

func summed(body string) []byte {
	return fmt.Appendf(nil, "%s %08x\n", body, crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli)))
}
