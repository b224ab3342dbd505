package rowdiff

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/testdb"
)

// TestAgreesWithPlainConnections compares random pairs of states, both ways, with what two plain connections read row by row, and
// has the patch applied, by SQLite's own shell where it is there.
func TestAgreesWithPlainConnections(t *testing.T) {
	t.Parallel()
	pairs := 500 / testdb.Sampled(12)
	for seed := range pairs {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			a, b := pairOfStates(t, uint64(seed))
			compared(t, a, b, diffOf(t, a, b))
			compared(t, b, a, narrowed(t, b, a))
			if !slices.Equal(listOf(t, narrowed(t, a, b)), listOf(t, diffOf(t, a, b))) {
				t.Error("with pages compared the differences are others")
			}
		})
	}
}

// compared compares two states, and checks all that is said of them.
func compared(t *testing.T, a, b string, d *Diff) {
	t.Helper()
	for _, table := range d.Tables() {
		got, err := d.Count(t.Context(), table)
		if err != nil {
			t.Fatal(err)
		}
		want := plainly(t, d, table, got.ComparedBy, a, b)
		if got != want {
			t.Errorf("%s → %s: table %s: %+v, want %+v", filepath.Base(a), filepath.Base(b), table, got, want)
		}
		var listed TableCounts
		err = d.Rows(t.Context(), table, func(c Change) error {
			switch c.Op {
			case Insert:
				listed.Added++
			case Delete:
				listed.Removed++
			case Update:
				listed.Changed++
			}
			return nil
		})
		if listed.Name, listed.ComparedBy = got.Name, got.ComparedBy; err != nil || listed != got {
			t.Errorf("table %s: rows %+v of %+v, %v", table, listed, got, err)
		}
	}
	var script bytes.Buffer
	if err := d.Patch(t.Context(), &script, ""); err != nil {
		t.Fatal(err)
	}
	patched := filepath.Join(t.TempDir(), "patched.db")
	copyFile(t, a, patched)
	applyPatch(t, patched, script.String())
	if got, want := contentOfFile(t, d, patched), contentOfFile(t, d, b); got != want {
		t.Errorf("patched %s: %s\npatch:\n%s", filepath.Base(a), firstDifference(got, want), cut(script.String()))
	}
}

// firstDifference is what only one of two contents has, at first.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	only := func(x, y []string) string {
		return cut(strings.Join(slices.DeleteFunc(slices.Clone(x), func(l string) bool { return slices.Contains(y, l) }), "\n"))
	}
	return fmt.Sprintf("%d lines, want %d; too much:\n%s\nmissing:\n%s", len(g), len(w), only(g, w), only(w, g))
}

func cut(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = l[:min(len(l), 160)]
	}
	return strings.Join(lines[:min(len(lines), 20)], "\n")
}

// plainly counts the differences of a table by reading all of it.
func plainly(t *testing.T, d *Diff, table string, by ComparedBy, a, b string) TableCounts {
	t.Helper()
	p, err := d.pair(table)
	if err != nil {
		t.Fatal(err)
	}
	want := TableCounts{Name: p.name, ComparedBy: by}
	var rows [2][][]string
	for i, path := range []string{a, b} {
		if p.objects[i] == nil {
			continue
		}
		var columns []string
		for _, place := range p.places[i] {
			columns = append(columns, sqlite.QuoteName(p.tables[i].Columns[place].Stored))
		}
		if by == ByRowID {
			columns = append(columns, p.tables[i].RowID)
		}
		rows[i] = rowsOf(t, path, p.tables[i].From, columns)
	}
	key := func(row []string) string {
		switch by {
		case ByRowID:
			return row[len(row)-1]
		case ByRow:
			return strings.Join(row, ",")
		}
		var parts []string
		for _, k := range p.key {
			parts = append(parts, plainKey(row[k.value], k.collation, d))
		}
		for _, part := range parts {
			if part == "NULL" {
				return strings.Join(row, ",") // matches only itself
			}
		}
		return strings.Join(parts, ",")
	}
	before := map[string][]string{}
	for _, row := range rows[0] {
		k := key(row)
		before[k] = append(before[k], strings.Join(row, ","))
	}
	for _, row := range rows[1] {
		k := key(row)
		switch was := before[k]; {
		case len(was) == 0:
			want.Added++
		default:
			if was[0] != strings.Join(row, ",") {
				want.Changed++
			}
			before[k] = was[1:]
		}
	}
	for _, left := range before {
		want.Removed += int64(len(left))
	}
	return want
}

// plainKey is a quoted value so that equal keys are the same text.
func plainKey(quoted, collation string, d *Diff) string {
	if text, ok := strings.CutPrefix(quoted, "t"); ok {
		raw, err := hex.DecodeString(text)
		if err != nil {
			panic(err)
		}
		s := d.encoding.Text(raw)
		switch collation {
		case "NOCASE":
			s = fold(s)
		case "RTRIM":
			s = strings.TrimRight(s, " ")
		}
		return "t" + s
	}
	if f, err := strconv.ParseFloat(quoted, 64); err == nil && strings.ContainsAny(quoted, ".e") && f == float64(int64(f)) {
		return fmt.Sprint(int64(f))
	}
	return quoted
}

// applyPatch applies SQL as a person would, with the shell; without it through a connection.
func applyPatch(t *testing.T, path, script string) {
	t.Helper()
	shell, err := exec.LookPath("sqlite3")
	if err != nil {
		testdb.Lacking(t, "sqlite3", "apt-get install sqlite3")
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(script); err != nil {
			t.Fatal(err)
		}
		return
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), shell, "-batch", "-bail", path)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sqlite3: %v: %s\n%s", err, out, cut(script))
	}
}

// contentOfFile is all content of a database as text: schema, rows with rowids where rows are known by those, and sequences.
func contentOfFile(t *testing.T, d *Diff, path string) string {
	t.Helper()
	var all []string
	schema := sideOf(t, path)
	if err := schema.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, o := range schema.schema.Objects {
		if !o.own() && !schema.schema.shadow(o) {
			all = append(all, o.Type+" "+o.Name+" "+o.Table+" "+o.SQL)
		}
	}
	slices.Sort(all)
	for _, table := range d.Tables() {
		p, err := d.pair(table)
		if err != nil || p.tables[1] == nil {
			continue
		}
		var columns []string
		for _, c := range p.tables[1].Columns {
			columns = append(columns, sqlite.QuoteName(c.Stored))
		}
		if p.by == ByRowID {
			columns = append(columns, p.tables[1].RowID)
		}
		var rows []string
		for _, row := range rowsOf(t, path, p.tables[1].From, columns) {
			rows = append(rows, table+" "+strings.Join(row, " "))
		}
		slices.Sort(rows)
		all = append(all, rows...)
	}
	if _, ok := schema.schema.table("sqlite_sequence"); ok {
		for _, row := range rowsOf(t, path, "sqlite_sequence", []string{"name", "seq"}) {
			all = append(all, "sequence "+strings.Join(row, " "))
		}
	}
	return strings.Join(all, "\n")
}

func TestMain(m *testing.M) { os.Exit(m.Run()) }
