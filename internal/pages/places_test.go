package pages

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
)

// For every form of the path, that file is backed up and no other.
func TestOddPathsAndLinks(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a b.db", "q?mode=memory.db", "h#x.db", "p%41.db", "ü–数据.db", "a&b=c.db"} {
		dir := t.TempDir()
		db := filepath.Join(dir, "real", name)
		if err := os.Mkdir(filepath.Dir(db), 0o700); err != nil {
			t.Fatal(err)
		}
		shell(t, "file:"+strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(db), "PRAGMA journal_mode=wal; CREATE TABLE t(a); INSERT INTO t VALUES('"+name+"')")
		link := filepath.Join(dir, "link.db")
		if err := os.Symlink(filepath.Join("real", name), link); err != nil {
			t.Fatal(err)
		}
		// The commit in the WAL shows whether the sidecars are looked for next to the real file.
		p := python(t, db, `c.execute("INSERT INTO t VALUES('wal')"); ready(); sys.stdin.read()`)
		before := state(t, dir)
		for _, path := range []string{db, link} {
			_, image := take(t, path)
			if got := shell(t, restored(t, image), "SELECT group_concat(a,' ') FROM t"); got != name+" wal" {
				t.Errorf("%s: %q", path, got)
			}
		}
		if after := state(t, dir); after != before {
			t.Errorf("before\n%safter\n%s", before, after)
		}
		p.kill()
	}
}

// An application that has made its file but written nothing yet has an empty database, not a damaged one.
func TestEmptyDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := filepath.Join(dir, "data.db")
	if err := os.WriteFile(db, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := state(t, dir)
	info, image := take(t, db)
	if info.PageCount != 0 || info.PageSize != 0 || info.Bytes() != 0 || len(image) != 0 {
		t.Errorf("%+v, %d bytes", info, len(image))
	}
	if after := state(t, dir); after != before {
		t.Errorf("before\n%safter\n%s", before, after)
	}
}

// Each kind of wrong path has an error of its own, and none is created or changed.
func TestNotADatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	cut := filepath.Join(dir, "cut.db")
	shell(t, cut, sampleSchema)
	if err := os.Truncate(cut, 40960); err != nil {
		t.Fatal(err)
	}
	schema := filepath.Join(dir, "schema.db")
	shell(t, schema, "CREATE TABLE t(a); PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql='CREATE nonsense'")
	orphan := write("orphan.db", "")
	write("orphan.db-wal", "what was committed last")
	before := state(t, dir)
	for path, want := range map[string]error{
		filepath.Join(dir, "none.db"):        livedb.ErrMissing,
		filepath.Join(dir, "no", "where.db"): livedb.ErrMissing,
		dir:                                  livedb.ErrNotRegular,
		write("text.db", strings.Repeat("Dear customer,\n", 500)): livedb.ErrNotDatabase,
		write("short.db", "SQLite form"):                          livedb.ErrNotDatabase,
		cut:                                                       livedb.ErrCorrupt,
		schema:                                                    livedb.ErrCorrupt,
		orphan:                                                    livedb.ErrCorrupt,
	} {
		if before == "" {
			break
		}
		_, err := Begin(t.Context(), path, livedb.Options{})
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
		if want == livedb.ErrMissing && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v is not fs.ErrNotExist", path, err)
		}
		var e *sqlite.Error
		if (want == livedb.ErrNotDatabase || want == livedb.ErrCorrupt && path != orphan) && !errors.As(err, &e) {
			t.Errorf("%s: %v lost SQLite's error", path, err)
		}
	}
	after := state(t, dir)
	for _, line := range strings.SplitAfter(before, "\n") {
		if !strings.Contains(after, line) {
			t.Errorf("changed: %s", line)
		}
	}
	if strings.Contains(after, "none.db") {
		t.Error("a missing database was created")
	}
}
