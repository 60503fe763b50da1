// Command wasm is package page/prover for browsers. It is compiled with GOOS=js
// and GOARCH=wasm, by make generate, into page/files/prover.wasm.gz.
//
// It gives the page one function:
//
//	indelibleProver(name, question, blob, progress) → Promise of the answer
//
// name and question (JSON) are as prover.Answer has them. blob is a file that is
// read piece by piece, or null; progress is called with the bytes read, or null.
package main

func main() { serve() }
