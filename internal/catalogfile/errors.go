package catalogfile

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound: no backup of that id in the catalog. Ids resolve through the
	// catalog only; anything that is not an id of it, a path for example, is this too.
	ErrNotFound = errors.New("no such backup")
	// ErrNoVerified: "latest" was asked for and no backup is verified. It is an ErrNotFound too.
	ErrNoVerified = errors.New("no verified backup")
	// ErrAmbiguous: several backups begin with the name that was given. It is an ErrNotFound too.
	ErrAmbiguous = fmt.Errorf("%w: several begin so", ErrNotFound)
	// ErrBusy: another process, or another part of this one, holds the lock.
	ErrBusy = errors.New("busy")
	// ErrDamaged: catalog.json cannot be read as a catalog.
	ErrDamaged = errors.New("catalog is damaged")
	// ErrVersion: catalog.json was written by a newer version of this program. Nothing is overwritten.
	ErrVersion = errors.New("catalog has a newer version")
	// ErrReadOnly: the backup directory cannot be written; reading works.
	ErrReadOnly = errors.New("backup directory is not writable")
	// ErrNoDirectory: the backup directory does not exist.
	ErrNoDirectory = errors.New("backup directory does not exist")
	// ErrOtherDirectory: there is another directory in the place of the backup directory.
	ErrOtherDirectory = errors.New("another directory is in the place of the backup directory")
	// ErrBase: the database's name cannot be used in file names.
	ErrBase = errors.New("unusable database name")
	// ErrCursor: a cursor that Page did not make.
	ErrCursor = errors.New("invalid cursor")
	// ErrUnsafe: a file of the catalog, or the backup directory, is a symbolic link,
	// a pipe or the like, which others may have put there. Nothing is written.
	ErrUnsafe = errors.New("refused for safety")
	// ErrForeign: a file named like a backup that is none of this database.
	ErrForeign = errors.New("not a backup of this database")
)
