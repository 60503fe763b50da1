package conformance

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"

	"indelible/checkpoint"
)

// form is a request that is malformed in one way and right in all others.
type form struct {
	what string
	body []byte
}

// nameless are the forms in which no log's name stands where it should: 404 says
// so too.
func nameless() []string { return []string{"two empty lines before the checkpoint", "no checkpoint"} }

// grammarRules are those about malformed requests. The spec gives the form that
// a request must have; that it is refused with 400 is inferred from the rest.
func grammarRules() []rule {
	return []rule{
		{"form-old", Client, inAdd, "an old size line in another form is not taken", malformed(oldForms)},
		{"form-proof", Client, inAdd, "a consistency proof line in another form is not taken", malformed(proofForms)},
		{"form-body", Must, inAdd, "a body of other parts is not taken", malformed(bodyForms)},
		{"form-checkpoint", Must, "tlog-checkpoint, Note text", "a checkpoint in another form is not taken", malformed(checkpointForms)},
		{"form-note", Must, inNoteFormat, "a note in another form is not taken", malformed(noteForms)},
		{"form-400", Should, inAdd, "malformed requests are answered with 400", func(_ context.Context, s *session) verdict { return unless(s.not400) }},
	}
}

// malformed tries forms. Each begins at the newest size, and leads to the log's
// true tree if it is taken.
func malformed(forms func(*session, request) []form) func(context.Context, *session) verdict {
	return func(ctx context.Context, s *session) verdict {
		var taken []string
		n := len(forms(s, s.log.extend(s.size, s.size+2)))
		for i := range n {
			r := s.log.extend(s.size, s.size+2)
			f := forms(s, r)[i]
			got := s.try(ctx, r, f.body)
			switch {
			case got.err != nil || got.status == http.StatusOK:
				taken = append(taken, f.what+": "+got.says())
			case got.status == http.StatusNotFound && slices.Contains(nameless(), f.what):
			case got.status != http.StatusBadRequest:
				s.not400 = append(s.not400, fmt.Sprintf("%s: %s", f.what, got.says()))
			}
			s.settle(ctx, f.what, got)
		}
		if len(taken) > 0 {
			return unless(taken)
		}
		return pass("%d forms", n)
	}
}

// sorted puts forms in one order for every run.
func sorted(forms []form) []form {
	slices.SortFunc(forms, func(a, b form) int { return strings.Compare(a.what, b.what) })
	return forms
}

// oldForms need a proof, so that only the first line is wrong.
func oldForms(s *session, r request) []form {
	rest := join(hashLines(r.proof), s.log.note(r))
	wraps := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 64), big.NewInt(r.old))
	var all []form
	for what, line := range map[string]string{
		"a leading zero": fmt.Sprintf("old 0%d\n", r.old),
		"a plus sign":    fmt.Sprintf("old +%d\n", r.old),
		"two spaces":     fmt.Sprintf("old  %d\n", r.old),
		"a tab":          fmt.Sprintf("old\t%d\n", r.old),
		"a space before": fmt.Sprintf(" old %d\n", r.old),
		"a space after":  fmt.Sprintf("old %d \n", r.old),
		"a word after":   fmt.Sprintf("old %d more\n", r.old),
		"a letter after": fmt.Sprintf("old %dx\n", r.old),
		"CR LF":          fmt.Sprintf("old %d\r\n", r.old),
		"another case":   fmt.Sprintf("Old %d\n", r.old),
		"another word":   fmt.Sprintf("size %d\n", r.old),
		"no word":        fmt.Sprintf("%d\n", r.old),
		"hexadecimal":    fmt.Sprintf("old %#x\n", r.old),
		"no size":        "old \n",
		"a minus sign":   fmt.Sprintf("old -%d\n", r.old),
		"size + 2^64":    fmt.Sprintf("old %s\n", wraps),
	} {
		all = append(all, form{what, append([]byte(line), rest...)})
	}
	return sorted(all)
}

func proofForms(s *session, r request) []form {
	lines := strings.SplitAfter(string(hashLines(r.proof)), "\n")
	first, rest := strings.TrimSuffix(lines[0], "\n"), strings.Join(lines[1:], "")
	h := r.proof[0]
	with := func(line string) []byte {
		return join(fmt.Appendf(nil, "old %d\n%s\n%s", r.old, line, rest), s.log.note(r))
	}
	return []form{
		{"no padding", with(strings.TrimRight(first, "="))},
		{"CR LF", with(first + "\r")},
		{"CR within", with(first[:20] + "\r" + first[20:])},
		{"a space before", with(" " + first)},
		{"a space after", with(first + " ")},
		{"hex", with(fmt.Sprintf("%x", h))},
		{"31 bytes", with(base64.StdEncoding.EncodeToString(h[:31]))},
		{"33 bytes", with(base64.StdEncoding.EncodeToString(append(slices.Clone(h[:]), 0)))},
		{"no base64", with("!" + first[1:])},
		{"64 lines", with(first + strings.Repeat("\n"+first, 64-len(r.proof)))},
	}
}

func bodyForms(s *session, r request) []form {
	head, note := r.head(), s.log.note(r)
	old, noName := fmt.Appendf(nil, "old %d\n", r.old), nameless()
	return []form{
		{"nothing", nil},
		{"no old size line", join(hashLines(r.proof), note)},
		{"no empty line before the checkpoint", append(bytes.Clone(head), note...)},
		{noName[0], join(head, append([]byte("\n"), note...))},
		{"an empty line before", append([]byte("\n"), join(head, note)...)},
		{noName[1], join(head, nil)},
		{"the proof before the old size line", join(append(hashLines(r.proof), old...), note)},
		{"two old size lines", join(append(old, head...), note)},
	}
}

// checkpointForms are all signed by the log.
func checkpointForms(s *session, r request) []form {
	lines := strings.Split(strings.TrimSuffix(string(r.checkpoint.Text()), "\n"), "\n")
	root := r.checkpoint.Root
	signed := func(lines ...string) []byte {
		r.text = []byte(strings.Join(lines, "\n") + "\n")
		return s.log.body(r)
	}
	return []form{
		{"a size with a leading zero", signed(lines[0], "0"+lines[1], lines[2])},
		{"a size with a plus sign", signed(lines[0], "+"+lines[1], lines[2])},
		{"a size with a space after", signed(lines[0], lines[1]+" ", lines[2])},
		{"a size with a space before", signed(lines[0], " "+lines[1], lines[2])},
		{"a size with letters after", signed(lines[0], lines[1]+"x", lines[2])},
		{"a hexadecimal size", signed(lines[0], fmt.Sprintf("%#x", r.checkpoint.Size), lines[2])},
		{"no size", signed(lines[0], lines[2])},
		{"no root", signed(lines[0], lines[1])},
		{"a root of 31 bytes", signed(lines[0], lines[1], base64.StdEncoding.EncodeToString(root[:31]))},
		{"a root of 33 bytes", signed(lines[0], lines[1], base64.StdEncoding.EncodeToString(append(slices.Clone(root[:]), 0)))},
		{"a root without padding", signed(lines[0], lines[1], strings.TrimRight(lines[2], "="))},
		{"a root with a space after", signed(lines[0], lines[1], lines[2]+" ")},
		{"an empty extension line", signed(lines[0], lines[1], lines[2], "", "extension")},
	}
}

func noteForms(s *session, r request) []form {
	head, note := r.head(), s.log.note(r)
	text, lines, _ := bytes.Cut(note, []byte("\n\n"))
	with := func(lines []byte) []byte { return join(head, append(append(bytes.Clone(text), "\n\n"...), lines...)) }
	signed := func(extension string) []byte {
		r.text = append(r.checkpoint.Text(), extension...)
		return s.log.body(r)
	}
	bad := checkpoint.Signature{Name: "a+b", KeyID: 7, Blob: make([]byte, 64)}
	return []form{
		{"no newline at the end", join(head, bytes.TrimSuffix(note, []byte("\n")))},
		{"no signature lines", with(nil)},
		{"a hyphen for the dash", with(bytes.Replace(lines, []byte("—"), []byte("-"), 1))},
		{"two spaces in a signature line", with(bytes.Replace(lines, []byte("— "), []byte("—  "), 1))},
		{"text after the signatures", with(append(bytes.Clone(lines), "text\n"...))},
		{"a plus sign in a key name", with(append(bytes.Clone(lines), checkpoint.MarshalSignatures([]checkpoint.Signature{bad})...))},
		{"an unknown signature that is not base64", with(append(bytes.Clone(lines), "— unknown.example !!!!\n"...))},
		{"a control character", signed("ring \x07\n")},
		{"a CR", signed("extension\r\n")},
		{"no UTF-8", signed("\xff\xfe\n")},
	}
}
