package pages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"example.com/snapd/internal/livedb"
)

// largeSchema makes some 40 MB, so that a replacement must flush pages more than
// once before it commits.
const largeSchema = `CREATE TABLE big(id INTEGER PRIMARY KEY, state TEXT, body BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<10000)
INSERT INTO big SELECT i, 'old', randomblob(3900) FROM n;`

// TestMain lets this binary be the process that dies in TestReplaceIsKilled.
func TestMain(m *testing.M) {
	if db := os.Getenv("PAGES_TEST_REPLACE"); db != "" {
		if err := replaceAndHang(db, os.Getenv("PAGES_TEST_IMAGE")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func replaceAndHang(db, imagePath string) error {
	f, err := os.Open(imagePath)
	if err != nil {
		return err
	}
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	tx, err := BeginWrite(context.Background(), db, time.Minute)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	image := io.MultiReader(io.NewSectionReader(f, 0, fi.Size()-4096), hanging{})
	_, err = replaceTx(context.Background(), tx, image, 4096, fi.Size()/4096)
	return err
}

// hanging says "ready" and never gives a byte.
type hanging struct{}

func (hanging) Read([]byte) (int, error) { fmt.Println("ready"); select {} }

// The machine dies when most pages of a restore are already in the WAL or even in
// the file: the next process that opens the database must find the old one, whole.
func TestReplaceIsKilled(t *testing.T) {
	t.Parallel()
	for _, journal := range []string{"wal", "delete"} {
		db := filepath.Join(t.TempDir(), "data.db")
		shell(t, db, "PRAGMA journal_mode="+journal+"; PRAGMA synchronous=off; "+largeSchema)
		_, image := take(t, db)
		file := restored(t, image)
		shell(t, db, "PRAGMA synchronous=off; UPDATE big SET state='new', body=randomblob(3900)")
		before, err := os.ReadFile(db)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "PAGES_TEST_REPLACE="+db, "PAGES_TEST_IMAGE="+file)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := make([]byte, 6)
		if _, err := io.ReadFull(out, said); err != nil || string(said) != "ready\n" {
			t.Fatalf("%q %v", said, err)
		}
		cmd.Process.Kill()
		cmd.Wait()
		if journal == "delete" {
			if now, _ := os.ReadFile(db); bytes.Equal(now, before) {
				t.Error("no page had reached the file: the test proves nothing")
			}
		} else if fi, err := os.Stat(db + "-wal"); err != nil || fi.Size() < 16<<20 {
			t.Error("no page had reached the WAL: the test proves nothing")
		}
		if got := shell(t, db, "SELECT count(*) FROM big WHERE state='new'; PRAGMA integrity_check"); got != "10000\nok" {
			t.Errorf("%s: %s", journal, got)
		}
	}
}

// A reader that never ends must not make a large restore take all memory, nor
// hang it: it waits for room as long as it is allowed to.
func TestReplaceWaitsForRoom(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "data.db")
	shell(t, db, "PRAGMA synchronous=off; "+largeSchema)
	info, image := take(t, db)
	shell(t, db, "PRAGMA synchronous=off; UPDATE big SET state='new', body=randomblob(3900)")
	python(t, db, `c.execute("BEGIN"); c.execute("SELECT count(*) FROM big").fetchall(); ready(); sys.stdin.read()`)
	tx, err := BeginWrite(t.Context(), db, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	tx.wait = 50 * time.Millisecond // for room, each time: the reader never leaves
	r := bytes.NewReader(image)
	_, err = replaceTx(t.Context(), tx, r, info.PageSize, info.PageCount)
	if reached := r.Size() - int64(r.Len()); !errors.Is(err, livedb.ErrBusy) || reached > 2*flushEvery {
		t.Errorf("%v after %d bytes", err, reached)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if got := shell(t, db, "SELECT count(*) FROM big WHERE state='new'"); got != "10000" {
		t.Error(got)
	}
}
