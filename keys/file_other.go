//go:build !unix

package keys

import "io/fs"

// checkPermissions accepts everything: the mode says nothing about who may read.
func checkPermissions(string, fs.FileInfo) error { return nil }
