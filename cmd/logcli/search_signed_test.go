package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"indelible/entry"
)

// shownBundle is what a bundle of a test holds.
type shownBundle struct {
	DSSEEnvelope         json.RawMessage `json:"dsseEnvelope"`
	VerificationMaterial struct {
		TlogEntries []struct {
			CanonicalizedBody []byte `json:"canonicalizedBody"`
		} `json:"tlogEntries"`
	} `json:"verificationMaterial"`
}

// logBundles puts the entry of each client's bundle into the log, and returns
// the files by the entries' indexes, with the envelopes in them.
func (w *world) logBundles() (files []string, envelopes []string) {
	w.t.Helper()
	files, err := filepath.Glob("../../verify/testdata/*.json")
	if err != nil || len(files) < 10 {
		w.t.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			w.t.Fatal(err)
		}
		var b shownBundle
		if err := json.Unmarshal(data, &b); err != nil || len(b.VerificationMaterial.TlogEntries) != 1 {
			w.t.Fatal(file, err)
		}
		w.log.entries = append(w.log.entries, b.VerificationMaterial.TlogEntries[0].CanonicalizedBody)
		envelopes = append(envelopes, string(b.DSSEEnvelope))
	}
	return files, envelopes
}

// indexes searches, and returns what was found.
func (w *world) indexes(args ...string) (found []int64) {
	w.t.Helper()
	out, _ := w.run(exitDone, append([]string{"-o", "json", "search"}, args...)...)
	var got searchAnswer
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		w.t.Fatal(err, out)
	}
	for _, e := range got.Entries {
		found = append(found, e.Index)
	}
	return found
}

// Whatever client signed, and by whichever API it logged that: the entry is found
// by the bundle that the client wrote, and a statement by its envelope and its
// payload too. Each is found once.
func TestSearchSigned(t *testing.T) {
	w := newWorld(t)
	w.run(exitDone, "add", w.file("a", "a")) // trusts the log
	files, envelopes := w.logBundles()
	w.searchable(nil)
	statements := 0
	for i, file := range files {
		index := int64(i + 1)
		by := [][]string{{"--bundle", file}, {"--bundle", file, "--verify"}}
		if envelope := envelopes[i]; envelope != "" {
			statements++
			var e struct{ Payload []byte }
			if err := json.Unmarshal([]byte(envelope), &e); err != nil {
				t.Fatal(err)
			}
			by = append(by, []string{"--envelope", w.file("envelope", envelope)}, []string{"--payload", w.file("payload", string(e.Payload))})
		}
		for _, args := range by {
			found := w.indexes(args...)
			if !slices.Contains(found, index) || !slices.IsSorted(found) || len(slices.Compact(slices.Clone(found))) != len(found) {
				t.Errorf("%s by %v: found %v, and not %d once", file, args, found, index)
			}
			for _, f := range found { // the same may have been logged by several clients
				if w.thing(f, envelopes[f-1]) != w.thing(index, envelopes[i]) {
					t.Errorf("%s by %v: found %s", file, args, files[f-1])
				}
			}
		}
	}
	// All of them in one file, and an envelope behind them.
	var joined strings.Builder
	for _, file := range files[1:] {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		joined.Write(data)
	}
	if found := w.indexes("--bundle", w.file("all", joined.String()+envelopes[0]+"\n")); len(found) != len(files) {
		t.Errorf("by all bundles: found %v", found)
	}
	if statements < 6 || statements == len(files) {
		t.Errorf("%d statements in %v", statements, files)
	}
}

// thing is what was signed: an envelope's payload, or else what the entry says.
func (w *world) thing(index int64, envelope string) string {
	w.t.Helper()
	if envelope != "" {
		var e struct{ Payload string }
		if err := json.Unmarshal([]byte(envelope), &e); err != nil {
			w.t.Fatal(err)
		}
		return e.Payload
	}
	keys, err := entry.IndexKeys(w.log.entries[index])
	if err != nil || keys[0].By != entry.ByArtifact {
		w.t.Fatal(keys, err)
	}
	return keys[0].Value
}

// The bundle that cosign 2 writes for Rekor v1 is one too.
func TestSearchOldBundle(t *testing.T) {
	w := newWorld(t)
	w.run(exitDone, "add", w.file("a", "a"))
	w.run(exitDone, "add", w.file("b", "b"))
	w.searchable(nil)
	old, err := json.Marshal(map[string]any{
		"base64Signature": "", "cert": "", "rekorBundle": map[string]any{
			"SignedEntryTimestamp": "", "Payload": map[string]any{"body": w.log.entries[1], "integratedTime": 1, "logIndex": 7, "logID": "ab"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if found := w.indexes("--bundle", w.file("b.bundle", string(old))); !slices.Equal(found, []int64{1}) {
		t.Error(found)
	}
}

func TestSearchSignedUsage(t *testing.T) {
	w := newWorld(t)
	w.run(exitDone, "add", w.file("a", "a"))
	w.searchable(nil)
	large := w.file("large", "")
	if err := os.Truncate(large, maxSigned+1); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ flag, file, says string }{
		{"--bundle", w.file("text", "not JSON"), "it is no bundle: invalid"},
		{"--bundle", w.file("empty", "{}"), "no bundle with an envelope"},
		{"--bundle", w.file("nothing", ""), "no bundle with an envelope"},
		{"--bundle", w.file("after", `{"payloadType":"t","payload":""} x`), "it is no bundle: invalid"},
		{"--bundle", w.file("other", `{"rekorBundle":{"Payload":{"body":"e30="}}}`), "no bundle with an envelope"},
		{"--bundle", "sha256:" + strings.Repeat("ab", 32), "no file that can be read"},
		{"--bundle", large, "more than 64 MiB"},
		{"--envelope", w.file("text", "not JSON"), "it is no DSSE envelope: invalid"},
		{"--envelope", "../../verify/testdata/cosign3-v2-statement.json", "give --bundle"},
		{"--envelope", large, "more than 64 MiB"},
		{"--payload", large, "more than 64 MiB"},
	} {
		_, errs := w.run(exitUsage, "search", c.flag, c.file)
		says(t, errs, c.says)
	}
	_, errs := w.run(exitUsage, "search", "--bundle", "b", "--artifact", "a")
	says(t, errs, "give one of --artifact")
}
