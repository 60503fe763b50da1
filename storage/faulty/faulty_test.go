package faulty

import (
	"testing"

	"indelible/storage"
	"indelible/storage/memory"
	"indelible/storage/storagetest"
)

// Without faults it is the engine that it wraps.
func TestContract(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Store {
		return Wrap(memory.New(), func(Op) Fault { return None })
	})
}
