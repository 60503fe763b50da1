package mirror

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"indelible/checkpoint"
	"indelible/mirror/source"
)

// Info is what a copy remembers about its log.
type Info struct {
	Origin string
	Format source.Format
	URLs   []string
	Keys   []checkpoint.Verifier
	Next   int64       // the verified frontier
	Head   source.Head // committed; its Size is 0 if there is none
	Path   string      // the folder that is served
}

// Copies lists the copies in a directory. It takes no lock: a process may write them.
func Copies(dir string) ([]Info, error) {
	private := filepath.Join(dir, ".mirror")
	folders, err := os.ReadDir(private)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var list []Info
	for _, f := range folders {
		info, err := FindFolder(dir, f.Name())
		if errors.Is(err, ErrNoCopy) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, info)
	}
	return list, err
}

// Find is the copy of a log; ErrNoCopy if there is none.
func Find(dir, origin string) (Info, error) {
	info, err := FindFolder(dir, Folder(origin))
	if errors.Is(err, ErrNoCopy) {
		err = fmt.Errorf("%w of the log %q in %s", ErrNoCopy, origin, dir)
	}
	return info, err
}

// FindFolder is the copy whose folder has this name; ErrNoCopy if there is none.
func FindFolder(dir, folder string) (Info, error) {
	path := filepath.Join(dir, ".mirror", folder, "state")
	data, err := realDisk{}.read(path, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return Info{}, fmt.Errorf("%w: there is no %s", ErrNoCopy, path)
	}
	if err != nil {
		return Info{}, err
	}
	info, err := infoOf(dir, data)
	if err == nil && Folder(info.Origin) != folder {
		err = fmt.Errorf("it is of the log %q", info.Origin)
	}
	if err != nil {
		return info, fmt.Errorf("%s: %w", path, err)
	}
	return info, nil
}

func infoOf(dir string, data []byte) (Info, error) {
	s, err := parseState(data)
	if err != nil {
		return Info{}, err
	}
	info := Info{Origin: s.Origin, Format: s.Format, URLs: s.URLs, Next: s.Size, Path: filepath.Join(dir, Folder(s.Origin))}
	for _, k := range s.Keys {
		v, err := checkpoint.ParseVerifier(k)
		if err != nil {
			return info, err
		}
		info.Keys = append(info.Keys, v)
	}
	note, err := realDisk{}.read(filepath.Join(info.Path, "checkpoint"), checkpoint.MaxNoteSize)
	if errors.Is(err, fs.ErrNotExist) {
		return info, nil
	}
	if err == nil {
		info.Head, err = parseHead(note)
	}
	return info, err
}
