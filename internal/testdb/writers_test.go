package testdb

import (
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/sqlite"
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
		c, err := sqlite.Open(path, sqlite.Options{BusyTimeout: lockWait})
		if err != nil {
			t.Fatal(err)
		}
		// The table is gone for good: the next transaction fails.
		if err := c.Exec(t.Context(), "ALTER TABLE accounts RENAME TO gone"); err != nil {
			t.Fatal(err)
		}
		<-w.ended
		// The shell reports whole milliseconds: of one fast transaction none.
		r := w.Stop()
		if len(r.Errors) == 0 || !strings.Contains(strings.Join(r.Errors, " "), "no such table") || r.LongestWait == 0 && w.name == pythonWriter {
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

// If this fails, a writer that was held off for seconds passes for one that was not.
func TestTheShellsTimerIsUnderstood(t *testing.T) {
	w := &Writer{changed: make(chan struct{})}
	w.read(strings.NewReader("Run Time: real 0.003 user 0.000101 sys 0.000000\nRun Time: real 2.250 user 0.1 sys 0.0\ncommit 7\nRun Time: real 0.001 user 0.0 sys 0.0\n"), nil, false)
	if w.longest != 2250*time.Millisecond || w.commits != 7 {
		t.Errorf("longest %v, %d commits", w.longest, w.commits)
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
