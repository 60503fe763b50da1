package entry

import (
	"encoding/json"
)

// NewRaw admits opaque bytes as they are.
//
// Bytes that a reader of the log could take for an entry of another kind are
// refused: nothing in a raw entry was verified, and a hashedrekord whose
// signature nobody checked must not stand in the log. Readers may be more
// lenient than Parse, so whatever is a JSON object with an apiVersion and a kind
// counts.
func NewRaw(b []byte) (Entry, error) {
	if len(b) == 0 {
		return Entry{}, invalidf("it is empty; a raw entry has 1 to %d bytes", MaxCanonical)
	}
	var typed struct {
		APIVersion any `json:"apiVersion"`
		Kind       any `json:"kind"`
	}
	if json.Unmarshal(b, &typed) == nil && typed.APIVersion != nil && typed.Kind != nil {
		return Entry{}, invalidf("it is a JSON object with an apiVersion and a kind, which could pass for a verified entry: add it as what it is")
	}
	return newEntry(KindRaw, b)
}
