package repair

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"example.com/snapd/internal/sqlitefile"
)

// judgeDonated makes sure that the rows of tables whose SQL is the donor's fit it. The table may have
// been altered since, or another one may have been made where it was.
func (b *rebuilding) judgeDonated(*os.File) (err error) {
	var donated []object
	for _, o := range b.objects {
		if o.donated && o.kind == "table" && o.root != 0 && !o.emptied && !b.said.derivedTable(o.name) {
			donated = append(donated, o)
		}
	}
	if len(donated) == 0 {
		return nil
	}
	shapes, err := newShaper(b.ctx, b.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shapes.Close()) }()
	for _, o := range donated {
		of, err := shapes.table(o)
		if err != nil {
			return err
		}
		if err := b.judgeTable(o, of); err != nil {
			return err
		}
	}
	return nil
}

// judgeTable holds the rows of one table against its shape, nil where that is not known, and against the
// rows of the donor.
func (b *rebuilding) judgeTable(o object, of *shape) error {
	i := slices.IndexFunc(b.donor.objects, func(p object) bool { return p.is("table", o.name) })
	before, had, wide := map[uint64]bool{}, int64(0), 0
	_, err := b.donor.each(b.ctx, b.donor.objects[i], false, func(rowid int64, payload []byte) error {
		r, err := sqlitefile.ParseRecord(payload)
		if had, wide = had+1, max(wide, r.Columns()); len(before) < maxStrays {
			before[hashRow(rowid, payload)] = true
		}
		return err
	})
	if err != nil {
		return notRepairable("the backup cannot be read: %w", err)
	}
	common, widest, odd := had > maxStrays, 0, false
	_, err = b.src.each(b.ctx, o, false, func(rowid int64, payload []byte) error {
		r, err := sqlitefile.ParseRecord(payload)
		common = common || before[hashRow(rowid, payload)]
		widest, odd = max(widest, r.Columns()), odd || of != nil && !of.fits(r)
		return err
	})
	switch {
	case err != nil:
		return err
	case odd, widest > 0 && widest < wide:
		return notRepairable("the SQL of table %s is lost, and its rows do not fit that of the backup: it was altered since, or is another one", o.name)
	case widest > 0 && had > 0 && !common && b.doubts[o.name] == nil:
		b.doubts[o.name] = fmt.Errorf("table %s: no row is as in the backup, and it may be another table", o.name)
	}
	return nil
}
