// Package notices has the licenses of what the programs are made of besides our own
// code, which must come with each binary.
package notices

import _ "embed"

// Text is a file that tools/notices makes (make generate).
//
//go:embed THIRD_PARTY_NOTICES
var Text string
