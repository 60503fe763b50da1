package checkpoint_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"

	"indelible/checkpoint"
)

func Example() {
	const origin = "log.example/2026"
	signer, err := checkpoint.NewSigner(origin, ed25519.NewKeyFromSeed(make([]byte, 32)))
	if err != nil {
		fmt.Println(err)
		return
	}
	note, err := checkpoint.Sign(checkpoint.Checkpoint{Origin: origin, Size: 7, Root: sha256.Sum256([]byte("seven"))}, signer)
	if err != nil {
		fmt.Println(err)
		return
	}
	trusted, err := checkpoint.ParseVerifier(signer.Verifier().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	opened, err := checkpoint.Open(note, []checkpoint.Verifier{trusted})
	fmt.Println(opened.Origin, opened.Size, err)

	note[len(origin)+1] = '8'
	_, err = checkpoint.Open(note, []checkpoint.Verifier{trusted})
	fmt.Println(err)
	// Output:
	// log.example/2026 7 <nil>
	// not verified: the signature by log.example/2026+89887bc5 is wrong
}
