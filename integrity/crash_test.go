package integrity

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"example.com/snapd/internal/archive"
)

// die leaves a database the way a killed process does.
const die = `
import sqlite3, sys, os, signal
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA wal_autocheckpoint=0")
c.execute("PRAGMA cache_size=5")
c.execute("INSERT INTO t(b) VALUES('committed')")
c.execute("BEGIN")
c.execute("UPDATE t SET b = b || '!'")
c.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<500) INSERT INTO t(b) SELECT hex(randomblob(200)) FROM n")
print("r", flush=True)
sys.stdin.read()
sys.stdout.flush()
os.rename(sys.argv[1], sys.argv[1] + ".moved")
for s in ("-wal", "-shm", "-journal"):
    if os.path.exists(sys.argv[1] + s): os.rename(sys.argv[1] + s, sys.argv[1] + ".moved" + s)
`

const crashSchema = `CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT CHECK(length(b)>0)); CREATE INDEX tb ON t(b);
	WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<200) INSERT INTO t(b) SELECT hex(randomblob(300)) FROM n`

// killed returns a database whose writer died in a transaction that had spilled
// to disk: the files are moved away from under it, as a kill would leave them.
func killed(t *testing.T, mode string) string {
	t.Helper()
	path := makeDB(t, "x.db", "PRAGMA journal_mode="+mode+";"+crashSchema)
	python(t, die, path)()
	path += ".moved"
	for _, name := range []string{path, path + "-wal", path + "-shm", path + "-journal", filepath.Dir(path)} {
		if _, err := os.Stat(name); err == nil {
			age(t, name)
		}
	}
	return path
}

// After a crash SQLite repairs the database by itself at the next opening: it is
// healthy, and the check may not do that repair, because the application's
// opening must find everything as it was left.
func TestAfterCrash(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode   string
		remove string
		code   Code
	}{
		{"delete", "", CodeJournalHot},
		{"wal", "", CodeWALTornTail},
		{"wal", "-shm", CodeWALTornTail},
	} {
		t.Run(c.mode+c.remove, func(t *testing.T) {
			path := killed(t, c.mode)
			if c.remove != "" {
				if err := os.Remove(path + c.remove); err != nil {
					t.Fatal(err)
				}
				age(t, filepath.Dir(path))
			}
			before := traces(t, filepath.Dir(path))
			for level := LevelHeader; level <= LevelFull; level++ {
				rep, err := Check(t.Context(), path, Options{Level: level})
				if err != nil || rep.Verdict != Healthy {
					t.Fatalf("%v: %+v, %v", level, rep, err)
				}
				if !slices.ContainsFunc(rep.Findings, func(f Finding) bool { return f.Code == c.code }) {
					t.Errorf("%v: no finding %s: %+v", level, c.code, rep.Findings)
				}
			}
			after := traces(t, filepath.Dir(path))
			if _, had := before[path+"-shm"]; had {
				delete(before, path+"-shm") // SQLite's to write
				delete(after, path+"-shm")
			}
			if !maps.Equal(before, after) {
				t.Errorf("the check left traces: %v, %v", slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
			}
		})
	}
}

// pack stores the file at path in an archive.
func pack(t *testing.T, path string, pageSize int) []byte {
	t.Helper()
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, archive.WriterOptions{PageSize: pageSize})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := w.Write(image); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(archive.Facts{}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// An archive is judged by the image in it, and damage of the archive itself is
// proof that the backup is lost, not that it could not be checked.
func TestArchive(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	check := func(b []byte) (Report, error) {
		path := filepath.Join(t.TempDir(), "a.db.zst")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return CheckArchive(t.Context(), path, Options{Level: LevelFull, ScratchDir: dir})
	}
	good := pack(t, filepath.Join(corpus, "sound_wal_mode.db"), 1024)
	if rep, err := check(good); err != nil || rep.Verdict != Healthy || filepath.Base(rep.Path) != "a.db.zst" {
		t.Errorf("sound: %+v, %v", rep, err)
	}
	if rep, err := check(pack(t, filepath.Join(corpus, "page_type.db"), 1024)); err != nil || rep.Verdict != Corrupt || *rep.FailedAt != LevelQuick {
		t.Errorf("damaged image: %+v, %v", rep, err)
	}
	good[len(good)/4] ^= 1
	rep, err := check(good)
	if err != nil || rep.Verdict != Corrupt || len(rep.Findings) != 1 || rep.Findings[0].Code != CodeArchive {
		t.Errorf("damaged archive: %+v, %v", rep, err)
	}
	rep, err = check(good[:len(good)/2])
	if err != nil || rep.Verdict != Corrupt || *rep.FailedAt != LevelHeader || rep.Findings[0].Code != CodeArchive {
		t.Errorf("half an archive: %+v, %v", rep, err)
	}
	if rep, err := CheckArchive(t.Context(), filepath.Join(dir, "none.db.zst"), Options{}); err != nil || rep.Verdict != Missing {
		t.Errorf("no archive: %+v, %v", rep, err)
	}
	var cannot *CheckError
	if rep, err := CheckArchive(t.Context(), dir, Options{}); !errors.As(err, &cannot) || cannot.Code != ErrCodeNotAFile {
		t.Errorf("a directory: %+v, %v", rep, err)
	}
	if left := traces(t, dir); len(left) != 1 {
		t.Errorf("left in the scratch directory: %v", slices.Sorted(maps.Keys(left)))
	}
}

// Without a place for a private copy nothing is known about the database; above
// all it is not missing.
func TestNoScratch(t *testing.T) {
	t.Parallel()
	path := killed(t, "delete")
	rep, err := Check(t.Context(), path, Options{ScratchDir: filepath.Join(t.TempDir(), "none")})
	var e *CheckError
	if !errors.As(err, &e) {
		t.Errorf("%+v, %v", rep, err)
	}
}
