// Package words writes numbers of things as people do.
package words

import "strconv"

// Count is a number and its noun, in the singular or the plural: "1 entry", "2 entries",
// "0 rounds". one is the noun in the singular.
func Count[N ~int | ~int64](n N, one string) string {
	s := strconv.FormatInt(int64(n), 10) + " "
	if n == 1 {
		return s + one
	}
	if stem, ok := cutY(one); ok {
		return s + stem + "ies"
	}
	return s + one + "s"
}

// cutY cuts off a y that follows a consonant.
func cutY(noun string) (stem string, ok bool) {
	if n := len(noun); n > 1 && noun[n-1] == 'y' {
		switch noun[n-2] {
		case 'a', 'e', 'i', 'o', 'u':
		default:
			return noun[:n-1], true
		}
	}
	return "", false
}
