package testdb

import (
	"strings"
	"testing"

	"example.com/snapd/internal/sqliteconn"
)

// The writers are the witnesses of the guarantee that backups do not disturb or
// mix transactions. They have to work in every mode, at once, and keep the sum.
func TestWritersTransferInEveryMode(t *testing.T) {
	for _, mode := range []string{"wal", "delete", "truncate", "persist", "memory"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			path := Variant{Name: "plain", PageSize: 4096, JournalMode: mode}.Create(t)
			o := WriterOptions{}
			if mode != "wal" {
				o.JournalMode = mode
			}
			shell, python := o.StartShell(t, path), o.StartPython(t, path)
			shell.WaitCommits(20)
			python.WaitCommits(20)
			var commits int64
			for _, w := range []*Writer{shell, python} {
				r := w.Stop()
				commits += r.Commits
				if len(r.Errors) > 0 {
					t.Errorf("%s: %q", w.name, r.Errors)
				}
				if again := w.Stop(); again.Commits != r.Commits {
					t.Errorf("stopped twice: %+v, %+v", r, again)
				}
			}
			transfers, sum := Ledger(t, path)
			if sum != variantAccounts*variantOpening || transfers < commits || transfers > commits+2 {
				t.Errorf("sum %d, %d transfers after %d reported commits", sum, transfers, commits)
			}
		})
	}
}

// A writer that waited in vain has to say so: a backup that locks writers out
// would otherwise pass.
func TestWriterReportsWhatItSuffered(t *testing.T) {
	path := Variant{Name: "plain", PageSize: 4096, JournalMode: "delete"}.Create(t)
	for _, start := range []func(testing.TB, string) *Writer{StartShellWriter, StartPythonWriter} {
		w := start(t, path)
		w.WaitCommits(1)
		c, err := sqliteconn.Open(path, sqliteconn.Options{BusyTimeout: lockWait})
		if err != nil {
			t.Fatal(err)
		}
		// The table is gone for good: the next transaction fails.
		if err := c.Exec(t.Context(), "ALTER TABLE accounts RENAME TO gone"); err != nil {
			t.Fatal(err)
		}
		<-w.ended
		if r := w.Stop(); len(r.Errors) == 0 || !strings.Contains(strings.Join(r.Errors, " "), "no such table") || r.LongestWait == 0 {
			t.Errorf("%s: %+v", w.name, r)
		}
		if err := c.Exec(t.Context(), "ALTER TABLE gone RENAME TO accounts"); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A killed writer is a crash; its database must still be checked and be whole.
func TestKilledWriterLeavesAWholeDatabase(t *testing.T) {
	path := CRM(t, 1<<20)
	w := StartPythonWriter(t, path)
	w.WaitCommits(30)
	w.Kill()
	if transfers, _ := Ledger(t, path); transfers < 30 {
		t.Errorf("%d transfers left of 30 reported ones", transfers)
	}
}
