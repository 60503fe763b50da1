package main

import (
	"crypto/ed25519"
	"errors"
	"testing"

	"indelible/checkpoint"
	"indelible/merkle"
)

// Every step is proven, beyond the sizes at which tiles are full.
func TestHistory(t *testing.T) {
	const count = 2000 // more than 256² entries
	steps, err := history(count)
	if err != nil || len(steps) != count {
		t.Fatalf("%d steps, %v", len(steps), err)
	}
	last := merkle.EmptyRoot()
	for i, s := range steps {
		if s.size != int64(i+1)*stepEntries {
			t.Errorf("step %d leads to the size %d", i, s.size)
		}
		if err := merkle.VerifyConsistency(s.old, s.size, last, s.root, s.proof); err != nil {
			t.Errorf("step %d: %v", i, err)
		}
		last = s.root
	}
}

func cosigners(t *testing.T) (keys []*checkpoint.Cosigner, verifiers []checkpoint.Verifier) {
	t.Helper()
	keys, err := newCosigners("witness.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		verifiers = append(verifiers, k.Verifier())
	}
	return keys, verifiers
}

// What a log asks for is taken once, in order, and no more than was signed.
func TestAskingLog(t *testing.T) {
	steps, err := history(3)
	if err != nil {
		t.Fatal(err)
	}
	l, err := newAskingLog(1)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"old 0\n\n", "old 37\n", "old 74\n"} {
		if err := l.prepare(steps, 1); err != nil {
			t.Fatal(err)
		}
		body, err := l.take()
		if err != nil || string(body[:len(want)]) != want {
			t.Errorf("request %d is %q, %v", i, body, err)
		}
	}
	if _, err := l.take(); !errors.Is(err, errNoneReady) {
		t.Errorf("a fourth of three: %v", err)
	}
	if l.prepare(steps, 1) == nil {
		t.Error("a history of three steps had a fourth")
	}
}

// An answer is right only with both cosignatures, of this checkpoint.
func TestCheckedAnswer(t *testing.T) {
	keys, verifiers := cosigners(t)
	steps, err := history(2)
	if err != nil {
		t.Fatal(err)
	}
	l, err := newAskingLog(1)
	if err != nil {
		t.Fatal(err)
	}
	request, err := l.request(steps[1])
	if err != nil {
		t.Fatal(err)
	}
	lines := func(s step, keys ...*checkpoint.Cosigner) []byte {
		var made []checkpoint.Signature
		for _, k := range keys {
			sig, err := k.Cosign(checkpoint.Checkpoint{Origin: l.key.Name(), Size: s.size, Root: s.root}, 1)
			if err != nil {
				t.Fatal(err)
			}
			made = append(made, sig)
		}
		return checkpoint.MarshalSignatures(made)
	}
	if err := l.check(request, lines(steps[1], keys...), verifiers); err != nil {
		t.Error(err)
	}
	others, _ := cosigners(t)
	for name, answer := range map[string][]byte{
		"empty":               nil,
		"by one key":          lines(steps[1], keys[0]),
		"of another size":     lines(steps[0], keys...),
		"by other keys":       lines(steps[1], others...),
		"not signature lines": []byte("409\n"),
	} {
		if l.check(request, answer, verifiers) == nil {
			t.Errorf("an answer was taken for right: %s", name)
		}
	}
}

// What is timed is what a witness does, and fails if the log's signature is wrong.
func TestSignatures(t *testing.T) {
	keys, _ := cosigners(t)
	l, err := newAskingLog(1)
	if err != nil {
		t.Fatal(err)
	}
	c := checkpoint.Checkpoint{Origin: l.key.Name(), Size: 1, Root: merkle.LeafHash(nil)}
	blob, err := l.key.Sign(c.Text())
	if err != nil {
		t.Fatal(err)
	}
	if err := cosignOnce(l.key.Verifier(), c, blob, keys); err != nil {
		t.Error(err)
	}
	blob[len(blob)-ed25519.SignatureSize] ^= 1
	if cosignOnce(l.key.Verifier(), c, blob, keys) == nil {
		t.Error("a wrong signature was cosigned")
	}
}

func TestParsePeak(t *testing.T) {
	for status, want := range map[string]int64{
		"Name:\tx\nVmPeak:\t 9 kB\nVmHWM:\t   51234 kB\nVmRSS:\t 1 kB\n": 51234 << 10,
		"VmHWM:\t one kB\n": 0,
		"":                  0,
	} {
		if got := parsePeak(status); got != want {
			t.Errorf("%q: %d, want %d", status, got, want)
		}
	}
}

// No two clients ask for one log, and together they ask for all.
func TestLogOf(t *testing.T) {
	const clients, logs = 3, 10
	asked := make(map[int]int)
	for c := range clients {
		for turn := range 4 {
			l := logOf(c, turn, clients, logs)
			if l%clients != c || l < 0 || l >= logs {
				t.Errorf("client %d asks for log %d in turn %d", c, l, turn)
			}
			asked[l]++
		}
	}
	if len(asked) != logs {
		t.Errorf("%d of %d logs: %v", len(asked), logs, asked)
	}
}
