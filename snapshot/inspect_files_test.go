package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"example.com/snapd/snapshot"
)

// Lost: what a program reads of a backup through its own file system code, byte for byte.
func TestFilesOfBackups(t *testing.T) {
	t.Parallel()
	// Small: the files are read byte by byte, in every way there is.
	path := filepath.Join(t.TempDir(), "data.db")
	writeFile(t, path, nil)
	b := benchOn(t, path)
	b.exec("PRAGMA page_size = 1024; PRAGMA journal_mode = wal; CREATE TABLE t(a); INSERT INTO t VALUES(1)")
	first := b.manual()
	capturing := b.captures(first)
	b.exec("INSERT INTO t VALUES(2)")
	point := capturing()
	b.exec("INSERT INTO t VALUES(3)")
	last := b.manual()
	r, err := b.m.Query(t.Context(), point, "SELECT group_concat(a) FROM t", snapshot.QueryOptions{})
	if err != nil || len(r.Rows) != 1 || r.Rows[0][0] != "1,2" {
		t.Errorf("at %s: %+v, %v", point, r.Rows, err)
	}
	for id, want := range map[string]int64{point: 2, first.File: 1, "latest": 3, snapshot.Live: 3} {
		tables, err := b.m.Tables(t.Context(), id)
		if err != nil || len(tables) != 1 || *tables[0].Rows != want {
			t.Errorf("%s: %+v, %v; want %d rows", id, tables, err, want)
		}
	}
	files := b.m.FS()
	want := []string{first.ID + ".db", last.ID + ".db", "points/" + point + ".db"}
	if err := fstest.TestFS(files, want...); err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string]string{want[0]: first.ID, want[1]: last.ID, want[2]: point} {
		plain := filepath.Join(t.TempDir(), "plain.db")
		_, err := b.m.Restore(t.Context(), id, snapshot.RestoreOptions{To: plain})
		must(t, err)
		f, err := files.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		whole, err := io.ReadAll(f)
		if err != nil || !bytes.Equal(whole, readFile(t, plain)) {
			t.Errorf("%s: %d bytes, %v", name, len(whole), err)
		}
		magic := make([]byte, 15)
		if n, err := f.(io.ReaderAt).ReadAt(magic, 0); err != nil || string(magic[:n]) != "SQLite format 3" {
			t.Errorf("%s: %q, %v", name, magic[:n], err)
		}
		if at, err := f.(io.Seeker).Seek(-10, io.SeekEnd); err != nil || at != int64(len(whole)-10) {
			t.Errorf("%s: %d, %v", name, at, err)
		}
	}
	for _, name := range []string{"latest.db", "live.db", first.ID, first.ID[:len(first.ID)-1] + ".db", "points/" + first.ID + ".db", point + ".db", "points/1.99.db", "points/x", "catalog.json"} {
		if _, err := files.Open(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.damageArchive(last)
	if _, err := fs.ReadFile(files, want[1]); !errors.Is(err, snapshot.ErrCorrupt) {
		t.Errorf("damaged: %v", err)
	}
	if _, err := fs.Stat(files, want[1]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a backup that was found damaged is still there: %v", err)
	}
}

// Every backup is a file that any Go program can read: here a web server hands it out, with ranges.
func ExampleManager_FS() {
	m, db, remove := exampleManager()
	defer remove()
	b, err := m.Backup(context.Background(), snapshot.Manual(""))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := db.Exec("DELETE FROM customers"); err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(http.FileServerFS(m.FS()))
	defer server.Close()
	request, err := http.NewRequest(http.MethodGet, server.URL+"/"+b.ID+".db", nil)
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Range", "bytes=0-14")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(os.Stdout, response.Body); err != nil {
		log.Fatal(err)
	}
	fmt.Println()
	// Output: SQLite format 3
}

// A question to a backup needs no restore, and changes nothing.
func ExampleManager_Query() {
	m, db, remove := exampleManager()
	defer remove()
	b, err := m.Backup(context.Background(), snapshot.Manual("before the clean-up"))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := db.Exec("DELETE FROM customers"); err != nil {
		log.Fatal(err)
	}
	for _, id := range []string{b.ID, snapshot.Live} {
		r, err := m.Query(context.Background(), id, "SELECT count(*), max(name) FROM customers", snapshot.QueryOptions{})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(r.Columns, r.Rows)
	}
	// Output:
	// [count(*) max(name)] [[1 Ada]]
	// [count(*) max(name)] [[0 <nil>]]
}
