package repair

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// SalvageOptions of Salvage.
type SalvageOptions struct {
	// Donor is a sound database with the schema, such as a backup: what of the schema is lost comes
	// from there. nil for none.
	Donor *Image
	// Dir is for a scratch file; "" is the system's.
	Dir string
	// Progress, when not nil, is called with the table at work and how many rows were written in all.
	Progress func(table string, rows int64)
}

// Salvaged says what could be read.
type Salvaged struct {
	Tables []SalvagedTable `json:"tables"`
	// LostAndFound counts rows in LostTable: those whose table is not known, that their table
	// cannot take, or of which only an index entry is left.
	LostAndFound int64  `json:"lost_and_found"`
	LostTable    string `json:"lost_table"` // "" where there are none
	// Complete: nothing is known to be missing.
	Complete bool `json:"complete"`
	// Skipped are objects of the schema that could not be made, each with the reason.
	Skipped []string `json:"skipped"`
	// SchemaDamaged: a part of the schema could not be read.
	SchemaDamaged bool `json:"schema_damaged"`
	// DiskErrors counts pages that the disk does not give.
	DiskErrors int `json:"disk_errors"`
}

// SalvagedTable counts the rows of one table.
type SalvagedTable struct {
	Name string `json:"name"`
	Rows int64  `json:"rows"`
	// Unreadable counts rows that are known to be gone.
	Unreadable int64 `json:"unreadable"`
	// UnreadablePages counts pages that are gone with all that was below them.
	UnreadablePages int64 `json:"unreadable_pages"`
	// CutShort counts rows whose last values end too early, or are NULL: their overflow pages are gone.
	CutShort int64 `json:"cut_short"`
}

// salvager writes what can be read into a new database.
type salvager struct {
	*damaged
	ctx  context.Context
	o    SalvageOptions
	conn *sqlite.Conn
	path string
	said Salvaged
	lost lostRows
	made map[string]bool // indexes
	rows int64           // written
}

// Salvage copies every row that can still be read into the empty file at path. The damaged database is
// only read, and not by SQLite: the rows of a table are those on the pages that its root leads to, and
// on those pages that have lost the way to it and can be of no other table. All else that looks like a
// row goes into a table of its own, lost_and_found.
func Salvage(ctx context.Context, from Damaged, path string, o SalvageOptions) (_ Salvaged, err error) {
	donor, err := openDonor(ctx, o.Donor)
	if err != nil {
		return Salvaged{}, err
	}
	d, err := readDamaged(ctx, from, donor, o.Dir)
	if err != nil {
		return Salvaged{}, err
	}
	if d.Pages == 0 {
		return Salvaged{}, bad("there is no page of a database")
	}
	w := &salvager{damaged: d, ctx: ctx, o: o, path: path, made: map[string]bool{}}
	w.said.Tables, w.said.Skipped = []SalvagedTable{}, []string{}
	w.said.SchemaDamaged = len(d.trees[0].holes) > 0 || d.trees[0].lost > 0
	w.lost.salvager = w
	for _, step := range []func() error{w.copyRows, w.finish, w.prove} {
		if err := step(); err != nil {
			return Salvaged{}, err
		}
	}
	if w.said.DiskErrors = len(d.failed); w.said.DiskErrors == int(d.stored) && len(d.copies) == 0 {
		return Salvaged{}, errors.New("no page of the file can be read from the disk")
	}
	w.said.LostAndFound, w.said.LostTable = w.lost.n, w.lost.name
	w.said.Complete = w.complete()
	return w.said, nil
}

func (w *salvager) complete() bool {
	whole := !w.said.SchemaDamaged && w.said.DiskErrors == 0 && w.said.LostAndFound == 0 && len(w.said.Skipped) == 0
	for _, t := range w.said.Tables {
		whole = whole && t.Unreadable == 0 && t.UnreadablePages == 0 && t.CutShort == 0
	}
	return whole
}

// open opens the new database.
func (w *salvager) open() (err error) {
	if w.conn, err = sqlite.Open(w.path, sqlite.Options{}); err != nil {
		return err
	}
	w.conn.LimitValues(max(sqlite.MaxValue, w.from.Size))
	return w.conn.Exec(w.ctx, "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF; PRAGMA trusted_schema=0; PRAGMA foreign_keys=0; PRAGMA ignore_check_constraints=1")
}

// copyRows makes the tables and fills them.
func (w *salvager) copyRows() (err error) {
	if err := w.open(); err != nil {
		return errors.Join(err, w.close())
	}
	defer func() { err = errors.Join(err, w.close()) }()
	vacuum := 0
	if w.header.LargestRoot() != 0 {
		vacuum = 1
		if w.header.IncrementalVacuum() {
			vacuum = 2
		}
	}
	err = w.conn.Exec(w.ctx, fmt.Sprintf("PRAGMA page_size=%d; PRAGMA encoding='%s'; PRAGMA auto_vacuum=%d; PRAGMA user_version=%d; PRAGMA application_id=%d; BEGIN",
		w.PageSize, w.header.Encoding().Read(), vacuum, w.header.UserVersion(), w.header.ApplicationID()))
	if err != nil {
		return err
	}
	if err := w.makeTables(); err != nil {
		return err
	}
	for _, t := range w.trees[1:] {
		if t.kind == "table" && !strings.HasPrefix(strings.ToLower(t.name), "sqlite_") {
			if err := w.table(t); err != nil {
				return fmt.Errorf("table %s: %w", t.name, err)
			}
		}
	}
	for _, step := range []func() error{w.sequences, w.statistics, w.lost.strays} {
		if err := step(); err != nil {
			return err
		}
	}
	w.lost.close()
	return w.conn.Exec(w.ctx, "COMMIT")
}

func (w *salvager) close() error {
	if w.conn == nil {
		return nil
	}
	conn := w.conn
	w.conn = nil
	return conn.Close()
}

// create runs the one statement that made an object. what is "" where it did, else why not.
func (w *salvager) create(o object) (problem error, err error) {
	if !strings.HasPrefix(strings.ToUpper(strings.TrimSpace(o.sql)), "CREATE") {
		return errors.New("its definition is damaged"), nil
	}
	st, err := w.conn.Prepare(o.sql)
	if err == nil && st != nil {
		defer st.Close()
		_, err = st.Step(w.ctx)
	}
	return err, asDamage(err)
}

func (w *salvager) skip(o object, problem error) {
	var e *sqlite.Error
	if errors.As(problem, &e) {
		problem = errors.New(e.Msg)
	}
	w.said.Skipped = append(w.said.Skipped, fmt.Sprintf("%s %s: %v", o.kind, o.name, problem))
}

// makeTables makes the tables, and the indexes whose rules their rows must keep.
func (w *salvager) makeTables() error {
	var foreign []*tree
	for _, t := range w.trees[1:] {
		if t.kind != "table" || t.shape == nil || strings.HasPrefix(strings.ToLower(t.name), "sqlite_") {
			continue
		}
		problem, err := w.create(t.object)
		if err != nil {
			return err
		}
		if problem != nil {
			foreign = append(foreign, t)
		}
	}
	for _, t := range w.trees[1:] {
		if t.kind != "index" || t.sql == "" || t.shape == nil || !t.shape.unique {
			continue
		}
		problem, err := w.create(t.object)
		if err != nil {
			return err
		}
		w.made[strings.ToLower(t.name)] = problem == nil
	}
	for _, t := range foreign {
		if err := w.foreign(t); err != nil {
			return err
		}
	}
	return nil
}

// foreign makes a table whose definition needs a function or a collation of the application's.
// A function is called for defaults and generated columns only; an unknown collation would compare
// wrongly, and the table is made without its constraints.
func (w *salvager) foreign(t *tree) error {
	var problem error
	for range maxSettled {
		var err error
		if problem, err = w.create(t.object); err != nil || problem == nil {
			return err
		}
		if strings.Contains(problem.Error(), "collation") {
			break
		}
		if known, err := w.conn.StubUnknown(problem); err != nil || !known {
			break
		}
		for _, c := range t.shape.columns {
			if c.generated {
				w.skip(t.object, fmt.Errorf("generated columns are not filled: %w", problem))
				break
			}
		}
	}
	var columns []string
	for i, c := range t.shape.columns {
		name := sqlite.QuoteName(c.name)
		if i == t.shape.alias {
			name += " INTEGER PRIMARY KEY"
		}
		columns = append(columns, name)
	}
	w.skip(t.object, fmt.Errorf("made without types and constraints: %w", problem))
	plain := t.object
	plain.sql = "CREATE TABLE " + sqlite.QuoteName(t.name) + "(" + strings.Join(columns, ",") + ")"
	for i := range t.shape.columns {
		t.shape.columns[i].generated = false
	}
	_, err := w.create(plain)
	return err
}

// table copies the rows of a table, and what only its indexes know.
func (w *salvager) table(t *tree) error {
	said := SalvagedTable{Name: t.name, UnreadablePages: t.lost}
	in := newInserter(w, t)
	w.lost.partial = map[int64]int64{}
	defer in.close()
	err := w.pagesOf(w.ctx, t, func(n uint32, page sqlitefile.Page) error {
		if w.o.Progress != nil {
			w.o.Progress(t.name, w.rows)
		}
		bad, err := w.rowsOn(page, n, func(r row) error {
			why, err := in.insert(r)
			if err != nil {
				return err
			}
			switch {
			case why == alreadyThere:
			case why != "":
				return w.lost.add(lostRow{t: t, root: t.root, row: r, why: why})
			default:
				said.Rows++
				w.rows++
				if r.cut {
					said.CutShort++
				}
			}
			return nil
		})
		said.Unreadable += bad
		return err
	})
	if err != nil {
		return err
	}
	known, err := w.lost.fromIndexes(t, in)
	said.Unreadable = max(said.Unreadable, known)
	w.said.Tables = append(w.said.Tables, said)
	return err
}

// sequences puts back the largest rowids that AUTOINCREMENT has given.
func (w *salvager) sequences() error {
	return w.derived("sqlite_sequence", 2, "UPDATE sqlite_sequence SET seq=max(seq,?2) WHERE name=?1", "INSERT INTO sqlite_sequence(name,seq) SELECT ?1,?2 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name=?1)")
}

// statistics puts back what ANALYZE found.
func (w *salvager) statistics() error {
	i := slices.IndexFunc(w.trees, func(t *tree) bool { return sameName(t.name, "sqlite_stat1") })
	if i < 0 || w.trees[i].lost > 0 {
		return nil
	}
	if err := w.conn.Exec(w.ctx, "ANALYZE sqlite_schema"); err != nil {
		return asDamage(err)
	}
	return w.derived("sqlite_stat1", 3, "INSERT INTO sqlite_stat1(tbl,idx,stat) VALUES(?1,?2,?3)")
}

// derived runs statements with the values of each row of a table of SQLite's own.
func (w *salvager) derived(name string, columns int, statements ...string) error {
	i := slices.IndexFunc(w.trees, func(t *tree) bool { return t.kind == "table" && sameName(t.name, name) })
	if i < 0 {
		return nil
	}
	var all []*sqlite.Stmt
	defer func() {
		for _, st := range all {
			st.Close()
		}
	}()
	for _, sql := range statements {
		st, err := w.conn.Prepare(sql)
		if err != nil {
			return asDamage(err) // no table needs it
		}
		all = append(all, st)
	}
	return w.pagesOf(w.ctx, w.trees[i], func(n uint32, page sqlitefile.Page) error {
		_, err := w.rowsOn(page, n, func(r row) error {
			if len(r.values) != columns || r.cut || r.values[0].Kind != sqlitefile.Text {
				return nil
			}
			for _, st := range all {
				if err := w.run(st, r.values...); asDamage(err) != nil {
					return err
				}
			}
			return nil
		})
		return err
	})
}

// run runs a statement that gives no rows with these values.
func (w *salvager) run(st *sqlite.Stmt, values ...sqlitefile.Value) error {
	defer st.Reset()
	for i, v := range values {
		if err := st.BindValue(i+1, v, w.header.Encoding().Read()); err != nil {
			return err
		}
	}
	_, err := st.Step(w.ctx)
	return err
}

// finish makes what comes after the rows: indexes, views, triggers and virtual tables.
func (w *salvager) finish() (err error) {
	if err := w.open(); err != nil {
		return errors.Join(err, w.close())
	}
	defer func() { err = errors.Join(err, w.close()) }()
	for _, kind := range []string{"index", "view", "trigger"} {
		for _, o := range w.objects {
			if o.kind != kind || o.sql == "" || w.made[strings.ToLower(o.name)] || strings.HasPrefix(o.name, "sqlite_autoindex_") {
				continue
			}
			problem, err := w.create(o)
			if err == nil && problem != nil {
				if old, ok := w.fromDonor(o); ok {
					problem, err = w.create(old)
				}
			}
			if err != nil {
				return err
			}
			if problem != nil {
				w.skip(o, problem)
			}
		}
	}
	return w.virtual()
}

// fromDonor returns the object as the donor has it.
func (w *salvager) fromDonor(o object) (object, bool) {
	donor, err := openDonor(w.ctx, w.o.Donor)
	if err != nil {
		return object{}, false // it could be read before; the object is named as skipped
	}
	return objectOf(donor, o)
}

// virtual puts virtual tables into the schema, as they were: their modules may be unknown here.
func (w *salvager) virtual() error {
	all := slices.DeleteFunc(slices.Clone(w.objects), func(o object) bool { return !o.virtual() })
	if len(all) == 0 {
		return nil
	}
	if err := w.conn.Exec(w.ctx, "PRAGMA writable_schema=1"); err != nil {
		return err
	}
	st, err := w.conn.Prepare("INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql) VALUES('table',?,?,0,?)")
	if err != nil {
		return err
	}
	defer st.Close()
	for _, o := range all {
		for i, text := range []string{o.name, o.table, o.sql} {
			if err := st.BindText(i+1, text); err != nil {
				return err
			}
		}
		if _, err := st.Step(w.ctx); err != nil {
			return err
		}
		st.Reset()
	}
	return w.conn.Exec(w.ctx, "PRAGMA writable_schema=RESET")
}

// prove has the new database checked.
func (w *salvager) prove() error {
	report, err := integrity.CheckCopy(w.ctx, w.path, integrity.Options{Level: integrity.LevelQuick})
	if err != nil {
		return err
	}
	found := map[string]bool{}
	for _, f := range report.Findings {
		if report.Damaged() && f.Code.Severity() >= integrity.SeverityDamage {
			found[f.Message] = true
		}
	}
	w.said.Skipped = append(w.said.Skipped, slices.Sorted(maps.Keys(found))...)
	return nil
}
