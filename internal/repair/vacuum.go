package repair

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// vacuum has SQLite write all that the copy at path holds into a new file in dir, without
// what belongs to nothing, and takes that for its content. It is VACUUM INTO because
// plain VACUUM gives the rows of some tables new rowids.
func vacuum(ctx context.Context, path, dir string) (err error) {
	fi, err := os.Stat(path)
	if err == nil {
		err = durable.Preflight(dir, fi.Size())
	}
	if err != nil {
		return err
	}
	scratch, err := durable.Scratch(dir, "repair")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scratch.Close()) }()
	if err := vacuumInto(ctx, path, scratch.Name()); err != nil {
		return err
	}
	return edit(path, func(f *os.File) error {
		var old sqlitefile.Header
		if _, err := f.ReadAt(old[:], 0); err != nil {
			return err
		}
		n, err := io.Copy(io.NewOffsetWriter(f, 0), scratch.File)
		if err != nil {
			return err
		}
		if err := f.Truncate(n); err != nil {
			return err
		}
		// The new file uses no log; the old one may have.
		return editHeader(f, func(h *sqlitefile.Header) { h.SetVersions(old.Versions()) })
	})
}

func vacuumInto(ctx context.Context, path, to string) (err error) {
	conn, err := openPrivate(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(), livedb.RemoveSidecars(path)) }()
	conn.AllowVacuum()
	return damageAs(conn.Exec(ctx, fmt.Sprintf("VACUUM INTO %s", sqlite.QuoteText(to))))
}
