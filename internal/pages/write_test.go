package pages

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
)

// ownBytes are what Replace leaves to the live database: the journal mode, the
// change counter, the schema cookie, version-valid-for and the library's version.
var ownBytes = [][2]int{{18, 20}, {24, 28}, {40, 44}, {92, 100}}

// replace puts image into the database at path.
func replace(t *testing.T, path string, image []byte, size int) (int64, error) {
	t.Helper()
	tx, err := BeginWrite(t.Context(), path, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	n, err := replaceTx(t.Context(), tx, bytes.NewReader(image), size, int64(len(image)/size))
	if err == nil {
		err = tx.Commit(t.Context())
	}
	return n, errors.Join(err, tx.Rollback())
}

// A restore must give back the image for any state of the live database:
// larger, smaller, another vacuum mode, another journal mode, for every page size.
// Connections that were open all the time, with their statements and cached
// schema, must see it, in this process and in others.
func TestReplaceGivesTheImageBack(t *testing.T) {
	t.Parallel()
	grow := "INSERT INTO kv SELECT hex(randomblob(9)), randomblob(900) FROM account; CREATE TABLE later(x); INSERT INTO later VALUES(zeroblob(300000));"
	shrink := "DELETE FROM kv; DELETE FROM note; DROP TABLE place; VACUUM;"
	for _, v := range []struct {
		size              int
		journal           string
		vacImage, vacLive string
		change            string
	}{
		{512, "wal", "none", "none", grow}, {512, "delete", "none", "none", shrink},
		{1024, "truncate", "none", "full", grow}, {4096, "wal", "none", "full", grow},
		{4096, "wal", "full", "none", grow}, {4096, "delete", "full", "incremental", shrink},
		{4096, "delete", "none", "full", grow}, {4096, "persist", "incremental", "full", grow},
		{4096, "wal", "none", "none", shrink}, {65536, "wal", "none", "none", grow}, {65536, "delete", "none", "none", shrink},
	} {
		t.Run(fmt.Sprintf("%d-%s-%s-over-%s-%d", v.size, v.journal, v.vacImage, v.vacLive, len(v.change)), func(t *testing.T) {
			dir := t.TempDir()
			db := filepath.Join(dir, "data.db")
			imageJournal := "wal"
			if v.journal == "wal" {
				imageJournal = "delete"
			}
			shell(t, db, fmt.Sprintf("PRAGMA page_size=%d; PRAGMA auto_vacuum=%s; PRAGMA journal_mode=%s; %s", v.size, v.vacImage, imageJournal, sampleSchema))
			_, image := take(t, db)
			// VACUUM changes the vacuum mode in rollback modes only.
			shell(t, db, fmt.Sprintf("PRAGMA journal_mode=delete; PRAGMA auto_vacuum=%s; VACUUM; PRAGMA journal_mode=%s; UPDATE account SET balance=1; %s", v.vacLive, v.journal, v.change))
			other := python(t, db, `
q = "SELECT sum(balance), count(*) FROM account"
c.execute(q).fetchall()
ready()
for line in sys.stdin: print(*c.execute(q).fetchone(), c.execute("PRAGMA integrity_check").fetchone()[0], c.execute("SELECT count(*) FROM sqlite_master WHERE name='later'").fetchone()[0])`)
			own, err := sql.Open("sqlite", "file:"+db)
			if err != nil {
				t.Fatal(err)
			}
			defer own.Close()
			stmt, err := own.Prepare("SELECT sum(balance) FROM account")
			if err != nil {
				t.Fatal(err)
			}
			var sum int
			if err := stmt.QueryRow().Scan(&sum); err != nil || sum != 400 {
				t.Fatalf("%d, %v", sum, err)
			}
			n, err := replace(t, db, image, v.size)
			if err != nil {
				t.Fatal(err)
			}
			if n < 1 || n > int64(len(image)/v.size) {
				t.Errorf("%d pages written", n)
			}
			if err := stmt.QueryRow().Scan(&sum); err != nil || sum != 40000 {
				t.Errorf("this process's open statement sees %d, %v", sum, err)
			}
			if got := other.say("look"); got != "40000 400 ok 0" {
				t.Errorf("the other process's open connection sees %q", got)
			}
			if err := errors.Join(stmt.Close(), own.Close()); err != nil {
				t.Fatal(err)
			}
			other.finish()
			if got := shell(t, db, "PRAGMA journal_mode"); (got == "wal") != (v.journal == "wal") {
				t.Errorf("journal mode is %s, was %s", got, v.journal)
			}
			file, err := os.ReadFile(db)
			if err != nil {
				t.Fatal(err)
			}
			sameBytes(t, "restored file", file, image, ownBytes...)
			if got := shell(t, db, "PRAGMA integrity_check"); got != "ok" {
				t.Error(got)
			}
		})
	}
}

// Only what differs is written: a restore of a small change must not rewrite the database.
func TestReplaceWritesDifferencesOnly(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "data.db")
	shell(t, db, sampleSchema)
	info, image := take(t, db)
	shell(t, db, "UPDATE account SET balance=7 WHERE id=1")
	n, err := replace(t, db, image, info.PageSize)
	if err != nil || n != 2 {
		t.Errorf("%d pages written, want 2 (page 1 and the row's); %v", n, err)
	}
}

// The safety copy is taken inside the transaction: it has every commit there was,
// and there is no commit between it and the restore.
func TestSnapshotInsideTheWrite(t *testing.T) {
	t.Parallel()
	for _, journal := range []string{"wal", "delete"} {
		db := filepath.Join(t.TempDir(), "data.db")
		shell(t, db, "PRAGMA journal_mode="+journal+"; "+sampleSchema)
		info, image := take(t, db)
		shell(t, db, "UPDATE account SET balance=1")
		tx, err := BeginWrite(t.Context(), db, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if out := shellFails(t, db, "UPDATE account SET balance=2"); !strings.Contains(out, "locked") {
			t.Errorf("%s: another process wrote inside the restore: %s", journal, out)
		}
		if got := shell(t, db, "SELECT sum(balance) FROM account"); got != "400" {
			t.Errorf("%s: readers see %s", journal, got)
		}
		var safety bytes.Buffer
		if err := tx.Snapshot().CopyTo(t.Context(), &safety, nil); err != nil {
			t.Fatal(err)
		}
		if err := tx.Snapshot().Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := replaceTx(t.Context(), tx, bytes.NewReader(image), info.PageSize, info.PageCount); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := shell(t, restored(t, safety.Bytes()), "SELECT sum(balance) FROM account"); got != "400" {
			t.Errorf("%s: safety copy has %s", journal, got)
		}
		if got := shell(t, db, "SELECT sum(balance) FROM account"); got != "40000" {
			t.Errorf("%s: restored %s", journal, got)
		}
	}
}

// A restore that stops anywhere before Commit leaves the old database, and the
// next program finds nothing of it.
func TestReplaceThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	broken := errors.New("digest does not agree")
	for _, journal := range []string{"wal", "delete"} {
		dir := t.TempDir()
		db := filepath.Join(dir, "data.db")
		shell(t, db, "PRAGMA journal_mode="+journal+"; "+sampleSchema)
		info, image := take(t, db)
		shell(t, db, "UPDATE account SET balance=1, name=hex(randomblob(300)); DELETE FROM kv")
		file, err := os.ReadFile(db)
		if err != nil {
			t.Fatal(err)
		}
		names := len(mustReadDir(t, dir))
		stopped, cancel := context.WithCancel(t.Context())
		cancel()
		for name, c := range map[string]struct {
			ctx   context.Context
			image io.Reader
			want  error
		}{
			"short image":  {t.Context(), bytes.NewReader(image[:len(image)-1]), io.ErrUnexpectedEOF},
			"long image":   {t.Context(), io.MultiReader(bytes.NewReader(image), strings.NewReader("x")), nil},
			"error at end": {t.Context(), io.MultiReader(bytes.NewReader(image), failing{broken}), broken},
			"cancelled":    {stopped, bytes.NewReader(image), context.Canceled},
		} {
			tx, err := BeginWrite(t.Context(), db, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := replaceTx(c.ctx, tx, c.image, info.PageSize, info.PageCount); err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%s %s: %v", journal, name, err)
			}
			if err := tx.Commit(t.Context()); err == nil {
				t.Errorf("%s %s: half a replacement was committed", journal, name)
			}
			if err := tx.Rollback(); err != nil {
				t.Errorf("%s %s: %v", journal, name, err)
			}
		}
		after, err := os.ReadFile(db)
		if err != nil {
			t.Fatal(err)
		}
		sameBytes(t, journal, after, file)
		if got := len(mustReadDir(t, dir)); got != names {
			t.Errorf("%s: %d files, were %d", journal, got, names)
		}
	}
}

// Images that cannot go page by page are refused before anything is written, so
// that the caller can replace the file instead.
func TestReplaceRefusesAnotherShape(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := filepath.Join(dir, "data.db")
	shell(t, db, sampleSchema)
	_, image := take(t, db)
	reserved := bytes.Clone(image)
	reserved[20] = 12
	tx, err := BeginWrite(t.Context(), db, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for name, c := range map[string]struct {
		image []byte
		size  int
	}{"page size": {image, 1024}, "reserved bytes": {reserved, 4096}, "empty": {nil, 4096}} {
		if _, err := replaceTx(t.Context(), tx, bytes.NewReader(c.image), c.size, int64(len(c.image)/c.size)); !errors.Is(err, ErrPageSize) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The worst day: the schema is garbage or the tail of the file is gone. SQLite
// still opens it, so the restore can go through its locks, and the damage is reported.
func TestReplaceOverDamage(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(db string){
		"schema": func(db string) {
			shell(t, db, "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql='CREATE nonsense' WHERE name='account'")
		},
		"cut short": func(db string) {
			if err := os.Truncate(db, 65536); err != nil {
				t.Fatal(err)
			}
		},
		"zeroed pages": func(db string) {
			f, err := os.OpenFile(db, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt(make([]byte, 40960), 4096); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for _, journal := range []string{"wal", "delete"} {
			db := filepath.Join(t.TempDir(), "data.db")
			shell(t, db, "PRAGMA journal_mode="+journal+"; "+sampleSchema)
			info, image := take(t, db)
			damage(db)
			tx, err := BeginWrite(t.Context(), db, time.Minute)
			if err != nil {
				t.Fatalf("%s %s: %v", name, journal, err)
			}
			if (tx.Damage() != nil) == (name == "zeroed pages") || tx.Damage() != nil && !errors.Is(tx.Damage(), livedb.ErrCorrupt) {
				t.Errorf("%s %s: damage: %v", name, journal, tx.Damage())
			}
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			if _, err := replace(t, db, image, info.PageSize); err != nil {
				t.Fatalf("%s %s: %v", name, journal, err)
			}
			if got := shell(t, db, "SELECT sum(balance) FROM account; PRAGMA integrity_check"); got != "40000\nok" {
				t.Errorf("%s %s: %s", name, journal, got)
			}
		}
	}
}

// In the rollback modes a reader holds the commit up; its end lets it through, and
// the time limit ends the wait with the database unchanged.
func TestCommitWaitsForReaders(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "data.db")
	shell(t, db, sampleSchema)
	info, image := take(t, db)
	shell(t, db, "UPDATE account SET balance=1")
	reader := python(t, db, `c.execute("BEGIN"); c.execute("SELECT * FROM account").fetchall(); ready()
sys.stdin.readline(); c.execute("COMMIT"); print("ended"); sys.stdin.read()`)
	tx, err := BeginWrite(t.Context(), db, 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := replaceTx(t.Context(), tx, bytes.NewReader(image), info.PageSize, info.PageCount); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); !errors.Is(err, livedb.ErrBusy) {
		t.Fatalf("commit next to a reader: %v", err)
	}
	reader.say("end")
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := shell(t, db, "SELECT sum(balance) FROM account"); got != "40000" {
		t.Error(got)
	}
}

// The engine must not have the WAL-reset corruption bug (https://www.sqlite.org/wal.html#walresetbug).
func TestEngineVersion(t *testing.T) {
	t.Parallel()
	var major, minor, patch int
	if _, err := fmt.Sscanf(sqlite.Version(), "%d.%d.%d", &major, &minor, &patch); err != nil {
		t.Fatal(err)
	}
	if major*1e6+minor*1e3+patch < 3_051_003 {
		t.Errorf("SQLite %s is older than 3.51.3", sqlite.Version())
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
