package rekorv1

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"indelible/checkpoint"
	translog "indelible/log"
	"indelible/merkle"
)

// vector is an entry of the public Rekor v1 log, as its server signed it.
type vector struct {
	PublicKey            []byte
	LogIndex             int64
	IntegratedTime       int64
	CanonicalizedBody    []byte
	SignedEntryTimestamp []byte
	Checkpoint           string
}

func readVector(t *testing.T) (vector, *ecdsa.PublicKey) {
	t.Helper()
	data, err := os.ReadFile("testdata/rekor.sigstore.dev.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vector
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKIXPublicKey(v.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return v, key.(*ecdsa.PublicKey)
}

// TestPayloadOfPublicRekor: what we would sign for an entry of the public log
// is what its own signature is over.
func TestPayloadOfPublicRekor(t *testing.T) {
	v, key := readVector(t)
	id, err := LogID(key)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(id[:]); got != "c0d23d6ad406973f9559f3ba2d1ca01f84147d8ffc5b8445c224f98b9591801d" {
		t.Errorf("the public log's id is not %s", got)
	}
	d := identity{logID: hex.EncodeToString(id[:])}
	record := translog.Record{Index: v.LogIndex, IntegratedAt: time.Unix(v.IntegratedTime, 999_000_000), Canonical: v.CanonicalizedBody}
	digest := sha256.Sum256(d.appendPayload(nil, record))
	if !ecdsa.VerifyASN1(key, digest[:], v.SignedEntryTimestamp) {
		t.Errorf("the SET of the public log is not over %s", d.appendPayload(nil, record))
	}
	record.Index++
	digest = sha256.Sum256(d.appendPayload(nil, record))
	if ecdsa.VerifyASN1(key, digest[:], v.SignedEntryTimestamp) {
		t.Error("the SET is over anything")
	}
}

// TestNoteOfPublicRekor: the public log's note verifies in the way that ours
// are made: by a key id of its key and a signature over the text.
func TestNoteOfPublicRekor(t *testing.T) {
	v, key := readVector(t)
	n, err := checkpoint.ParseNote([]byte(v.Checkpoint))
	if err != nil {
		t.Fatal(err)
	}
	text := string(n.Text)
	if !strings.HasPrefix(text, "rekor.sigstore.dev - 2605736670972794746\n") || len(n.Signatures) != 1 || n.Signatures[0].Name != "rekor.sigstore.dev" {
		t.Fatalf("a note of another form: %q", v.Checkpoint)
	}
	id, err := LogID(key)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(n.Text)
	if n.Signatures[0].KeyID != binary.BigEndian.Uint32(id[:4]) || !ecdsa.VerifyASN1(key, digest[:], n.Signatures[0].Blob) {
		t.Error("the public log's note does not verify")
	}
}

// TestPayloadIsCanonical: the payload has the members in the order of RFC 8785, and
// no white space, which is how encoding/json writes a map.
func TestPayloadIsCanonical(t *testing.T) {
	d := identity{logID: strings.Repeat("ab", 32)}
	for _, r := range []translog.Record{
		{Index: 0, IntegratedAt: time.Unix(0, 0), Canonical: []byte("a")},
		{Index: 1<<53 - 1, IntegratedAt: time.Unix(1<<40, 0), Canonical: []byte{0xfb, 0xff, 0xfe, '"', '<', '&'}},
	} {
		want, err := json.Marshal(map[string]any{
			"body": base64.StdEncoding.EncodeToString(r.Canonical), "integratedTime": r.IntegratedAt.Unix(),
			"logID": d.logID, "logIndex": r.Index,
		})
		if err != nil {
			t.Fatal(err)
		}
		// encoding/json escapes nothing in base64.
		if got := string(d.appendPayload(nil, r)); got != string(want) {
			t.Errorf("%s, and not %s", got, want)
		}
	}
}

func TestTreeID(t *testing.T) {
	for instance, want := range map[string]int64{
		"108f000000000001ffffffffffffffff": 0x108f000000000001,
		"ffffffffffffffff":                 0x7fffffffffffffff, // always positive
		"8000000000000001aa":               1,
		"0000000000000000ffff":             1, // never 0
		"8000000000000000ffff":             1,
	} {
		if got, err := TreeID(instance); err != nil || got != want {
			t.Errorf("%s: %x, %v", instance, got, err)
		}
	}
	for _, bad := range []string{"", "108f", "not hex at all, is it"} {
		if got, err := TreeID(bad); err == nil {
			t.Errorf("%q: %x", bad, got)
		}
	}
}

func TestParseID(t *testing.T) {
	d := identity{tree: "108f000000000001"}
	leaf := merkle.LeafHash([]byte("x"))
	uuid := hex.EncodeToString(leaf[:])
	for _, c := range []struct {
		id       string
		ours, ok bool
	}{
		{uuid, true, true},
		{strings.ToUpper(uuid), true, true},
		{d.tree + uuid, true, true},
		{strings.ToUpper(d.tree) + uuid, true, true},
		{"108f000000000002" + uuid, false, true},
		{"", false, false},
		{uuid[1:], false, false},
		{"00" + uuid, false, false},
		{"g" + uuid[1:], false, false},
		{d.tree + uuid + "00", false, false},
	} {
		got, ours, ok := d.parseID(c.id)
		if ours != c.ours || ok != c.ok || ok && got != leaf {
			t.Errorf("%q: %x %v %v", c.id, got, ours, ok)
		}
	}
	if got, _, _ := d.parseID(d.entryID(leaf)); got != leaf {
		t.Errorf("an id does not come back: %x", got)
	}
}
