// Package foreign tests the mirror against logs of other software: Tessera on a file
// system, Rekor v2's own server, a static CT log that Tessera writes, and the server of
// the Go checksum database. It is a module of its own, for what these need.
package foreign
