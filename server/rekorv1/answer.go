package rekorv1

import (
	"net/http"
	"strconv"
)

// values are of headers: the same in all answers, and never changed.
type values struct {
	anyOrigin, json, text, pem, noCache []string
}

func headerValues() values {
	return values{
		anyOrigin: []string{"*"},
		json:      []string{"application/json"},
		text:      []string{"text/plain"},
		pem:       []string{"application/x-pem-file"},
		noCache:   []string{"no-cache, no-store, no-transform, must-revalidate, private, max-age=0"},
	}
}

// send answers with JSON.
func (v *values) send(w http.ResponseWriter, status int, body []byte) {
	head := w.Header()
	head["Content-Type"] = v.json
	head["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	w.Write(body)
}
