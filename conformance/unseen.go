package conformance

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"

	"indelible/checkpoint"
)

// unseenRules are those that cannot be tried from outside, or not by answers.
func unseenRules() []rule {
	unseen := func(name string, level Level, section, says, why string) rule {
		return rule{name, level, section, says, func(context.Context, *session) verdict { return untested("%s", why) }}
	}
	return []rule{
		{"own-keys", Must, inEd25519, "cosigners of different names have different Ed25519 keys", ownKeys},
		unseen("durable", Must, inAdd, "the checkpoint is persisted before the answer", "not visible from outside; kill the witness's process, or its machine, between answers, and run the suite again"),
		unseen("atomic", Must, inAdd, "the old size is checked and the new checkpoint persisted in one step", "rule race tries it; that it cannot fail is not visible from outside, nor are several processes on one database"),
		unseen("whole-history", Must, "tlog-cosignature, ML-DSA-44 signed message", "what is cosigned is consistent with all that was ever cosigned", "not visible from outside after the witness's database was restored from an older copy"),
	}
}

// ownKeys compares the keys that were given.
func ownKeys(_ context.Context, s *session) verdict {
	names := make(map[string][]string)
	for _, k := range s.keys {
		if pub, ok := k.PublicKey().(ed25519.PublicKey); ok && k.Algorithm() == checkpoint.CosignatureV1Ed25519 {
			if all := names[string(pub)]; !slices.Contains(all, k.Name()) {
				names[string(pub)] = append(all, k.Name())
			}
		}
	}
	for _, all := range names {
		if len(all) > 1 {
			return fail("one key cosigns as %s", fmt.Sprintf("%q", all))
		}
	}
	return pass("of those that were given")
}
