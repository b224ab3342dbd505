package pages

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/livedb"
)

// identified begins a snapshot and takes its state token; in the rollback-journal modes it releases its lock.
func identified(t *testing.T, db string) (*Snapshot, *livedb.Token) {
	t.Helper()
	s, err := Begin(t.Context(), db, livedb.Options{ScratchDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	m, err := s.Token()
	if err != nil || m == nil {
		t.Fatalf("token %v, %v", m, err)
	}
	if s.Info().JournalMode != "wal" {
		if err := s.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return s, m
}

// Lost: commits that came between the safety backup and the lock, were they overlooked.
func TestMatches(t *testing.T) {
	commit := "UPDATE account SET balance=balance+1 WHERE id=1;"
	for _, journal := range []string{"wal", "delete", "persist"} {
		for name, c := range map[string]struct {
			before, after string // SQL, around the token
			do            func(t *testing.T, db string)
			only          string // journal mode; "" is all
			want          bool
		}{
			"nothing":                      {want: true},
			"nothing, with a log":          {before: commit, want: true},
			"a commit":                     {after: commit},
			"a commit upon a log":          {before: commit, after: commit},
			"a commit and its contrary":    {after: commit + "UPDATE account SET balance=balance-1 WHERE id=1;"},
			"an empty transaction":         {after: "BEGIN IMMEDIATE; COMMIT;", want: true},
			"a transaction rolled back":    {after: "BEGIN; UPDATE account SET balance=7; ROLLBACK;", want: true},
			"a commit and a checkpoint":    {after: commit + "PRAGMA wal_checkpoint(PASSIVE);"},
			"in exclusive locking mode":    {after: "PRAGMA locking_mode=EXCLUSIVE;" + commit},
			"a vacuum":                     {after: "VACUUM;"},
			"another version for the user": {after: "PRAGMA user_version=77;"},
			"another file of the same page 1": {do: func(t *testing.T, db string) {
				b, err := os.ReadFile(db)
				if err != nil {
					t.Fatal(err)
				}
				b[len(b)-1]++
				if err := errors.Join(os.WriteFile(db+"2", b, 0o600), os.Rename(db+"2", db)); err != nil {
					t.Fatal(err)
				}
			}},
			// What is then in the file was never committed, and has to be replaced all the same.
			"a transaction without a journal": {only: "delete", after: "PRAGMA journal_mode=OFF; PRAGMA cache_size=2; BEGIN; UPDATE account SET name=hex(randomblob(30)); ROLLBACK;"},
			"bytes written over it":           {do: func(t *testing.T, db string) { overwrite(t, db, "-") }},
		} {
			if journal == "wal" && strings.Contains(c.after, "EXCLUSIVE") {
				continue // no other connection can have it next to a reader
			}
			if c.only != "" && c.only != journal {
				continue
			}
			t.Run(journal+"/"+name, func(t *testing.T) {
				t.Parallel()
				db := filepath.Join(t.TempDir(), "data.db")
				shell(t, db, "PRAGMA journal_mode="+journal+"; "+sampleSchema)
				// Another connection has it open, so that the log stays.
				other := python(t, db, "c.execute('SELECT count(*) FROM account').fetchall(); ready(); sys.stdin.read()")
				shell(t, db, c.before)
				s, m := identified(t, db)
				shell(t, db, "PRAGMA journal_mode="+journal+";"+c.after)
				if c.do != nil {
					c.do(t, db)
				}
				tx, err := BeginWrite(t.Context(), db, time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				defer tx.Rollback()
				got, err := tx.Matches(t.Context(), m)
				if err != nil || got != c.want {
					t.Errorf("matches: %v %v, want %v", got, err, c.want)
				}
				if err := errors.Join(s.Close(), tx.Rollback()); err != nil {
					t.Error(err)
				}
				other.finish()
			})
		}
	}
}

// overwrite changes the last byte of a file, in place.
func overwrite(t *testing.T, path, with string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	st, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt([]byte(with), st.Size()-1)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// Lost: the state of the database that a symbolic link names by now. The one that was
// saved is where it was, and its page 1 is the same.
func TestMatchesThroughALinkThatMoves(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now, link := filepath.Join(dir, "now.db"), filepath.Join(dir, "link.db")
	shell(t, now, "PRAGMA journal_mode=delete; "+sampleSchema)
	b, err := os.ReadFile(now)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1]++
	other := filepath.Join(dir, "other.db")
	if err := errors.Join(os.WriteFile(other, b, 0o600), os.Symlink(now, link)); err != nil {
		t.Fatal(err)
	}
	_, m := identified(t, link)
	if err := errors.Join(os.Remove(link), os.Symlink(other, link)); err != nil {
		t.Fatal(err)
	}
	tx, err := BeginWrite(t.Context(), link, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if same, err := tx.Matches(t.Context(), m); same || err != nil {
		t.Errorf("another database is taken for the one that was saved: %v %v", same, err)
	}
}

// A database that no process has open: nothing is left next to it, as without a token.
func TestMatchesOfAQuietDatabase(t *testing.T) {
	t.Parallel()
	for _, journal := range []string{"wal", "delete"} {
		dir := t.TempDir()
		db := filepath.Join(dir, "data.db")
		shell(t, db, "PRAGMA journal_mode="+journal+"; "+sampleSchema)
		s, m := identified(t, db)
		tx, err := BeginWrite(t.Context(), db, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := tx.Matches(t.Context(), m); !same || err != nil {
			t.Errorf("%s: %v %v", journal, same, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		info, image := take(t, db)
		image[len(image)-1]++
		if _, err := replaceTx(t.Context(), tx, bytes.NewReader(image), info.PageSize, info.PageCount); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(tx.Commit(t.Context()), tx.Rollback()); err != nil {
			t.Fatal(err)
		}
		if got := mustReadDir(t, dir); len(got) != 1 {
			t.Errorf("%s: left next to it: %v", journal, got)
		}
	}
}

// The second reader of the state that is replaced is not in the way.
func TestReplaceAfterPair(t *testing.T) {
	grow := "INSERT INTO kv SELECT hex(randomblob(9)), randomblob(900) FROM account; CREATE TABLE later(x); INSERT INTO later VALUES(zeroblob(300000));"
	shrink := "DELETE FROM kv; DELETE FROM note; DROP TABLE place; VACUUM;"
	for _, size := range []int{512, 4096, 65536} {
		for _, journal := range []string{"wal", "delete"} {
			for _, vacuum := range []string{"none", "full"} {
				for name, change := range map[string]string{"grown": grow, "shrunk": shrink, "same": "", "a row": "UPDATE account SET balance=7 WHERE id=1"} {
					t.Run(fmt.Sprintf("%d/%s/%s/%s", size, journal, vacuum, name), func(t *testing.T) {
						t.Parallel()
						db := filepath.Join(t.TempDir(), "data.db")
						shell(t, db, fmt.Sprintf("PRAGMA page_size=%d; PRAGMA auto_vacuum=%s; PRAGMA journal_mode=%s; %s", size, vacuum, journal, sampleSchema))
						_, image := take(t, db)
						shell(t, db, change)
						tx, err := BeginWrite(t.Context(), db, time.Minute)
						if err != nil {
							t.Fatal(err)
						}
						defer tx.Rollback()
						if err := tx.OpenSecondReader(t.Context()); err != nil {
							t.Fatal(err)
						}
						n, err := replaceTx(t.Context(), tx, bytes.NewReader(image), size, int64(len(image)/size))
						if err != nil {
							t.Fatal(err)
						}
						if err := errors.Join(tx.Commit(t.Context()), tx.Rollback()); err != nil {
							t.Fatal(err)
						}
						if name == "a row" && n > 3 {
							t.Errorf("%d pages written", n)
						}
						_, now := take(t, db)
						sameBytes(t, "restored", now, image, ownBytes...)
						if got := shell(t, db, "SELECT sum(balance) FROM account; PRAGMA integrity_check"); got != "40000\nok" {
							t.Error(got)
						}
					})
				}
			}
		}
	}
}
