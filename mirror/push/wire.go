package push

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"

	"indelible/merkle"
)

// Header is the beginning of an add-entries request: entries of [Start, End)
// follow, in packages.
type Header struct {
	Origin     string
	Start, End int64
	Ticket     []byte // opaque; may be empty
}

// Append encodes the header.
func (h Header) Append(dst []byte) ([]byte, error) {
	if h.Origin == "" || len(h.Origin) > math.MaxUint16 || len(h.Ticket) > math.MaxUint16 || h.Start < 0 || h.Start > h.End {
		return dst, fmt.Errorf("%w: an upload of [%d, %d) with an origin of %d bytes and a ticket of %d; an origin has 1 to 65535, a ticket up to 65535", ErrMalformed, h.Start, h.End, len(h.Origin), len(h.Ticket))
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(h.Origin)))
	dst = append(dst, h.Origin...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.Start))
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.End))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(h.Ticket)))
	return append(dst, h.Ticket...), nil
}

// ReadHeader reads a header.
func ReadHeader(r io.Reader) (Header, error) {
	origin, err := readSized(r)
	if err != nil {
		return Header{}, fmt.Errorf("%w: the origin: %w", ErrMalformed, err)
	}
	var bounds [16]byte
	if _, err := io.ReadFull(r, bounds[:]); err != nil {
		return Header{}, fmt.Errorf("%w: upload_start and upload_end: %w", ErrMalformed, err)
	}
	start, end := binary.BigEndian.Uint64(bounds[:8]), binary.BigEndian.Uint64(bounds[8:])
	switch {
	case len(origin) == 0:
		return Header{}, fmt.Errorf("%w: the origin is empty", ErrMalformed)
	case end > math.MaxInt64:
		return Header{}, fmt.Errorf("%w: upload_end %d; a tree has fewer than 2^63 entries", ErrMalformed, end)
	case start > end:
		return Header{}, fmt.Errorf("%w: upload_start %d is beyond upload_end %d", ErrMalformed, start, end)
	}
	ticket, err := readSized(r)
	if err != nil {
		return Header{}, fmt.Errorf("%w: the ticket: %w", ErrMalformed, err)
	}
	return Header{Origin: string(origin), Start: int64(start), End: int64(end), Ticket: ticket}, nil
}

// readSized reads bytes after their length in two bytes.
func readSized(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	data := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, data)
	return data, err
}

// Packages is how many packages the canonical sequence has.
func (h Header) Packages() int64 {
	if h.Start == h.End {
		return 0
	}
	return (h.End-1)/PackageSize - h.Start/PackageSize + 1
}

// bounds are the entries [start, end) of package i, and the subtree [from, end)
// that its proof is about.
func (h Header) bounds(i int64) (from, start, end int64) {
	from = (h.Start/PackageSize + i) * PackageSize
	return from, max(h.Start, from), from + min(PackageSize, h.End-from)
}

// Package is some consecutive entries, and the proof that the subtree which ends
// with them is part of a checkpoint's tree.
type Package struct {
	From       int64 // where the subtree begins, a multiple of 256
	Start, End int64 // the entries
	// Entries are framed as a bundle frames them: each after its length in two bytes.
	Entries []byte
	Proof   []merkle.Hash
}

// AppendPackage encodes a package.
func AppendPackage(dst, entries []byte, proof []merkle.Hash) []byte {
	dst = append(dst, entries...)
	dst = append(dst, byte(len(proof)))
	for _, h := range proof {
		dst = append(dst, h[:]...)
	}
	return dst
}

// Packages reads the packages of a request one by one. Of each it holds no more
// than twice what has arrived, and 64 KiB.
type Packages struct {
	h    Header
	r    *bufio.Reader
	next int64 // the next package
	buf  []byte
	// room, if set, is asked before the buffer grows beyond smallPackage.
	room func() error
}

// smallPackage is what most packages fit into, in bytes.
const smallPackage = 512 << 10

// NewPackages reads the packages that follow a header.
func NewPackages(h Header, r *bufio.Reader) *Packages { return &Packages{h: h, r: r} }

// Next reads the next package: io.EOF after the last one, and where a request
// ends between two. It is valid until the next call.
func (p *Packages) Next() (Package, error) {
	if p.next == p.h.Packages() {
		return Package{}, io.EOF
	}
	if _, err := p.r.Peek(1); err == io.EOF {
		return Package{}, err
	}
	var pkg Package
	pkg.From, pkg.Start, pkg.End = p.h.bounds(p.next)
	p.buf = p.buf[:0]
	for i := pkg.Start; i < pkg.End; i++ {
		if err := p.entry(); err != nil {
			return pkg, fmt.Errorf("%w: entry %d: %w", ErrMalformed, i, err)
		}
	}
	pkg.Entries = p.buf
	var err error
	if pkg.Proof, err = p.proof(); err != nil {
		return pkg, fmt.Errorf("%w: the proof of [%d, %d): %w", ErrMalformed, pkg.From, pkg.End, err)
	}
	p.next++
	return pkg, nil
}

// entry appends an entry with its length to the buffer.
func (p *Packages) entry() error {
	at := len(p.buf)
	p.buf = append(p.buf, 0, 0)
	if _, err := io.ReadFull(p.r, p.buf[at:]); err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint16(p.buf[at:]))
	if at+2+n > smallPackage && p.room != nil {
		if err := p.room(); err != nil {
			return err
		}
	}
	p.buf = append(p.buf, make([]byte, n)...)
	_, err := io.ReadFull(p.r, p.buf[at+2:])
	return err
}

func (p *Packages) proof() ([]merkle.Hash, error) {
	n, err := p.r.ReadByte()
	if err != nil {
		return nil, err
	}
	if n > maxHashes {
		return nil, fmt.Errorf("%d hashes; it has at most %d", n, maxHashes)
	}
	proof := make([]merkle.Hash, n)
	for i := range proof {
		if _, err := io.ReadFull(p.r, proof[i][:]); err != nil {
			return nil, err
		}
	}
	return proof, nil
}

// leaves are the leaf hashes of a package's entries.
func (p Package) leaves() ([]merkle.Hash, error) {
	entries, err := merkle.ParseBundle(p.Entries, int(p.End-p.Start))
	if err != nil {
		return nil, err
	}
	leaves := make([]merkle.Hash, len(entries))
	for i, e := range entries {
		leaves[i] = merkle.LeafHash(e)
	}
	return leaves, nil
}

// Info is mirror-info: how a client goes on.
type Info struct {
	Pending int64 // the size of a pending checkpoint: upload_end
	Next    int64 // the first entry that the mirror does not have: upload_start
	Ticket  []byte
}

// Marshal encodes mirror-info.
func (i Info) Marshal() []byte {
	return fmt.Appendf(nil, "%d\n%d\n%s\n", i.Pending, i.Next, base64.StdEncoding.EncodeToString(i.Ticket))
}

// ParseInfo parses mirror-info.
func ParseInfo(data []byte) (Info, error) {
	lines := bytes.Split(data, []byte("\n"))
	if len(lines) != 4 || len(lines[3]) != 0 {
		return Info{}, fmt.Errorf("%w: mirror-info has three lines, and this is %.100q", ErrMalformed, data)
	}
	pending, ok := parseSize(string(lines[0]))
	next, okNext := parseSize(string(lines[1]))
	ticket, err := base64.StdEncoding.Strict().DecodeString(string(lines[2]))
	if !ok || !okNext || err != nil || len(ticket) > math.MaxUint16 {
		return Info{}, fmt.Errorf("%w: mirror-info is two numbers and the base64 of up to 65535 bytes, and this is %.100q", ErrMalformed, data)
	}
	return Info{Pending: pending, Next: next, Ticket: ticket}, nil
}

// parseSize parses a number that is written in its only way.
func parseSize(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && strconv.FormatInt(n, 10) == s
}
