package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"indelible/checkpoint"
	"indelible/mirror/source"
)

// heads is the folder with the newest tree head of a log that this user was shown:
// a file that is named by size and root, and holds the checkpoint.
//
// Processes need no lock. Each writes its head, then looks which others there are,
// and removes only those that are proven to be a beginning of its own. So where two
// processes are shown two histories at the same time, one of them sees both.
type heads string

// headsDir is where the heads of a log are remembered.
func headsDir(home, origin string) heads {
	return heads(strings.TrimSuffix(pinFile(home, origin), ".vkey") + ".heads")
}

// errUnremembered: a head extends what is remembered, and could not be written.
var errUnremembered = errors.New("the log's tree head is not remembered")

// behindError is a head that is smaller than a remembered one, and its beginning.
type behindError struct{ shown, remembered source.Head }

func (e *behindError) Error() string {
	return fmt.Sprintf("the log showed its tree of size %d, and it showed a larger one, of size %d, before: the answer comes from a server or a cache that is behind. Ask again later", e.shown.Size, e.remembered.Size)
}

// extend remembers a head if it extends each one that is remembered and that one of the
// keys signed: two logs of one name, with keys of their own, say nothing about each
// other. extends proves that the tree of the older head is the beginning of that of the
// newer; if it fails, nothing is remembered.
func (h heads) extend(head source.Head, keys []checkpoint.Verifier, extends func(older, newer source.Head) error) error {
	checked := map[string]bool{headName(head): true}
	written := false
	for {
		others, err := h.others(checked, keys)
		if err != nil {
			return err
		}
		if len(others) == 0 && (written || h.has(head)) {
			return h.forget(checked, head)
		}
		for name, other := range others {
			if err := extendsEither(head, other, extends); err != nil {
				if written {
					err = errors.Join(err, os.Remove(h.file(head)))
				}
				return err
			}
			checked[name] = true
		}
		if len(others) == 0 {
			if err := writeOwn(h.file(head), head.Note); err != nil {
				return fmt.Errorf("%w: %w", errUnremembered, err)
			}
			written = true
		}
	}
}

// extendsEither demands that a head is another one, or extends it.
func extendsEither(head, other source.Head, extends func(older, newer source.Head) error) error {
	if head.Size >= other.Size {
		return extends(other, head)
	}
	if err := extends(head, other); err != nil {
		return err
	}
	return &behindError{shown: head, remembered: other}
}

func headName(h source.Head) string { return fmt.Sprintf("%d-%x", h.Size, h.Root[:16]) }

func (h heads) file(head source.Head) string { return filepath.Join(string(h), headName(head)) }

func (h heads) has(head source.Head) bool {
	_, err := os.Stat(h.file(head))
	return err == nil
}

// others are the remembered heads of these keys that were not checked yet, by their files'
// names.
func (h heads) others(checked map[string]bool, keys []checkpoint.Verifier) (map[string]source.Head, error) {
	entries, err := os.ReadDir(string(h))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	list := map[string]source.Head{}
	for _, e := range entries {
		name := e.Name()
		if checked[name] || strings.HasPrefix(name, ".") {
			continue
		}
		head, err := readHead(filepath.Join(string(h), name))
		if errors.Is(err, os.ErrNotExist) {
			continue // another process remembers one that extends it
		}
		if err != nil {
			return nil, err
		}
		if ofKeys(head, keys) {
			list[name] = head
		}
	}
	return list, nil
}

// ofKeys reports whether a head has a signature line of one of the keys. The line was
// verified before the head was remembered.
func ofKeys(head source.Head, keys []checkpoint.Verifier) bool {
	n, err := checkpoint.ParseNote(head.Note)
	return err == nil && slices.ContainsFunc(n.Signatures, func(s checkpoint.Signature) bool {
		return slices.ContainsFunc(keys, func(k checkpoint.Verifier) bool { return s.Name == k.Name() && s.KeyID == k.KeyHash() })
	})
}

func readHead(file string) (source.Head, error) {
	text, err := readFile(file, checkpoint.MaxNoteSize)
	if err != nil {
		return source.Head{}, err
	}
	var c checkpoint.Checkpoint
	note, err := checkpoint.ParseNote(text)
	if err == nil {
		c, _, err = checkpoint.ParseExtended(note.Text)
	}
	head := source.Head{Size: c.Size, Root: c.Root, Note: text}
	if err == nil && headName(head) != filepath.Base(file) {
		err = errors.New("its name is that of another")
	}
	if err != nil {
		return head, fmt.Errorf("the tree head that is remembered in %s is damaged: %w.\nIf you delete that file, logcli does not notice that the log contradicts what it showed you before", file, err)
	}
	return head, nil
}

// forget removes the heads that a head was proven to extend.
func (h heads) forget(checked map[string]bool, head source.Head) error {
	delete(checked, headName(head))
	for name := range checked {
		if err := os.Remove(filepath.Join(string(h), name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
