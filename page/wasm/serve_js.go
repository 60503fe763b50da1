package main

import (
	"bufio"
	"errors"
	"io"
	"syscall/js"

	"indelible/page/prover"
)

// piece is how much of a file is read at once, in bytes.
const piece = 1 << 20

// serve answers until the page is closed.
func serve() {
	js.Global().Set("indelibleProver", js.FuncOf(func(_ js.Value, args []js.Value) any {
		name, question := args[0].String(), []byte(args[1].String())
		var file io.Reader
		if blob := args[2]; blob.Truthy() {
			file = bufio.NewReaderSize(&reader{blob: blob, progress: args[3], size: blob.Get("size").Float()}, piece)
		}
		return promise(func() string { return string(prover.Answer(name, question, file)) })
	}))
	select {}
}

// promise runs f beside the page, which may call again meanwhile.
func promise(f func() string) js.Value {
	var start js.Func
	start = js.FuncOf(func(_ js.Value, args []js.Value) any {
		go func() {
			defer start.Release()
			args[0].Invoke(f())
		}()
		return nil
	})
	return js.Global().Get("Promise").New(start)
}

// reader reads a Blob.
type reader struct {
	blob, progress js.Value
	at, size       float64 // in bytes; JavaScript's numbers are exact up to 2^53
}

func (r *reader) Read(p []byte) (int, error) {
	if r.at >= r.size {
		return 0, io.EOF
	}
	end := min(r.at+float64(len(p)), r.size)
	data, err := await(r.blob.Call("slice", r.at, end).Call("arrayBuffer"))
	if err != nil {
		return 0, err
	}
	n := js.CopyBytesToGo(p, js.Global().Get("Uint8Array").New(data))
	r.at += float64(n)
	if r.progress.Truthy() {
		r.progress.Invoke(r.at)
	}
	return n, nil
}

// await waits for a promise.
func await(promise js.Value) (js.Value, error) {
	type settled struct {
		value js.Value
		err   error
	}
	done := make(chan settled, 1)
	then := js.FuncOf(func(_ js.Value, args []js.Value) any {
		done <- settled{value: args[0]}
		return nil
	})
	defer then.Release()
	fail := js.FuncOf(func(_ js.Value, args []js.Value) any {
		done <- settled{err: errors.New(args[0].Call("toString").String())}
		return nil
	})
	defer fail.Release()
	promise.Call("then", then, fail)
	s := <-done
	return s.value, s.err
}
