package checkpoint

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	formats "github.com/transparency-dev/formats/proof"

	"indelible/merkle"
)

func sampleProof(t testing.TB) Proof {
	t.Helper()
	return Proof{
		Extra: []byte("hello"), HasExtra: true, Index: 2,
		Hashes:     []merkle.Hash{{1}, {2}, {3}},
		Checkpoint: mustSign(t, sample(7), logSigner(t, testOrigin, 1), newWitness(t, "w", CosignatureV1MLDSA44, 2)),
	}
}

func mustMarshal(t testing.TB, p Proof) []byte {
	t.Helper()
	data, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestProofRoundTrip(t *testing.T) {
	full := sampleProof(t)
	noExtra, emptyExtra, noHashes, last, high, large := full, full, full, full, full, full
	noExtra.Extra, noExtra.HasExtra = nil, false
	emptyExtra.Extra = []byte{}
	noHashes.Hashes = nil
	last.Index = math.MaxInt64
	high.Hashes = make([]merkle.Hash, 63)
	large.Extra = bytes.Repeat([]byte{0xab}, 65535)
	for _, p := range []Proof{full, noExtra, emptyExtra, noHashes, last, high, large} {
		data := mustMarshal(t, p)
		got, err := ParseProof(data)
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("%v: got %+v, want %+v", err, got, p)
		}
		if len(p.Extra) < 1000 { // formats takes lines of 64 KiB
			checkProof(t, got, data)
		}
	}
}

// checkProof fails unless p is printed as data, and formats reads the same.
func checkProof(t *testing.T, p Proof, data []byte) {
	t.Helper()
	if printed := mustMarshal(t, p); !bytes.Equal(printed, data) {
		t.Errorf("%q is printed as %q", data, printed)
	}
	var f formats.TLogProof
	if err := f.Unmarshal(data); err != nil {
		t.Errorf("%q: formats says %v", data, err)
		return
	}
	same := f.Index == uint64(p.Index) && len(f.Hashes) == len(p.Hashes) && bytes.Equal(f.Checkpoint, p.Checkpoint) &&
		bytes.Equal(f.ExtraData, p.Extra) && (f.ExtraData != nil) == p.HasExtra
	for i := range p.Hashes {
		same = same && f.Hashes[i] == p.Hashes[i]
	}
	if !same {
		t.Errorf("%q: %+v, formats says %+v", data, p, f)
	}
}

func TestParseProofRefuses(t *testing.T) {
	good := string(mustMarshal(t, sampleProof(t)))
	hash := "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
	for name, r := range map[string][2]string{
		"version 2":           {"proof@v1\n", "proof@v2\n"},
		"no header":           {proofHeader + "\n", ""},
		"leading newline":     {proofHeader + "\n", "\n" + proofHeader + "\n"},
		"carriage returns":    {"\n", "\r\n"},
		"space behind":        {"index 2\n", "index 2 \n"},
		"two spaces":          {"index 2\n", "index  2\n"},
		"leading zero":        {"index 2\n", "index 02\n"},
		"plus":                {"index 2\n", "index +2\n"},
		"minus":               {"index 2\n", "index -2\n"},
		"2^63":                {"index 2\n", "index 9223372036854775808\n"},
		"no number":           {"index 2\n", "index \n"},
		"no index":            {"index 2\n", ""},
		"two indexes":         {"index 2\n", "index 2\nindex 2\n"},
		"extra twice":         {"extra aGVsbG8=\n", "extra aGVsbG8=\nextra aGVsbG8=\n"},
		"extra behind index":  {"extra aGVsbG8=\nindex 2\n", "index 2\nextra aGVsbG8=\n"},
		"extra no space":      {"extra aGVsbG8=\n", "extra\n"},
		"extra unpadded":      {"extra aGVsbG8=\n", "extra aGVsbG8\n"},
		"extra unused bits":   {"extra aGVsbG8=\n", "extra aGVsbG9=\n"},
		"unknown line":        {"index 2\n", "size 7\nindex 2\n"},
		"short hash":          {hash, "AQAA\n"},
		"unused bits of hash": {hash, hash[:42] + "B=\n"},
		"64 hashes":           {hash, strings.Repeat(hash, 62)},
		"empty line in path":  {hash, "\n" + hash},
		"no empty line":       {"\n\n" + testOrigin, "\n" + testOrigin},
		"two empty lines":     {"\n\n" + testOrigin, "\n\n\n\n" + testOrigin},
		"too large":           {"extra aGVsbG8=\n", "extra " + strings.Repeat("aGVs", maxProofSize/4) + "\n"},
	} {
		bad := strings.ReplaceAll(good, r[0], r[1])
		if bad == good {
			t.Fatalf("%s: nothing changed", name)
		}
		_, err := ParseProof([]byte(bad))
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, bad := range map[string]string{
		"empty": "", "header": proofHeader + "\n", "no checkpoint": good[:strings.Index(good, "\n\n")+2], "cut": good[:len(good)-1], "trailing": good + "x",
	} {
		if _, err := ParseProof([]byte(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMarshalProofRefuses(t *testing.T) {
	negative, high, odd, unsigned, other, large := sampleProof(t), sampleProof(t), sampleProof(t), sampleProof(t), sampleProof(t), sampleProof(t)
	negative.Index = -1
	high.Hashes = make([]merkle.Hash, 64)
	odd.HasExtra = false
	unsigned.Checkpoint = sample(7).Text()
	other.Checkpoint = []byte(specNote)
	large.Extra = make([]byte, maxProofSize)
	for _, p := range []Proof{negative, high, odd, unsigned, other, large} {
		if _, err := p.Marshal(); !errors.Is(err, ErrMalformed) {
			t.Errorf("index %d, %d hashes: %v", p.Index, len(p.Hashes), err)
		}
	}
}

func FuzzParseProof(f *testing.F) {
	p := sampleProof(f)
	f.Add(mustMarshal(f, p))
	p.Checkpoint = []byte("a\n1\n" + someRoot + "\n\n" + line)
	f.Add(mustMarshal(f, p))
	p.HasExtra, p.Extra, p.Hashes = false, nil, nil
	f.Add(mustMarshal(f, p))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParseProof(data)
		if err == nil {
			checkProof(t, p, data)
		} else if !errors.Is(err, ErrMalformed) {
			t.Errorf("error %v", err)
		}
	})
}
