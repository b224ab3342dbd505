package pages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/livedb"
)

// identified begins a snapshot and takes its state token; in the rollback-journal modes it lets go of it.
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
				// Somebody has it open, so that the log stays.
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
// saved lies where it lay, and its page 1 is the same.
func TestMatchesThroughALinkThatMoves(t *testing.T) {
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

// A database that nobody has open: what we leave next to it is nothing, as without a token.
func TestMatchesOfAQuietDatabase(t *testing.T) {
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
		d := differences(t, db, tx.Snapshot(), func() []byte { _, b := take(t, db); b[len(b)-1]++; return b }())
		if _, err := tx.ReplaceBy(t.Context(), d, Changes{}, nil); err != nil {
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

// differences compares image with s.
func differences(t *testing.T, db string, s *Snapshot, image []byte) *Differences {
	t.Helper()
	var live bytes.Buffer
	if err := s.CopyTo(t.Context(), &live, nil); err != nil {
		t.Fatal(err)
	}
	d := compared(t, live.Bytes(), image, s.Info().PageSize, 1<<30)
	if d == nil {
		t.Fatal("no differences were kept")
	}
	return d
}

// compared writes image in pieces of three pages, so that they end anywhere.
func compared(t *testing.T, live, image []byte, size int, limit int64) *Differences {
	t.Helper()
	c, err := NewComparison(t.TempDir(), bytes.NewReader(live), size, limit, sha256.New)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for at := 0; at < len(image); at += 3 * size {
		p := image[at:min(at+3*size, len(image))]
		if n, err := c.Write(p); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	d := c.Finish()
	t.Cleanup(func() { d.Close() })
	return d
}

// The restore by what differs gives what the restore by the whole image gives.
func TestReplaceByGivesTheImageBack(t *testing.T) {
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
						d := differences(t, db, tx.Snapshot(), image)
						var last int64
						n, err := tx.ReplaceBy(t.Context(), d, Changes{}, func(done int64) { last = done })
						if err != nil {
							t.Fatal(err)
						}
						if err := errors.Join(tx.Commit(t.Context()), tx.Rollback()); err != nil {
							t.Fatal(err)
						}
						if last != int64(len(image)) || name == "a row" && n > 3 {
							t.Errorf("%d pages written, told of %d bytes of %d", n, last, len(image))
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

// What cannot be read back as it was written changes nothing.
func TestReplaceByProvesWhatItReads(t *testing.T) {
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx   context.Context
		spoil func(d *Differences) error
	}{
		"a byte":     {t.Context(), func(d *Differences) error { _, err := d.file.WriteAt([]byte("x"), d.bytes-5); return err }},
		"a number":   {t.Context(), func(d *Differences) error { _, err := d.file.WriteAt([]byte{1}, 4096+pgnoBytes); return err }},
		"cut short":  {t.Context(), func(d *Differences) error { return d.file.File.Truncate(d.bytes - 10) }},
		"a page off": {t.Context(), func(d *Differences) error { return d.file.File.Truncate(d.bytes - 4096 - pgnoBytes) }},
		"empty":      {t.Context(), func(d *Differences) error { return d.file.File.Truncate(0) }},
		"cancelled":  {stopped, func(*Differences) error { return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			db := filepath.Join(t.TempDir(), "data.db")
			shell(t, db, sampleSchema)
			_, image := take(t, db)
			shell(t, db, "UPDATE account SET balance=1, name=hex(randomblob(30))")
			tx, err := BeginWrite(t.Context(), db, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			d := differences(t, db, tx.Snapshot(), image)
			if err := c.spoil(d); err != nil {
				t.Fatal(err)
			}
			if n, err := tx.ReplaceBy(c.ctx, d, Changes{}, nil); err == nil {
				t.Errorf("%d pages written", n)
			} else if tx.Commit(t.Context()) == nil && name != "empty" {
				t.Error("half a replacement was committed")
			}
			if err := tx.Rollback(); err != nil {
				t.Error(err)
			}
			if got := shell(t, db, "SELECT sum(balance) FROM account; PRAGMA integrity_check"); got != "400\nok" {
				t.Error(got)
			}
		})
	}
}

// What differs in too much is not kept, and takes no more room than it may.
func TestTooManyDifferences(t *testing.T) {
	image := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	live := bytes.ToUpper(image)
	for limit, want := range map[int64]bool{0: false, 4096: false, int64(len(image)): false, int64(len(image)) + 16*pgnoBytes: true} {
		if d := compared(t, live, image, 4096, limit); (d != nil) != want {
			t.Errorf("within %d bytes: %v", limit, d)
		}
	}
	d := compared(t, live[:2*4096], append(bytes.Clone(live[:4096]), image[4096:]...), 4096, 1<<20)
	if n := d.bytes / (4096 + pgnoBytes); n != 16 {
		t.Errorf("%d pages differ from what is not there, or are page 1", n)
	}
	c, err := NewComparison(t.TempDir(), strings.NewReader("no page"), 4096, 1, sha256.New)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(make([]byte, 4095)); err == nil {
		t.Error("part of a page was taken")
	}
}

// pieces are the numbers of those in which a and b differ, of an image of n bytes.
func pieces(a, b []byte, piece, n int) (changed []int64) {
	at := func(x []byte, i int) []byte { return x[min(i*piece, len(x)):min((i+1)*piece, len(x))] }
	for i := 0; i*piece < n; i++ {
		if !bytes.Equal(at(a, i), at(b, i)) {
			changed = append(changed, int64(i))
		}
	}
	return changed
}

// The database has moved on from what the image was compared with: with the pieces in
// which it has, the result is the image again, whichever of the three is longer.
func TestReplaceByWithChanges(t *testing.T) {
	const size, piece = 1024, 3 * 1024
	grow := "INSERT INTO kv SELECT hex(randomblob(9)), randomblob(900) FROM account;"
	shrink := "DELETE FROM kv; DELETE FROM note; DROP TABLE place; VACUUM;"
	row := "UPDATE account SET balance=balance+1 WHERE id=%d;"
	for _, journal := range []string{"wal", "delete"} {
		for n, changes := range [][2]string{{row, row}, {grow, row}, {row, grow}, {grow, shrink}, {shrink, grow}, {shrink, row}, {row, shrink}, {grow, grow}} {
			t.Run(fmt.Sprint(journal, n), func(t *testing.T) {
				t.Parallel()
				db := filepath.Join(t.TempDir(), "data.db")
				shell(t, db, fmt.Sprintf("PRAGMA page_size=%d; PRAGMA journal_mode=%s; %s", size, journal, sampleSchema))
				_, image := take(t, db)
				shell(t, db, strings.Replace(changes[0], "%d", "1", 1))
				_, then := take(t, db)
				shell(t, db, strings.Replace(changes[1], "%d", "300", 1))
				_, now := take(t, db)
				d := compared(t, then, image, size, 1<<30)
				if d.Piece() != piece {
					t.Fatalf("pieces of %d bytes", d.Piece())
				}
				c := Changes{Pieces: pieces(then, now, piece, len(image)), Image: bytes.NewReader(image)}
				if len(c.Pieces) == 0 {
					t.Fatal("nothing has changed: this test shows nothing")
				}
				for _, other := range [][]byte{image[1:], nil} {
					if n, err := replaceBy(t, db, d, Changes{Pieces: c.Pieces, Image: bytes.NewReader(other)}); err == nil {
						t.Errorf("%d pages of another image were written", n)
					}
				}
				if _, err := replaceBy(t, db, d, Changes{Pieces: []int64{int64(len(image)/piece) + 1}, Image: c.Image}); err == nil {
					t.Error("a piece that is none was compared")
				}
				written, err := replaceBy(t, db, d, c)
				if err != nil {
					t.Fatal(err)
				}
				if changes == [2]string{row, row} && written > 5 {
					t.Errorf("%d pages written", written)
				}
				_, got := take(t, db)
				sameBytes(t, "restored", got, image, ownBytes...)
				if got := shell(t, db, "SELECT sum(balance) FROM account; PRAGMA integrity_check"); got != "40000\nok" {
					t.Error(got)
				}
			})
		}
	}
}

func replaceBy(t *testing.T, db string, d *Differences, c Changes) (int64, error) {
	t.Helper()
	tx, err := BeginWrite(t.Context(), db, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	n, err := tx.ReplaceBy(t.Context(), d, c, nil)
	if err == nil {
		err = tx.Commit(t.Context())
	}
	return n, errors.Join(err, tx.Rollback())
}
