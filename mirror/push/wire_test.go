package push

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"indelible/merkle"
)

// The smallest example of the specification, byte for byte.
func TestWireExample(t *testing.T) {
	h := Header{Origin: "example.com/behind-the-sofa", End: 3}
	body, err := h.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	body = AppendPackage(body, []byte("\x00\x01a\x00\x02bb\x00\x03ccc"), nil)
	want := "\x00\x1bexample.com/behind-the-sofa" + "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x03" + "\x00\x00" +
		"\x00\x01a\x00\x02bb\x00\x03ccc\x00"
	if string(body) != want {
		t.Errorf("%q\nwant %q", body, want)
	}
	r := bufio.NewReader(bytes.NewReader(body))
	got, err := ReadHeader(r)
	if err != nil || got.Origin != h.Origin || got.Start != 0 || got.End != 3 || len(got.Ticket) != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	pkgs := NewPackages(got, r)
	p, err := pkgs.Next()
	if err != nil || p.From != 0 || p.Start != 0 || p.End != 3 || len(p.Proof) != 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	leaves, err := p.leaves()
	if want := []merkle.Hash{merkle.LeafHash([]byte("a")), merkle.LeafHash([]byte("bb")), merkle.LeafHash([]byte("ccc"))}; err != nil || !slices.Equal(leaves, want) {
		t.Errorf("%x, %v", leaves, err)
	}
	if _, err := pkgs.Next(); err != io.EOF {
		t.Errorf("after the last package: %v", err)
	}
}

// The canonical sequence is aligned at multiples of 256.
func TestCanonicalSequence(t *testing.T) {
	type b struct{ from, start, end int64 }
	for _, c := range []struct {
		start, end int64
		want       []b
	}{
		{0, 0, nil},
		{300, 300, nil},
		{0, 1, []b{{0, 0, 1}}},
		{0, 256, []b{{0, 0, 256}}},
		{256, 257, []b{{256, 256, 257}}},
		{255, 257, []b{{0, 255, 256}, {256, 256, 257}}},
		{300, 900, []b{{256, 300, 512}, {512, 512, 768}, {768, 768, 900}}},
		{1<<63 - 2, 1<<63 - 1, []b{{1<<63 - 256, 1<<63 - 2, 1<<63 - 1}}},
	} {
		h := Header{Start: c.start, End: c.end}
		var got []b
		for i := range h.Packages() {
			from, start, end := h.bounds(i)
			got = append(got, b{from, start, end})
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("[%d, %d): %v; want %v", c.start, c.end, got, c.want)
		}
	}
}

func TestHeaderMalformed(t *testing.T) {
	good, err := Header{Origin: "log", Start: 2, End: 5, Ticket: []byte("ticket")}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if h, err := ReadHeader(bytes.NewReader(good[:n])); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d of %d bytes: %+v, %v", n, len(good), h, err)
		}
	}
	swapped := bytes.Clone(good)
	swapped[12] = 9 // upload_start
	if _, err := ReadHeader(bytes.NewReader(swapped)); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "upload_start 9 is beyond upload_end 5") {
		t.Errorf("start beyond end: %v", err)
	}
	huge := bytes.Clone(good)
	huge[13] = 0xff // upload_end's first byte
	if h, err := ReadHeader(bytes.NewReader(huge)); !errors.Is(err, ErrMalformed) {
		t.Errorf("an end beyond int64: %+v, %v", h, err)
	}
	if h, err := ReadHeader(bytes.NewReader(make([]byte, 20))); !errors.Is(err, ErrMalformed) {
		t.Errorf("an empty origin: %+v, %v", h, err)
	}
	for _, h := range []Header{{}, {Origin: strings.Repeat("o", 1<<16)}, {Origin: "log", Ticket: make([]byte, 1<<16)}, {Origin: "log", Start: 2, End: 1}, {Origin: "log", Start: -1}} {
		if _, err := h.Append(nil); !errors.Is(err, ErrMalformed) {
			t.Errorf("[%d, %d): %v", h.Start, h.End, err)
		}
	}
}

// A package that ends too early, or has more hashes than any tree's proof.
func TestPackageMalformed(t *testing.T) {
	h := Header{Start: 1, End: 3}
	body := AppendPackage(nil, []byte("\x00\x01a\x00\x00"), make([]merkle.Hash, 2))
	for n := range body {
		_, err := NewPackages(h, bufio.NewReader(bytes.NewReader(body[:n]))).Next()
		if want := n > 0; errors.Is(err, ErrMalformed) != want || err == nil {
			t.Errorf("%d of %d bytes: %v", n, len(body), err)
		}
	}
	body[5] = 64
	if _, err := NewPackages(h, bufio.NewReader(bytes.NewReader(body))).Next(); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "64 hashes") {
		t.Errorf("64 hashes: %v", err)
	}
}

func TestInfo(t *testing.T) {
	i := Info{Pending: 1000, Next: 256, Ticket: []byte{0xff, 0xfe}}
	if got := string(i.Marshal()); got != "1000\n256\n//4=\n" {
		t.Errorf("%q", got)
	}
	back, err := ParseInfo(i.Marshal())
	if err != nil || back.Pending != 1000 || back.Next != 256 || !bytes.Equal(back.Ticket, i.Ticket) {
		t.Errorf("%+v, %v", back, err)
	}
	if back, err := ParseInfo([]byte("0\n0\n\n")); err != nil || len(back.Ticket) != 0 {
		t.Errorf("no ticket: %+v, %v", back, err)
	}
	for _, bad := range []string{
		"", "1\n2\n", "1\n2\n\n\n", "01\n2\n\n", "1\n-2\n\n", "1\n+2\n\n", "1\n2\n//5=\n", "1\n2\n//4\n", "1\n2\n//4=", "1 \n2\n\n", "9223372036854775808\n2\n\n", "1\r\n2\r\n\r\n",
	} {
		if got, err := ParseInfo([]byte(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %+v, %v", bad, got, err)
		}
	}
}

func TestTicketSeal(t *testing.T) {
	note := []byte("log\n1\nroot\n\n— log sig\n")
	ticket := TicketKey{1}.seal("mirror", "log", note)
	if got := (TicketKey{1}).open("mirror", "log", ticket); !bytes.Equal(got, note) {
		t.Errorf("%q", got)
	}
	for name, got := range map[string][]byte{
		"another key":              TicketKey{2}.open("mirror", "log", ticket),
		"another mirror":           TicketKey{1}.open("mirror2", "log", ticket),
		"another log":              TicketKey{1}.open("mirror", "log2", ticket),
		"another cut of the names": TicketKey{1}.open("mirrorl", "og", ticket),
		"empty":                    TicketKey{1}.open("mirror", "log", nil),
		"cut":                      TicketKey{1}.open("mirror", "log", ticket[:32]),
	} {
		if got != nil {
			t.Errorf("%s: the ticket opens to %q", name, got)
		}
	}
	for i := range ticket {
		ticket[i] ^= 1
		if (TicketKey{1}).open("mirror", "log", ticket) != nil {
			t.Errorf("byte %d was changed, and the ticket opens", i)
		}
		ticket[i] ^= 1
	}
	if (TicketKey{1}).seal("mirror", "log", make([]byte, 1<<16)) != nil {
		t.Error("a ticket that no request can hold")
	}
}

// What is read is what would be written again, and nothing makes a reader hold
// more than it was sent.
func FuzzPackages(f *testing.F) {
	good, _ := Header{Origin: "log", Start: 1, End: 3, Ticket: []byte("t")}.Append(nil)
	good = AppendPackage(good, []byte("\x00\x01a\x00\x00"), make([]merkle.Hash, 2))
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(binary.BigEndian.AppendUint16(nil, 0xffff))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReader(bytes.NewReader(data))
		h, err := ReadHeader(r)
		if err != nil {
			return
		}
		again, err := h.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(data, again) {
			t.Fatalf("header %q from %q", again, data)
		}
		pkgs := NewPackages(h, r)
		for {
			p, err := pkgs.Next()
			if cap(pkgs.buf) > 4*len(data)+1<<17 {
				t.Fatalf("%d bytes are held of %d", cap(pkgs.buf), len(data))
			}
			if err != nil {
				break
			}
			if _, err := p.leaves(); err != nil {
				t.Fatal(err)
			}
			again = AppendPackage(again, p.Entries, p.Proof)
		}
		if !bytes.HasPrefix(data, again) {
			t.Fatalf("%q from %q", again, data)
		}
	})
}

func FuzzInfo(f *testing.F) {
	f.Add([]byte("1000\n256\n//4=\n"))
	f.Add([]byte("0\n0\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if i, err := ParseInfo(data); err == nil && !bytes.Equal(i.Marshal(), data) {
			t.Errorf("%q from %q", i.Marshal(), data)
		}
	})
}
