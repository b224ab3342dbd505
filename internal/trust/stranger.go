package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Of a [Stranger], the UID of more users than one.
const (
	Anyone  = -1 // every user
	Members = -2 // the users of a group
)

// Stranger is a user, or are users, who could exchange what a path names.
type Stranger struct {
	UID  int    // or Anyone, Members
	GID  int    // the group of what is theirs
	Path string // what is theirs: a directory or a symbolic link
}

func (s *Stranger) String() string {
	switch s.UID {
	case Anyone:
		return s.Path + " can be written by every user"
	case Members:
		return fmt.Sprintf("%s can be written by group %d", s.Path, s.GID)
	}
	return fmt.Sprintf("%s belongs to user %d", s.Path, s.UID)
}

// maxLinks is where symbolic links are called a loop, as by the kernel.
const maxLinks = 40

// Find returns the first user other than root and uid who could exchange the file at path, nil
// where there is none. The file itself may be missing, with the directories before it: these would
// be made. It may belong to anyone, but where others can write in its directory: there its owner
// can exchange it, sticky or not.
func Find(path string, uid int) (*Stranger, error) {
	s, err := find(path, uid)
	if err != nil {
		return nil, fmt.Errorf("whose the directories of %s are: %w", path, err)
	}
	return s, nil
}

// FindWriter is Find that counts users who could write in the file as well.
func FindWriter(path string, uid int) (*Stranger, error) {
	s, err := Find(path, uid)
	if err != nil || s != nil {
		return s, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("whose %s is: %w", path, err)
	}
	return stranger(path, info, uid), nil
}

func find(path string, uid int) (*Stranger, error) {
	if !filepath.IsAbs(path) { // not filepath.Abs: "link/../x" is next to what the link points to
		wd, err := os.Getwd()
		if err != nil {
			return nil, err
		}
		path = wd + string(filepath.Separator) + path
	}
	at := filepath.VolumeName(path) + string(filepath.Separator)
	rest := split(path)
	shared := false // others can make files in the directory before
	for links := 0; ; {
		info, err := os.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		isLink := info.Mode()&fs.ModeSymlink != 0
		if !isLink && (len(rest) == 0 || !info.IsDir()) {
			if shared {
				return ownerAmong(at, info, uid), nil
			}
			return nil, nil
		}
		if s := stranger(at, info, uid); s != nil {
			return s, nil
		}
		shared = info.IsDir() && info.Mode().Perm()&0o022 != 0
		if isLink {
			if links++; links > maxLinks {
				return nil, fmt.Errorf("more than %d symbolic links", maxLinks)
			}
			target, err := os.Readlink(at)
			if err != nil {
				return nil, err
			}
			at = filepath.Dir(at)
			if filepath.IsAbs(target) {
				at = filepath.VolumeName(target) + string(filepath.Separator)
			}
			rest = append(split(target), rest...)
			if len(rest) == 0 { // the link is to the root, or to "."
				continue
			}
		}
		at, rest = filepath.Join(at, rest[0]), rest[1:]
	}
}

// split returns the parts of a path below its root.
func split(path string) []string {
	path = strings.TrimPrefix(path, filepath.VolumeName(path))
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == filepath.Separator })
}

// stranger returns who owns a file, a directory or a link, or can write in it.
func stranger(path string, info fs.FileInfo, uid int) *Stranger {
	if s := ownerAmong(path, info, uid); s != nil {
		return s
	}
	if !hasOwners || info.Mode()&(fs.ModeSymlink|fs.ModeSticky) != 0 {
		return nil
	}
	switch gid := groupOf(info); {
	case info.Mode().Perm()&0o002 != 0:
		return &Stranger{UID: Anyone, GID: gid, Path: path}
	case info.Mode().Perm()&0o020 != 0 && uid == 0 && gid != 0:
		return &Stranger{UID: Members, GID: gid, Path: path}
	}
	return nil
}

// ownerAmong returns the owner, nil where that is root or uid.
func ownerAmong(path string, info fs.FileInfo, uid int) *Stranger {
	if owner, known := OwnerOf(info); known && owner != 0 && owner != uid {
		return &Stranger{UID: owner, GID: groupOf(info), Path: path}
	}
	return nil
}

// Planted reports whether another user may have put the file into the directory: others can write
// in that, and the file is neither root's nor uid's nor the directory's owner's.
func Planted(dir, file fs.FileInfo, uid int) bool {
	if dir.Mode().Perm()&0o022 == 0 {
		return false
	}
	owner, known := OwnerOf(file)
	of, _ := OwnerOf(dir)
	return known && owner != 0 && owner != uid && owner != of
}
