// Package push brings entries to mirrors, and takes them as one (C2SP
// tlog-mirror). [Server] keeps copies of logs that clients push to it, and
// cosigns what it holds completely; [Client] pushes.
//
// A mirror has of each log
//
//   - a pending checkpoint, the newest that the log signed (add-checkpoint),
//   - the next entry, the first one that it does not have,
//   - a mirror checkpoint, of which it has everything, and which it cosigned.
//
// Entries arrive in packages of up to 256, each with a proof that it is part of
// the pending checkpoint's tree. A package is stored when it is proven, so what
// a broken upload brought is not lost, and two clients that push at the same time
// help each other. The mirror cosigns a checkpoint when all of it is durable and
// served, and never a smaller one than before.
//
//	POST /add-checkpoint   200 an empty answer; else as a witness answers
//	POST /add-entries      200 cosignatures: the mirror has everything up to upload_end
//	                       202 some packages were stored; mirror-info says how to go on
//	                       400 malformed, or it ended before the first package was complete
//	                       403 an unknown mirror key or log signature (add-checkpoint)
//	                       404 a log that this mirror does not know
//	                       408 no package in time
//	                       409 not the bounds that fit; mirror-info says which do
//	                       413 more bytes than one request may have
//	                       415 another content type, or an encoding other than gzip
//	                       422 a proof does not hold, or there is no pending checkpoint
//	                       503 too many uploads at this time; Retry-After
//
// # Tickets
//
// The log may have signed a newer checkpoint while an upload runs. A ticket is
// the checkpoint that the upload was for, authenticated with a key that follows
// from the mirror's own: so a restarted mirror, and another instance of it, know
// the ticket. A ticket of another log, or of another mirror, is refused.
package push

import (
	"errors"

	"indelible/merkle"
)

const (
	// PackageSize is how many entries a full package has.
	PackageSize = merkle.TileWidth
	// MaxPackages is how many packages a client sends in one request.
	// SPEC: tlog-mirror: clients SHOULD limit each request to 32.
	MaxPackages = 32
	// maxPackageBytes is the size of the largest package.
	maxPackageBytes = PackageSize*(2+merkle.MaxBundleEntry) + 1 + maxHashes*merkle.HashSize
	// maxHashes is how many hashes a proof has at most.
	maxHashes = 63

	entriesType = "application/octet-stream"
	infoType    = "text/x.tlog.mirror-info"
)

// ErrMalformed: a request or an answer is not in the form of tlog-mirror.
var ErrMalformed = errors.New("malformed")
