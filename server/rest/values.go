package rest

import "bytes"

// tooManyValues reports whether JSON has more values than limit. It is exact for
// JSON, and has no meaning for other text. Where there is no room for so many, it
// does not look.
func tooManyValues(data []byte, limit int) bool {
	if len(data) <= 2*limit { // a value, and a comma or a bracket
		return false
	}
	n := 1
	last := byte(0) // before what is looked at, without space
	for i := 0; i < len(data) && n <= limit; i++ {
		c := data[i]
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		case '"':
			i += stringEnd(data[i:])
		}
		if c == ',' || (last == '{' || last == '[') && c != last+2 { // its bracket
			n++
		}
		last = c
	}
	return n > limit
}

// stringEnd finds the quote that closes a string; it returns the length of data
// if there is none.
func stringEnd(data []byte) int {
	for i := 1; ; {
		at := bytes.IndexByte(data[i:], '"')
		if at < 0 {
			return len(data)
		}
		end := i + at
		i = end + 1
		backslashes := 0
		for data[end-1-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			return end
		}
	}
}
