package keys

import (
	"strings"
	"testing"
)

func TestKeysThatAreNoFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, uri := range []string{"awskms:///alias/x", "gcpkms://projects/p", "file:///etc/key"} {
		if _, err := Load(uri, nil); err == nil || !strings.Contains(err.Error(), "give a file") {
			t.Errorf("load %s: %v", uri, err)
		}
		if _, err := GenerateECDSA(uri, nil); err == nil || !strings.Contains(err.Error(), "give a file") {
			t.Errorf("make %s: %v", uri, err)
		}
	}
}
