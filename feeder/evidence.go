package feeder

import (
	"fmt"
	"os"

	"indelible/checkpoint"
	"indelible/evidence"
	"indelible/evidence/folder"
	"indelible/witness"
)

// contradiction writes the evidence that the log contradicts what the witness
// cosigned, unless that was done before.
func (l *feed) contradiction(kind evidence.Kind, head witness.Head, prove func() ([]byte, error)) error {
	said := fmt.Errorf("%w (%s)", ErrContradiction, kind)
	path, made, err := folder.Keep(l.cfg.Evidence, kind, checkpoint.Checkpoint{Origin: l.Origin, Size: head.Size, Root: head.Root}, prove)
	if err != nil {
		return fmt.Errorf("%w, %w", said, err)
	}
	if made && l.cfg.Events.Contradicted != nil {
		l.cfg.Events.Contradicted(l.Origin, kind, path)
	}
	return fmt.Errorf("%w: the evidence is %s", said, path)
}

// KeepTwoHeads writes the evidence that a log signed a checkpoint beside the one
// of that size which the witness cosigned, into a folder that is made if it is
// not there. Made is false if that was done before.
func KeepTwoHeads(dir string, l witness.Log, cosigned witness.Head, note []byte) (path string, made bool, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", false, err
	}
	return folder.Keep(dir, evidence.TwoHeads, checkpoint.Checkpoint{Origin: l.Origin, Size: cosigned.Size, Root: cosigned.Root}, func() ([]byte, error) {
		return evidence.OfTwoHeads(l.Keys, cosigned.Note, note)
	})
}
