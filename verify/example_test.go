package verify_test

import (
	"embed"
	"fmt"
	"log"
	"strings"

	"indelible/checkpoint"
	"indelible/verify"
)

// What cosign wrote, with a log of which two of three witnesses must cosign.
//
//go:embed testdata
var testdata embed.FS

func read(name string) []byte {
	data, err := testdata.ReadFile("testdata/" + name)
	if err != nil {
		log.Fatal(err)
	}
	return data
}

// A bundle of cosign's is held against a policy and the signer's key.
func ExampleVerifyBundle() {
	policy, err := checkpoint.ParsePolicy(read("policy.txt")) // from whom you trust
	if err != nil {
		log.Fatal(err)
	}
	trust := verify.Trust{
		Policy:  policy,
		Signers: []verify.Signer{{Fingerprint: string(read("cosign.fingerprint"))}},
	}
	result, err := verify.VerifyBundle(strings.NewReader("true\n"), read("cosign3-v2-blob.json"), trust)
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range result.Checks {
		fmt.Println(c.State, c.Name)
	}
	fmt.Println("verified:", result.Verified)
	// Output:
	// passed bundle
	// passed entry
	// passed artifact
	// passed signature
	// passed checkpoint
	// passed witnesses
	// passed inclusion
	// passed time
	// not checked timestamp
	// passed signer
	// verified: true
}
