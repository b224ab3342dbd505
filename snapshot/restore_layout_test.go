package snapshot_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// layouts change what open connections take for granted of a database. Each makes another
// database of the same rows at the path to.
var layouts = map[string]struct {
	make   func(t *testing.T, from, to string)
	reason string
}{
	"page size": {func(t *testing.T, from, to string) {
		testdb.ShellQuery(t, from, "PRAGMA page_size=8192; VACUUM INTO '"+to+"'")
	}, "page size 8192 live, 4096 in the backup"},
	"text encoding": {func(t *testing.T, from, to string) {
		dump := filepath.Join(t.TempDir(), "dump.sql")
		must(t, os.WriteFile(dump, []byte("PRAGMA encoding='UTF-16le';\n"+testdb.ShellQuery(t, from, ".dump")), 0o600))
		testdb.ShellQuery(t, to, ".read "+dump)
	}, "text encoding UTF-16le live, UTF-8 in the backup"},
	"reserved bytes": {func(t *testing.T, from, to string) {
		must(t, os.WriteFile(to, readFile(t, from), 0o600))
		command(t, testdb.RequireTool(t, "sqlite3"), "-batch", to, ".filectrl reserve_bytes 8", "VACUUM")
	}, "8 reserved bytes a page live, 0 in the backup"},
}

// Lost: what an open connection writes by another layout than the file has, after a restore
// of a backup that is laid out in another way. The file is swapped, for that reason; an open
// connection refuses it, with advice that fits.
func TestRestoreOfAnotherLayout(t *testing.T) {
	for name, layout := range layouts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "delete", func(c *snapshot.Config) { c.LockWait = 300 * time.Millisecond })
			b.mark("backed up")
			old := b.manual()
			other := filepath.Join(t.TempDir(), "other.db")
			layout.make(t, b.m.Database(), other)
			testdb.Damaged(t, b.m.Database())
			must(t, os.Rename(other, b.m.Database()))
			b.reopen()
			b.mark("later")

			peer := startShell(t, b.m.Database())
			peer.ask("SELECT count(*) FROM accounts")
			_, err := b.m.Restore(t.Context(), old.ID, snapshot.RestoreOptions{})
			if !errors.Is(err, snapshot.ErrBusy) || !strings.Contains(err.Error(), layout.reason) || strings.Contains(snapshot.Hint(err), "--offline") {
				t.Errorf("next to an open connection: %v (%s)", err, snapshot.Hint(err))
			}
			peer.end()
			res, err := b.m.Restore(t.Context(), old.ID, snapshot.RestoreOptions{})
			if err != nil || res.Method != snapshot.Swap || res.Reason != layout.reason || res.SafetyBackup == nil {
				t.Fatalf("%+v, %v", res, err)
			}
			if b.marked() != "backed up" || b.markIn(*res.SafetyBackup) != "later" {
				t.Errorf("marked %q, and %q before", b.marked(), b.markIn(*res.SafetyBackup))
			}
			testdb.ShellIntegrity(t, b.m.Database())
		})
	}
}
