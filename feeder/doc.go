// Package feeder goes and looks at logs that do not come to the witness by
// themselves: it polls any log that serves C2SP tlog-tiles, proves from the
// log's tiles that it grew out of what the witness cosigned last, and hands the
// checkpoint to the witness, which decides.
//
// # Logs
//
// A list of logs is a tlog-policy file that asks for no witnesses:
//
//	log example.com/log+ab3a2178+AXd26HC5M1TyoLJMI/KjbMToDiIyGMG5eSb90Bg5aiub https://log.example.com/
//	quorum none
//
// A log with several keys has several lines, with one URL. Each log has a
// goroutine, a time limit and a pause that grows of its own, so that none waits
// for another; it takes at most about a megabyte while it is looked at.
//
// # Contradictions
//
// A log that signed two roots for one size, or a tree that does not begin with
// the one that the witness cosigned, gets a file of evidence (package evidence),
// made from its own signatures and tiles: one for each checkpoint that it
// contradicted, never overwritten, and no more than a few for a log. The witness
// goes on refusing the log as long as it does not extend what was cosigned.
//
// A log that only shows a smaller tree than before may be a copy that is late,
// which proves nothing, and is told as ErrBehind. When the smaller tree is not
// the beginning of the larger one, and the log still serves tiles of the larger
// one, or has grown beyond it, then that is a fork, and proven. When the log
// signs times and signed the smaller one later, that is proven too.
package feeder
