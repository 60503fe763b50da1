// Package mirror keeps verified copies of transparency logs on disk.
//
// A directory holds copies of any number of logs. That of one log is a folder, which
// any web server or bucket can serve as it stands, since its files have the names of
// C2SP tlog-tiles; and a private folder beside it:
//
//	<hex SHA-256(origin)>/checkpoint           the newest head that the copy has whole
//	<hex SHA-256(origin)>/tile/<L>/<N>[.p/<W>] hash tiles, computed and never fetched
//	<hex SHA-256(origin)>/tile/entries/<N>[.p/<W>]
//	.mirror/<hex SHA-256(origin)>/state        how far the copy goes, and of which log it is
//	.mirror/<hex SHA-256(origin)>/heads        every head that was accepted, as the log signed it
//	.mirror/<hex SHA-256(origin)>/lock         held by the process that writes
//
// A Go checksum database and a static CT log keep their own data tiles
// (tile/data), and CT its issuers (issuer/). Entries of Rekor v1 that are too long for a
// bundle are in tile/entries32, with lengths of four bytes.
//
// # Writing
//
// A [Copy] is what one process writes:
//
//	c, err := mirror.Open(mirror.Config{Dir: dir, Origin: origin, …})
//	c.Accept(head)          // a head that was proven to extend c.Pending()
//	for c.Next() < head.Size { c.Append(block) }
//	c.Commit(head)
//
// Files are written once: beside their place, then synced, then renamed. Append does
// that in the background and in batches; what is before Next but not durable is
// appended again after a crash. Commit returns when everything below the head is
// durable, and the checkpoint that says so.
//
// Copy verifies the hash of what is appended only against the root in Commit; whoever
// appends has proven before that a block is below a head that was accepted.
package mirror
