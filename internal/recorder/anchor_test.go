package recorder

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/sqlitefile"
	"example.com/snapd/internal/testdb"
)

// captured is a host, and a recorder that has captured commits of an application, which is still there.
func captured(t *testing.T) (*keeping, *Recorder, *testdb.Churn) {
	t.Helper()
	h, err := newKeeping(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	app := testdb.StartChurn(t, h.path, 1, "PRAGMA wal_autocheckpoint=0; UPDATE t SET a=-a WHERE id<5; PRAGMA wal_checkpoint(TRUNCATE); UPDATE t SET a=0 WHERE id=5")
	r := h.recorder()
	if _, err := r.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return h, r, app
}

// leafPage is a page of the table, as the file has it, in which row 30 is.
func leafPage(t *testing.T, path string) (pgno int64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(sqlitefile.WAL(path))
	if err != nil {
		t.Fatal(err)
	}
	const size = 1024
	for p := int64(10); p < int64(len(b)/size); p++ {
		page := b[p*size:][:size]
		if page[0] == 13 && bytes.Contains(page, []byte("xxxx")) && !bytes.Contains(log, page[:size/2]) {
			return p + 1
		}
	}
	t.Fatal("the table has no page")
	return 0
}

func TestAnchor(t *testing.T) {
	t.Parallel()
	h, r, _ := captured(t)
	report, err := r.Anchor(t.Context())
	if err != nil || report.Verdict != integrity.Healthy {
		t.Fatalf("%+v, %v", report, err)
	}
	if _, state, _ := h.Read(); !state.Anchored(1, 1) || len(h.of(Anchored)) != 1 {
		t.Errorf("not anchored: %+v", h.reported)
	}
	if _, err := r.Anchor(t.Context()); !errors.Is(err, ErrNotAnchored) {
		t.Errorf("what is proven was proven again: %v", err)
	}
}

// Lost: the truth about which of the two is wrong. A page that has rotted in the database is no fault of the change log,
// whose points stay proven.
func TestAnchorOfADatabaseThatDiffers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		at      int64 // in the page
		damaged bool
		words   string
	}{
		"its structure": {3, true, "the database is damaged, and the change log has its pages as they were committed"}, // the number of cells
		"its content":   {900, false, "commits were missed, or its file was changed without SQLite"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, r, _ := captured(t)
			pgno := leafPage(t, h.path)
			testdb.FlipByte(t, h.path, (pgno-1)*1024+c.at)
			report, err := r.Anchor(t.Context())
			if err != nil || report.Damaged() != c.damaged {
				t.Fatalf("%+v, %v", report, err)
			}
			refuted := h.of(Refuted)
			if len(refuted) != 1 || !strings.Contains(refuted[0].Message, c.words) {
				t.Fatalf("%+v", refuted)
			}
			if want := fmt.Sprintf("at 1.1 1 of its pages differ: %d;", pgno); !strings.HasPrefix(refuted[0].Reason, want) {
				t.Errorf("%q, want %q", refuted[0].Reason, want)
			}
			_, state, _ := h.Read()
			if doubted := len(state.Anchors) > 0; doubted == c.damaged {
				t.Errorf("%+v", state.Anchors)
			}
		})
	}
}

// Lost: rows that are another table's now, where writes of two pages went astray: every page and every tree is sound, and no check sees it.
func TestAnchorFindsExchangedPages(t *testing.T) {
	t.Parallel()
	h, r, _ := captured(t)
	query := func(what string, to any) {
		t.Helper()
		db, err := sql.Open("sqlite", h.path) // without a page in memory
		if err == nil {
			err = errors.Join(db.QueryRow(what).Scan(to), db.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var one, two int64
	query("SELECT rootpage FROM sqlite_schema WHERE name='one'", &one)
	query("SELECT rootpage FROM sqlite_schema WHERE name='two'", &two)
	testdb.SwapPages(t, h.path, one, two)
	var text string
	if query("SELECT x FROM one", &text); text != "of two" {
		t.Fatalf("%q: nothing was exchanged", text)
	}
	if report, err := integrity.Check(t.Context(), h.path, integrity.Options{Level: integrity.LevelFull}); err != nil || report.Verdict != integrity.Healthy {
		t.Fatalf("a full check sees it: %+v, %v", report, err)
	}
	report, err := r.Anchor(t.Context())
	if err != nil || report.Damaged() {
		t.Fatalf("%+v, %v", report, err)
	}
	refuted := h.of(Refuted)
	if want := fmt.Sprintf("at 1.1 2 of its pages differ: %d %d;", min(one, two), max(one, two)); len(refuted) != 1 || !strings.HasPrefix(refuted[0].Reason, want) {
		t.Errorf("%+v, want %q", refuted, want)
	}
}

// anchorChild anchors a change log while calls of it fail, and then without that. args: directory, file for what it says.
func anchorChild(args []string) error {
	h, err := newKeeping(args[0])
	if err != nil {
		return err
	}
	app, err := sql.Open("sqlite", h.path)
	if err != nil {
		return err
	}
	app.SetMaxOpenConns(1)
	if _, err := app.Exec("PRAGMA wal_autocheckpoint=0; UPDATE t SET a=0 WHERE id=5"); err != nil {
		return err
	}
	r := h.recorder()
	if _, err := r.look(context.Background()); err != nil {
		return err
	}
	r.close() // it is opened again next to the faults
	said, err := os.OpenFile(args[1], os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if err := testdb.HandOverCalls(); err != nil {
		return err
	}
	for range 2 {
		report, err := r.Anchor(context.Background())
		if _, err := fmt.Fprintf(said, "anchored %d refuted %d damaged %v: %v\n", len(h.of(Anchored)), len(h.of(Refuted)), report.Damaged(), err); err != nil {
			return err
		}
	}
	return nil
}

// A call that fails while a change log is proven, whichever it is, is neither a refutation nor damage, and the next attempt
// proves the log. Each 37th fault is made here; with SNAPD_SWEEP all are.
func TestFaultsOfAnAnchor(t *testing.T) {
	t.Parallel()
	run := func(where string, decide func(n int, c testdb.Call) testdb.Fault) []string {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		said := filepath.Join(t.TempDir(), "said")
		if err := os.WriteFile(said, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		n := 0
		err = testdb.WithFaults(t, dir, func(c testdb.Call) testdb.Fault {
			n++
			return decide(n-1, c)
		}, "anchor", dir, said).Wait()
		text, errRead := os.ReadFile(said)
		if err := errors.Join(err, errRead); err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		return strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	var calls []testdb.Call
	run("without a fault", func(_ int, c testdb.Call) testdb.Fault {
		calls = append(calls, c)
		return testdb.Fault{}
	})
	part, whole := testdb.SweepPart(t)
	made := 0
	for n, c := range calls {
		for i, f := range []testdb.Fault{{Errno: syscall.EIO}, {Errno: syscall.EINTR}, {Short: true}, {Errno: syscall.ENOSPC}} {
			point := 4*n + i
			if c.Reads() == (f.Errno == syscall.ENOSPC) || whole && !part.Has(point) || !whole && point%37 != 0 {
				continue
			}
			made++
			where := fmt.Sprintf("%+v at call %d, %s of %s", f, n, c.Name, filepath.Base(c.Path))
			said := run(where, func(at int, _ testdb.Call) testdb.Fault {
				if at == n {
					return f
				}
				return testdb.Fault{}
			})
			if len(said) != 2 || !strings.HasPrefix(said[1], "anchored 1 refuted 0 damaged false: ") || !strings.Contains(said[0], "refuted 0 damaged false: ") {
				t.Errorf("%s: %q", where, said)
			}
		}
	}
	t.Logf("%d calls, %d faults made", len(calls), made)
	if made < 3 {
		t.Error("too few faults were made: the sweep proves nothing")
	}
}
