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
	time int64 // of the last cosignature, in POSIX seconds; 0 if it is not known
}

// newer reports whether a head may follow another: it is larger, or the same one
// cosigned later. No time is before that of the other.
func (h head) newer(was head) bool {
	return h.time >= was.time && (h.size > was.size || h.size == was.size && h.root == was.root && h.time > was.time)
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
	body := fmt.Sprintf("%x %d %s", r.log, r.size, base64.StdEncoding.EncodeToString(r.root[:]))
	if r.time > 0 {
		body += fmt.Sprintf(" %d", r.time)
	}
	return withSum(body)
}

// parseRecord accepts exactly what line makes.
func parseRecord(line string) (r record, err error) {
	body, err := checkSum(line)
	if err != nil {
		return r, err
	}
	fields := strings.Split(body, " ")
	if len(fields) == 3 {
		fields = append(fields, "0") // as it was once written, without a time
	}
	if len(fields) != 4 {
		return r, fmt.Errorf("%w: a record of %d fields, not 4", ErrCorrupt, len(fields))
	}
	log, errLog := hex.DecodeString(fields[0])
	size, errSize := strconv.ParseInt(fields[1], 10, 64)
	root, errRoot := base64.StdEncoding.DecodeString(fields[2])
	at, errTime := strconv.ParseInt(fields[3], 10, 64)
	if errors.Join(errLog, errSize, errRoot, errTime) != nil || len(log) != len(r.log) || len(root) != len(r.root) || size < 1 || at < 0 {
		return r, fmt.Errorf("%w: a record must be a SHA-256, a size from 1 up, a root, and a time", ErrCorrupt)
	}
	r = record{key(log), head{size, merkle.Hash(root), at}}
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
