package repair

import (
	"context"
	"errors"
	"os"
	"slices"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/sqlitefile"
)

// headerField reports whether a finding is about a field of the database header that
// follows from the rest of the file, or has one possible value.
func headerField(f integrity.Finding) bool {
	switch f.Code {
	case integrity.CodeHeaderFractions, integrity.CodeHeaderVersion, integrity.CodeHeaderSchema, integrity.CodeHeaderEncoding:
		return true
	}
	return false
}

// repairHeader gives damaged fields of the header of the copy at path the value that
// they must have had. That it was the right one is for the full check to prove.
func repairHeader(ctx context.Context, path string) error {
	return edit(path, func(f *os.File) error {
		var encoding sqlitefile.Encoding
		err := editHeader(f, func(h *sqlitefile.Header) {
			repairVersions(h)
			h.SetFractions()
			if format, known := h.SchemaFormat(); !known {
				h.SetSchemaFormat(sqlitefile.SchemaFormatRead(format))
			}
			encoding = h.Encoding()
		})
		if err != nil {
			return err
		}
		return repairEncoding(ctx, path, f, encoding)
	})
}

// editHeader changes the header of the database in f.
func editHeader(f *os.File, change func(*sqlitefile.Header)) error {
	var h sqlitefile.Header
	if _, err := f.ReadAt(h[:], 0); err != nil {
		return err
	}
	change(&h)
	_, err := f.WriteAt(h[:], 0)
	return err
}

// repairVersions gives a damaged file format version the value of the other, or that
// of a database without a log.
func repairVersions(h *sqlitefile.Header) {
	write, read := h.Versions()
	good := byte(sqlitefile.VersionRollback)
	for _, v := range []byte{write, read} {
		if sqlitefile.ValidVersion(v) {
			good = v
		}
	}
	if !sqlitefile.ValidVersion(write) {
		write = good
	}
	if !sqlitefile.ValidVersion(read) {
		read = good
	}
	h.SetVersions(write, read)
}

// repairEncoding sets a damaged text encoding, which is what the header says now, to
// the one with which the check has no quarrel: first what SQLite reads of the field.
func repairEncoding(ctx context.Context, path string, f *os.File, now sqlitefile.Encoding) error {
	for _, encoding := range []sqlitefile.Encoding{now.Read(), sqlitefile.UTF8, sqlitefile.UTF16LE, sqlitefile.UTF16BE} {
		if encoding != now {
			if err := editHeader(f, func(h *sqlitefile.Header) { h.SetEncoding(encoding) }); err != nil {
				return err
			}
		}
		r, err := integrity.CheckCopy(ctx, path, integrity.Options{Level: integrity.LevelHeader})
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(r.Findings, func(f integrity.Finding) bool { return f.Code == integrity.CodeHeaderEncoding }) {
			return nil
		}
		now = encoding
	}
	return nil
}

// edit opens the file at path for fn to write to.
func edit(path string, fn func(*os.File) error) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return fn(f)
}
