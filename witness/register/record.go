package register

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"indelible/merkle"
)

// ErrCorrupt: the register's content contradicts its own checksums or order.
var ErrCorrupt = errors.New("the register is corrupt")

// headerWord begins the first line. The number changes with the format.
const headerWord = "indelible-witness-register-v1"

// key is the SHA-256 of a log's origin.
type key [32]byte

// head is what is kept of a log.
type head struct {
	size int64
	root merkle.Hash
}

// record is a line after the first.
type record struct {
	log key
	head
}

func headerLine(id string) []byte { return withSum(headerWord + " " + id) }

func parseHeader(line string) (id string, err error) {
	body, err := checkSum(line)
	if err != nil {
		return "", err
	}
	id, ok := strings.CutPrefix(body, headerWord+" ")
	if !ok || id == "" || strings.ContainsAny(id, " \r\x00") {
		return "", fmt.Errorf("%w: the first line is not that of a witness's register", ErrCorrupt)
	}
	return id, nil
}

func (r record) line() []byte {
	return withSum(fmt.Sprintf("%x %d %s", r.log, r.size, base64.StdEncoding.EncodeToString(r.root[:])))
}

// parseRecord accepts exactly what line makes.
func parseRecord(line string) (r record, err error) {
	body, err := checkSum(line)
	if err != nil {
		return r, err
	}
	fields := strings.Split(body, " ")
	if len(fields) != 3 {
		return r, fmt.Errorf("%w: a record of %d fields, not 3", ErrCorrupt, len(fields))
	}
	log, errLog := hex.DecodeString(fields[0])
	size, errSize := strconv.ParseInt(fields[1], 10, 64)
	root, errRoot := base64.StdEncoding.DecodeString(fields[2])
	if errors.Join(errLog, errSize, errRoot) != nil || len(log) != len(r.log) || len(root) != len(r.root) || size < 1 {
		return r, fmt.Errorf("%w: a record must be a SHA-256, a size from 1 up, and a root", ErrCorrupt)
	}
	r = record{key(log), head{size, merkle.Hash(root)}}
	if string(r.line()) != line+"\n" {
		return r, fmt.Errorf("%w: a record is not in the form that this program writes", ErrCorrupt)
	}
	return r, nil
}

func withSum(body string) []byte { return fmt.Appendf(nil, "%s %s\n", body, sum(body)) }

// checkSum returns a line without its checksum.
func checkSum(line string) (string, error) {
	i := strings.LastIndexByte(line, ' ')
	if i < 0 || sum(line[:i]) != line[i+1:] {
		return "", fmt.Errorf("%w: a line's checksum does not match", ErrCorrupt)
	}
	return line[:i], nil
}

// sum is the CRC-32C in hex.
func sum(body string) string {
	return fmt.Sprintf("%08x", crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli)))
}
