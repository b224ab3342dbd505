package repair

import (
	"errors"
	"os"
	"slices"
	"strings"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/sqlitefile"
)

// maxSettled bounds the objects of a schema that are put right one after the other.
const maxSettled = 50

// settleSchema makes a schema that SQLite can read: what cannot be parsed comes from the donor, or
// is removed where it holds no rows. f has the trees without rows for that.
func (b *rebuilding) settleSchema(f *os.File) error {
	for range maxSettled {
		if err := b.build(f, nil); err != nil {
			return err
		}
		report, err := integrity.CheckCopy(b.ctx, f.Name(), integrity.Options{Level: integrity.LevelProbe})
		if err != nil || !report.Damaged() {
			return err
		}
		if b.addIndexes(report) {
			continue
		}
		i := slices.IndexFunc(report.Findings, func(f integrity.Finding) bool { return f.Object != "" })
		if i < 0 || !b.putRight(report.Findings[i].Object) {
			return notRepairable("%s", worst(report))
		}
	}
	return notRepairable("more than %d objects of the schema cannot be parsed", maxSettled)
}

// addIndexes adds the rows of indexes that the schema lost, and that SQLite made by itself: the table's
// SQL says what they are. It reports whether there were any.
func (b *rebuilding) addIndexes(report integrity.Report) (added bool) {
	for _, f := range report.Findings {
		there := slices.ContainsFunc(b.objects, func(o object) bool { return o.is("index", f.Index) })
		if f.Code != integrity.CodeSchemaIndex || there {
			continue
		}
		added = true
		b.objects = append(b.objects, object{
			kind: "index", name: f.Index, table: f.Table, root: 1, // it gets another
			record: sqlitefile.AutoIndexRecord(b.src.header.Encoding(), f.Index, f.Table),
		})
	}
	return added
}

// putRight repairs an object that SQLite cannot parse, and reports whether it did.
func (b *rebuilding) putRight(name string) bool {
	// Of several with the name the last one is what SQLite met when it gave up.
	for i, o := range slices.Backward(b.objects) {
		if !strings.EqualFold(o.name, name) {
			continue
		}
		if old, ok := b.fromDonor(o); ok {
			b.objects[i].sql, b.objects[i].record, b.objects[i].donated = old.sql, old.record, true
			b.said.Donated = true
			return true
		}
		if o.kind == "table" || o.kind == "index" && o.sql == "" {
			return false
		}
		b.objects = slices.Delete(b.objects, i, i+1)
		b.said.Removed = append(b.said.Removed, o.kind+" "+o.name)
		return true
	}
	return false
}

// fromDonor returns the object as the donor has it, where that is something else.
func (b *rebuilding) fromDonor(o object) (object, bool) {
	if b.donor == nil || b.donor.header.Encoding() != b.src.header.Encoding() {
		return object{}, false
	}
	for _, old := range b.donor.objects {
		if old.is(o.kind, o.name) && old.table == o.table && old.sql != o.sql {
			return old, true
		}
	}
	return object{}, false
}

// settleDerived finds tables that hold what is derived from others, and that are damaged: the
// statistics of ANALYZE, and what FTS5 keeps of its words. They begin empty.
func (b *rebuilding) settleDerived(f *os.File) (err error) {
	conn, err := openPrivate(f.Name())
	if err != nil {
		return err
	}
	b.said.fullText, err = fullTextTables(b.ctx, conn)
	if err = errors.Join(damageAs(err), conn.Close()); err != nil {
		return err
	}
	emptied := false
	for i, o := range b.objects {
		statistics := strings.HasPrefix(o.name, "sqlite_stat")
		if o.kind != "table" || !statistics && !b.said.derivedTable(o.name) {
			continue
		}
		w, err := b.src.each(b.ctx, o, false, func(int64, []byte) error { return nil })
		if err != nil && !malformed(err) {
			return err
		}
		if err == nil && w.trouble == nil {
			continue
		}
		b.objects[i].emptied, emptied = true, true
		if statistics {
			b.said.Emptied = append(b.said.Emptied, o.name)
		}
	}
	if emptied {
		return b.settleSchema(f)
	}
	return nil
}

// derivedTable reports whether a table holds what FTS5 derives from the content.
func (r *Result) derivedTable(name string) bool { return ofFullText(name, r.fullText) }
