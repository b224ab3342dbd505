package rowdiff

import (
	"bytes"
	"path/filepath"
	"testing"

	"example.com/snapd/internal/testdb"
)

// Lost: a view of a patch, of whose SQL the shell takes a line for the end of the statement.
func TestPatchForTheShell(t *testing.T) {
	t.Parallel()
	a, b := filepath.Join(t.TempDir(), "a.db"), filepath.Join(t.TempDir(), "b.db")
	testdb.ShellQuery(t, a, "CREATE TABLE t(x)")
	copyFile(t, a, b)
	testdb.ShellQuery(t, b, "CREATE VIEW v AS SELECT 5\n/\n.5 AS half, 1 AS\ngo\n")
	d := diffOf(t, a, b)
	var script bytes.Buffer
	if err := d.Patch(t.Context(), &script, ""); err != nil {
		t.Fatal(err)
	}
	applyPatch(t, a, script.String())
	if got := testdb.ShellQuery(t, a, "SELECT half, go FROM v"); got != "10.0|1" {
		t.Errorf("the view gives %q", got)
	}
}
