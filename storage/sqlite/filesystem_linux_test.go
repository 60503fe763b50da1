package sqlite

import (
	"path/filepath"
	"testing"
)

func TestNetworkFilesystem(t *testing.T) {
	for magic, want := range map[uint32]string{
		0x6969: "NFS", 0xff534d42: "SMB", 0xfe534d42: "SMB",
		0xef53: "", 0x58465342: "", 0x9123683e: "", 0x01021994: "", 0x794c7630: "", // ext4, XFS, btrfs, tmpfs, overlayfs
	} {
		if got := networkFilesystem(magic); got != want {
			t.Errorf("%#x is %q, not %q", magic, got, want)
		}
	}
	if _, err := remote(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there is on a file system")
	}
}
