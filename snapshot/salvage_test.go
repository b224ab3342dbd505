package snapshot_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/snapshot"
)

// The door of a library user: no Manager, the newest verified backup gives the schema.
func TestSalvageTakesTheSchemaFromTheNewestBackup(t *testing.T) {
	b := fieldBench(t, readFile(t, "../testdata/field/old.db"))
	b.auto()
	want := ordinaryRows(t, b.m.Database())
	damaged := readFile(t, "../testdata/field/old.db")
	clear(damaged[:int(damaged[16])<<8|int(damaged[17])])
	writeFile(t, b.m.Database(), damaged)
	to := filepath.Join(t.TempDir(), "to.db")
	done, err := snapshot.Salvage(t.Context(), b.m.Database(), to, snapshot.SalvageOptions{Dir: b.m.Dir()})
	if err != nil {
		t.Fatal(err)
	}
	if got := ordinaryRows(t, to); want == 0 || got != want || !done.SchemaDamaged {
		t.Errorf("%d rows, want %d: %+v", got, want, done)
	}
	if string(readFile(t, b.m.Database())) != string(damaged) {
		t.Error("the damaged database has changed")
	}
	_, err = snapshot.Salvage(t.Context(), b.m.Database(), to, snapshot.SalvageOptions{Dir: b.m.Dir()})
	if !errors.Is(err, snapshot.ErrRefused) {
		t.Errorf("over an existing file: %v", err)
	}
	_, err = snapshot.Salvage(t.Context(), filepath.Join(t.TempDir(), "none.db"), to+"2", snapshot.SalvageOptions{})
	if !errors.Is(err, snapshot.ErrMissing) {
		t.Errorf("of a missing database: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(to)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// After a restore it is said how many rows the kept file still has that the backup lacks.
func TestRecoverCountsWhatItDidNotBringBack(t *testing.T) {
	b := fieldBench(t, readFile(t, "../testdata/field/old.db"))
	b.auto()
	before := ordinaryRows(t, b.m.Database())
	writeFile(t, b.m.Database(), readFile(t, "../testdata/field/one_leaf_zero.db"))
	rec, err := b.m.Recover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if rec.Action != snapshot.ActionRestored || rec.Unrestored == nil || *rec.Unrestored < 439-before || *rec.Unrestored > 439 {
		t.Errorf("%+v, %v", rec, rec.Unrestored)
	}
}

// A plan for a database that no way out leaves whole says what salvage brings out, and counts what the backup lacks.
func TestPlanListsSalvage(t *testing.T) {
	t.Parallel()
	b := fieldBench(t, readFile(t, "../testdata/field/old.db"))
	b.auto()
	before := ordinaryRows(t, b.m.Database())
	damaged := readFile(t, "../testdata/field/one_leaf_zero.db")
	writeFile(t, b.m.Database(), damaged)
	plan := b.plan()
	if len(plan.Options) != 2 || plan.Options[0].Action != snapshot.ActionRestored || !plan.Options[0].Chosen || plan.Options[1].Action != snapshot.ActionSalvage {
		t.Fatalf("%+v", plan)
	}
	if n := plan.Options[0].RowsLost; n == nil || *n < 439-before || *n > 439 {
		t.Errorf("a restore loses %v", n)
	}
	to := filepath.Join(t.TempDir(), "to.db")
	done, err := snapshot.Salvage(t.Context(), b.m.Database(), to, snapshot.SalvageOptions{Dir: b.m.Dir()})
	if err != nil {
		t.Fatal(err)
	}
	rows := int64(0)
	for _, table := range done.Tables {
		rows += table.Rows
	}
	if o := plan.Options[1]; o.Chosen || o.Backup != nil || !strings.Contains(o.Loses, fmt.Sprintf(" %d rows can be written", rows)) {
		t.Errorf("%+v, and salvage wrote %d rows", o, rows)
	}
	if string(readFile(t, b.m.Database())) != string(damaged) {
		t.Error("the plan has changed the database")
	}
}
