package repair

import (
	"context"
	"errors"
	"os"

	"example.com/snapd/internal/sqlitefile"
)

// repairHeader gives damaged fields of the header of the copy at path the value that they must
// have had, and reports whether there were any. That it was the right one is for the full
// check to prove.
func repairHeader(ctx context.Context, path string) (changed bool, err error) {
	err = edit(path, func(f *os.File) error {
		image, err := imageOf(f)
		if err != nil || image.Size < sqlitefile.MinPageSize {
			return err
		}
		was, err := readHeader(image)
		if err != nil {
			return err
		}
		s, err := openSource(ctx, image, nil)
		if errors.Is(err, ErrNotRepairable) || malformed(err) {
			return nil // the rebuild says so, or has a donor
		}
		if err != nil {
			return err
		}
		if changed = s.header != was; !changed {
			return nil
		}
		_, err = f.WriteAt(s.header[:], 0)
		return err
	})
	return changed, err
}

// soundFields gives fields of a header that have one possible value that value, where they have
// one that SQLite does not know.
func soundFields(h *sqlitefile.Header) {
	h.SetMagic()
	repairVersions(h)
	h.SetFractions()
	if format, known := h.SchemaFormat(); !known {
		h.SetSchemaFormat(sqlitefile.SchemaFormatRead(format))
	}
	if e := h.Encoding(); !e.Valid() {
		h.SetEncoding(e.Read())
	}
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

// imageOf is the database in f.
func imageOf(f *os.File) (Image, error) {
	fi, err := f.Stat()
	if err != nil {
		return Image{}, err
	}
	return Image{f, fi.Size()}, nil
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
