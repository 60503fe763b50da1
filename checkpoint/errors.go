package checkpoint

import (
	"errors"
	"fmt"
)

var (
	// ErrMalformed is wrapped by every error about bytes that are not in the
	// form this package reads.
	ErrMalformed = errors.New("malformed")

	// ErrUnverified is wrapped by every error about a well-formed note that
	// must not be believed: no known log signed it, a known key's signature is
	// wrong, or the policy's quorum is not met.
	ErrUnverified = errors.New("not verified")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w %s", ErrMalformed, fmt.Sprintf(format, args...))
}

func unverified(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnverified, fmt.Sprintf(format, args...))
}
