package livedb

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/testdb"
)

// Lost: every backup of a database whose views refer to one another, for the minutes that SQLite takes to compile
// them, and the loss of all rows next to a full-text index, whose own tables are never empty.
func TestLineageIsOfTheApplicationsTables(t *testing.T) {
	db := filepath.Join(t.TempDir(), "data.db")
	if err := os.WriteFile(db, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	script := []string{"CREATE VIRTUAL TABLE words USING fts5(title); INSERT INTO words VALUES('one')",
		"CREATE TABLE full(a); INSERT INTO full VALUES(1); CREATE TABLE bare(a); CREATE TABLE words_of_users(a); CREATE TABLE word_list(a)",
		"CREATE VIEW v0 AS SELECT 1 AS a"}
	for i := range 300 {
		script = append(script, fmt.Sprintf("CREATE VIEW v%d AS SELECT x.a FROM v%d AS x, v%d AS y", i+1, i, i))
	}
	if _, err := testdb.Open(t, db).Exec(strings.Join(script, ";")); err != nil {
		t.Fatal(err)
	}
	x, err := Begin(t.Context(), db, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // it takes some ms
	defer cancel()
	f, err := x.Lineage(ctx)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(f.Bare)
	if !slices.Equal(f.Filled, []string{"full"}) || !slices.Equal(f.Bare, []string{"bare", "word_list", "words_of_users"}) {
		t.Errorf("with rows %q, without %q", f.Filled, f.Bare)
	}
}
