package evidence

import (
	"fmt"

	"indelible/checkpoint"
)

// Statement says what is proven, for people who do not know what a Merkle tree
// is. It is part of the file.
func (e Evidence) Statement() string {
	return fmt.Sprintf("Whoever holds %s signed two statements\n"+
		"about the log %q that cannot both be true:\n%s"+
		"This does not tell which of the two is false, nor why it was signed: by intent,\n"+
		"by a fault, or by somebody who took the key.\n", e.holder(), e.First.Origin, e.contradiction())
}

func (e Evidence) holder() string {
	if len(e.Keys) == 2 {
		return fmt.Sprintf("the keys %q and\n%q", shortKey(e.Keys[0]), shortKey(e.Keys[1]))
	}
	return fmt.Sprintf("the key %q", shortKey(e.Keys[0]))
}

func (e Evidence) contradiction() string {
	switch e.Kind {
	case TwoHeads:
		return first(1, e.First) + first(2, e.Second) +
			"Another fingerprint means other entries. A log must never change an entry;\n" +
			"here, two histories were signed.\n"
	case Fork:
		return first(1, e.First) + first(2, e.Second) +
			fmt.Sprintf("Of the entries of statement 2, the first %d have the fingerprint\n   %s\nwhich is not that of statement 1, as the hashes in this file show.\n",
				e.First.Size, encode(e.Root)) +
			"Another fingerprint means other entries. A log must never change an entry;\n" +
			"here, two histories were signed.\n"
	}
	return largest(1, e.First) + largest(2, e.Second) +
		fmt.Sprintf("Statement 2 was signed for %d seconds later. A log must never lose an\n"+
			"entry, and who has seen %d cannot have seen at most %d later.\n",
			e.Second.Time-e.First.Time, e.First.Size, e.Second.Size)
}

func first(number int, s Signed) string {
	return fmt.Sprintf("%d. Its first %d entries have the fingerprint\n   %s\n", number, s.Size, encode(s.Root))
}

func largest(number int, s Signed) string {
	return fmt.Sprintf("%d. At the time %d (seconds since 1970, UTC) the most entries seen\n   in it were %d, with the fingerprint\n   %s\n", number, s.Time, s.Size, encode(s.Root))
}

// shortKey names a key as people do: without the key itself.
func shortKey(k checkpoint.Verifier) string { return fmt.Sprintf("%s+%08x", k.Name(), k.KeyHash()) }
