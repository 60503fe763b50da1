package sqlite

import (
	"fmt"
	"syscall"
)

// remote names the network file system that a path is on; it is empty for a
// local one, or one that is not known.
func remote(path string) (string, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(path, &fs); err != nil {
		return "", fmt.Errorf("ask what file system %s is on: %w", path, err)
	}
	return networkFilesystem(uint32(fs.Type)), nil
}

// networkFilesystem knows the f_type of statfs(2), of which 32 bits count.
func networkFilesystem(magic uint32) string {
	switch magic {
	case 0x6969:
		return "NFS"
	case 0x517b, 0xff534d42, 0xfe534d42:
		return "SMB"
	case 0x00c36400:
		return "Ceph"
	case 0x5346414f:
		return "AFS"
	case 0x0bd00bd0:
		return "Lustre"
	}
	return ""
}
