package swap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
)

// Access says who may use a file: mode, owner, and extended attributes, which are where
// access lists and security labels are.
type Access struct {
	Mode  fs.FileMode       `json:"mode"`
	UID   int               `json:"uid"` // -1 where the system has no such number
	GID   int               `json:"gid"`
	Attrs map[string][]byte `json:"attrs,omitempty"`
}

// maxKept bounds the attributes that a catalog keeps.
const maxKept = 4 << 10

// accessList is the attribute that has a file's POSIX access list.
const accessList = "system.posix_acl_access"

// AccessOf returns the access of the database at path, without disturbing its locks. A
// missing one is livedb.ErrMissing.
func AccessOf(path string) (Access, error) {
	a, _, err := accessAndID(path)
	return a, err
}

func accessAndID(path string) (Access, livedb.ID, error) {
	f, err := livedb.Open(path)
	if err != nil {
		return Access{}, livedb.ID{}, err
	}
	defer f.Close() // it was only looked at
	a, err := accessOf(f.Descriptor())
	if err != nil {
		return Access{}, livedb.ID{}, fmt.Errorf("access of %s: %w", path, err)
	}
	return a, f.ID(), nil
}

// accessFor is what takes the place of a replaced file gets, and of one that is missing what
// is remembered of it.
func (t *Target) accessFor(replaced *fileState, remembered *Access) (Access, error) {
	if replaced == nil {
		return accessForMissing(t.Database, remembered)
	}
	a, id, err := accessAndID(t.Database)
	if err == nil && id != replaced.ID {
		err = ErrChanged
	}
	return a, err
}

// Kept is the part of it that a catalog keeps, for the day when the file is missing.
func (a Access) Kept() Access {
	list, has := a.Attrs[accessList]
	a.Attrs = nil
	if has && len(list) <= maxKept {
		a.Attrs = map[string][]byte{accessList: list}
	}
	return a
}

// equal reports whether a and b let the same users do the same.
func (a Access) equal(b Access) bool {
	return a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && maps.EqualFunc(a.Attrs, b.Attrs, bytes.Equal)
}

// give gives f the access; the error says what f could not be given. It uses the descriptor:
// a link that another user puts in the file's place meanwhile leads nowhere.
func (a Access) give(f *os.File) error {
	now, err := accessOf(f)
	if err != nil {
		return err
	}
	if now.equal(a) { // some file systems can change nothing
		return nil
	}
	var errs []error
	if now.UID != a.UID || now.GID != a.GID {
		if err := f.Chown(a.UID, a.GID); err != nil {
			errs = append(errs, fmt.Errorf("owner %d:%d: %w", a.UID, a.GID, reason(err)))
			if now.GID != a.GID && f.Chown(-1, a.GID) != nil {
				a = a.withoutGroup()
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(now.Attrs)) {
		if _, has := a.Attrs[name]; !has && !strings.HasPrefix(name, "security.") { // a directory's default access list
			if err := removeAttr(f, name); err != nil {
				errs = append(errs, fmt.Errorf("no %s: %w", name, err))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.Attrs)) {
		if value, has := now.Attrs[name]; has && bytes.Equal(value, a.Attrs[name]) {
			continue
		}
		if err := setAttr(f, name, a.Attrs[name]); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	if err := chmod(f, a.Mode); err != nil {
		errs = append(errs, fmt.Errorf("mode %04o: %w", a.Mode, reason(err)))
	}
	return errors.Join(errs...)
}

// withoutGroup is a for a file of another group, which may do what everybody may. The users and groups that an
// access list names keep their rights.
func (a Access) withoutGroup() Access {
	list, has := a.Attrs[accessList]
	if !has {
		a.Mode &^= 0o070 &^ (a.Mode & 0o007 << 3)
		return a
	}
	const header, entry, owningGroup = 4, 8, 4 // linux/posix_acl_xattr.h: tag, rights, id
	list = bytes.Clone(list)
	for e := header; e+entry <= len(list); e += entry {
		if binary.LittleEndian.Uint16(list[e:]) == owningGroup {
			list[e+2] &= byte(a.Mode & 0o007)
		}
	}
	a.Attrs = maps.Clone(a.Attrs)
	a.Attrs[accessList] = list
	return a
}

// reason is what went wrong, without the name of a temporary file.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// chmod gives f the mode, unless it has it: a file system like FAT can change none.
func chmod(f *os.File, mode fs.FileMode) error {
	st, err := f.Stat()
	if err != nil || st.Mode().Perm() == mode {
		return err
	}
	return f.Chmod(mode)
}

// accessForMissing is what a database gets that is missing: what is remembered of it, else
// it belongs to the owner of the directory, and to no one else.
func accessForMissing(database string, remembered *Access) (Access, error) {
	if remembered != nil {
		return *remembered, nil
	}
	dir, err := os.Open(filepath.Dir(database))
	if err != nil {
		return Access{}, err
	}
	a, err := accessOf(dir)
	a.Mode, a.Attrs = 0o600, nil
	return a, errors.Join(err, dir.Close())
}

// giveTo durably gives the file at path the access of the database.
func giveTo(path, database string) (err error) {
	a, err := AccessOf(database)
	if errors.Is(err, livedb.ErrMissing) {
		a, err = accessForMissing(database, nil)
	}
	if err != nil {
		return err
	}
	f, err := durable.OpenRegular(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_ = a.give(f) // as far as that is allowed: the file is needed in any case
	return durable.Sync(f)
}
