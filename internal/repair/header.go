package repair

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"slices"

	"example.com/snapd/integrity"
)

// headerField reports whether a finding is about a field of the database header that
// can be told from the rest of the file, or has one possible value.
func headerField(f integrity.Finding) bool {
	switch f.Code {
	case integrity.CodeHeaderFractions, integrity.CodeHeaderVersion, integrity.CodeHeaderSchema, integrity.CodeHeaderEncoding:
		return true
	}
	return false
}

// repairHeader gives damaged fields of the header of the copy at path the value that
// they must have had. That it was the right one is for the full check to prove. The
// offsets are those of the SQLite file format, §1.3.
func repairHeader(ctx context.Context, path string) error {
	return edit(path, func(f *os.File) error {
		var h [100]byte
		if _, err := f.ReadAt(h[:], 0); err != nil {
			return err
		}
		repairVersions(h[18:20])
		copy(h[21:24], []byte{64, 32, 32}) // payload fractions
		if format := binary.BigEndian.Uint32(h[44:]); format > 4 {
			format &= 0xff // all that SQLite reads of it
			if format > 4 || format == 0 {
				format = 4
			}
			binary.BigEndian.PutUint32(h[44:], format)
		}
		if _, err := f.WriteAt(h[:], 0); err != nil {
			return err
		}
		return repairEncoding(ctx, path, f, binary.BigEndian.Uint32(h[56:]))
	})
}

// repairVersions gives a damaged file format version the value of the other, or that
// of a database without a log.
func repairVersions(versions []byte) {
	good := byte(1)
	for _, v := range versions {
		if v == 1 || v == 2 {
			good = v
		}
	}
	for i, v := range versions {
		if v != 1 && v != 2 {
			versions[i] = good
		}
	}
}

// repairEncoding sets a damaged text encoding, which is what the header says now, to
// the one with which the check has no quarrel: first what SQLite reads of the field.
func repairEncoding(ctx context.Context, path string, f *os.File, now uint32) error {
	says := now
	if says > 3 {
		says = max(says&3, 1)
	}
	for _, encoding := range []uint32{says, 1, 2, 3} {
		if encoding != now {
			if _, err := f.WriteAt(binary.BigEndian.AppendUint32(nil, encoding), 56); err != nil {
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
