package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// maxBundles bounds the bundles in one file.
const maxBundles = 1000

// BundlesIn are the bundles in a file: it is one itself, or has several one after
// another, as gh attestation download and cosign download attestation print them, or
// is a list of attestations, as the npm registry and GitHub's API have it:
//
//	{"attestations": [{"predicateType": "…", "bundle": {…}}]}
//
// Any other file is returned as it is.
func BundlesIn(data []byte) (list [][]byte) {
	d := json.NewDecoder(bytes.NewReader(data))
	for len(data) <= MaxBundle {
		var one json.RawMessage
		switch err := d.Decode(&one); {
		case errors.Is(err, io.EOF) && len(list) > 0 && len(list) <= maxBundles:
			return list
		case err != nil || one[0] != '{': // Decode left out the spaces before it
			return [][]byte{data}
		}
		var attested struct {
			Attestations []struct {
				Bundle json.RawMessage `json:"bundle"`
			} `json:"attestations"`
		}
		if err := json.Unmarshal(one, &attested); err != nil || len(attested.Attestations) == 0 {
			list = append(list, one)
		}
		for _, a := range attested.Attestations {
			list = append(list, a.Bundle)
		}
	}
	return [][]byte{data}
}
