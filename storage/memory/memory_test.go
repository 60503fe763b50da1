package memory

import (
	"testing"

	"indelible/storage"
	"indelible/storage/storagetest"
)

func TestContract(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Store { return New() })
}
