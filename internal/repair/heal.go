package repair

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/sqlitefile"
)

// Heal makes a copy of what the last commit left in the database, by an image of that which is stored; dir is for what the check
// writes. nil where the image cannot be read or does not pass its proof: then it heals nothing.
func Heal(ctx context.Context, database string, left archive.Image, dry bool, dir string) (_ *Trial, err error) {
	t, proven := &Trial{dry: dry}, false
	defer func() {
		if !proven {
			err = errors.Join(err, t.Discard())
		}
	}()
	if err := t.create(database); err != nil {
		return nil, err
	}
	if err := durable.Fits(filepath.Dir(t.file.Name()), left.Shape().Bytes()); err != nil {
		return nil, err
	}
	if err := left.Unpack(ctx, t.file, archive.CopyOptions{}); ctx.Err() != nil || durable.IsNoSpace(err) {
		return nil, errors.Join(err, ctx.Err())
	} else if err != nil {
		return nil, nil
	}
	report, err := integrity.CheckCopy(ctx, t.file.Name(), integrity.Options{Level: integrity.LevelFull, ScratchDir: dir})
	if err != nil || report.Damaged() {
		return nil, err
	}
	t.Result, proven = Result{Healed: true, Indexes: []string{}, Report: report}, true
	return t, nil
}

// Otherwise counts the pages of an image that a damaged database does not have as they are there.
func Otherwise(ctx context.Context, from Damaged, image archive.Image) (n int64, err error) {
	d, err := openDamaged(ctx, from, nil)
	if err != nil {
		return 0, fmt.Errorf("compare pages: %w", err)
	}
	size := image.Shape().PageSize
	if d.PageSize != size {
		return image.Shape().PageCount, nil
	}
	read := func(pgno int64, page []byte) error {
		_, err := d.ReadAt(page, (pgno-1)*int64(size))
		return err
	}
	return n, otherwise(ctx, read, image, func(int64) { n++ })
}

// otherwise calls differs with each page of the image that read gives otherwise, or not at all.
func otherwise(ctx context.Context, read func(pgno int64, page []byte) error, image archive.Image, differs func(pgno int64)) (err error) {
	shape, digests := image.Shape(), image.Digests()
	page, want := make([]byte, shape.PageSize), []byte(nil)
	for pgno := int64(1); pgno <= shape.PageCount; pgno++ {
		if len(want) == 0 {
			if want, err = digests.Next(int(min(shape.PageCount-pgno+1, 4096))); err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return fmt.Errorf("compare pages: %w", err)
			}
		}
		err := read(pgno, page)
		if err != nil && !errors.Is(err, sqlitefile.ErrMalformed) && !errors.Is(err, io.EOF) {
			return fmt.Errorf("compare pages: %w", err)
		}
		is := archive.PageDigest(image.Seed(), pgno, page)
		if err != nil || !bytes.Equal(is[:], want[:len(is)]) {
			differs(pgno)
		}
		want = want[len(is):]
	}
	return nil
}
