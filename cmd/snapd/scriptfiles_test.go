package main

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/zeebo/blake3"
	_ "modernc.org/sqlite"

	"example.com/snapd/internal/sqlite"
)

// sqlCmd runs statements on a database, made if need be, and closes it; what a
// query returns is compared with a last argument: sql FILE STATEMENTS [WANT].
func sqlCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: sql FILE STATEMENTS [WANT]")
	}
	db := openSQL(ts, args[0])
	defer db.Close()
	if len(args) == 2 {
		_, err := db.Exec(args[1])
		ts.Check(err)
		return
	}
	var got string
	ts.Check(db.QueryRow(args[1]).Scan(&got))
	if got != args[2] {
		ts.Fatalf("%s: %q, want %q", args[1], got, args[2])
	}
}

func openSQL(ts *testscript.TestScript, file string) *sql.DB {
	uri, err := sqlite.URI(ts.MkAbs(file), url.Values{"mode": {"rwc"}})
	ts.Check(err)
	db, err := sql.Open("sqlite", uri)
	ts.Check(err)
	return db
}

// held are the locks taken by hold, by absolute path.
var held sync.Map

// hold keeps a database open until the script ends: hold open FILE, or with its
// write lock taken, hold locked FILE; hold free FILE gives that lock back.
func hold(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hold open|locked|free FILE")
	}
	if args[0] == "free" {
		db, ok := held.LoadAndDelete(ts.MkAbs(args[1]))
		if !ok {
			ts.Fatalf("%s is not held", args[1])
		}
		ts.Check(db.(*sql.DB).Close())
		return
	}
	if args[0] == "open" {
		f, err := os.Open(ts.MkAbs(args[1])) // damaged files cannot be opened any better
		ts.Check(err)
		ts.Defer(func() { f.Close() })
		return
	}
	db := openSQL(ts, args[1])
	db.SetMaxOpenConns(1)
	_, err := db.Exec("PRAGMA locking_mode=exclusive; BEGIN EXCLUSIVE")
	ts.Check(err)
	held.Store(ts.MkAbs(args[1]), db)
	ts.Defer(func() { db.Close() })
}

// noise overwrites bytes of a file with noise: noise FILE OFFSET LENGTH.
func noise(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: noise FILE OFFSET LENGTH")
	}
	name, off, n := ts.MkAbs(args[0]), number(ts, args[1]), number(ts, args[2])
	b, err := os.ReadFile(name)
	ts.Check(err)
	source := rand.NewPCG(1, 2)
	for i := off; i < off+n; i++ {
		b[i] ^= byte(source.Uint64()) | 1 // never the same byte
	}
	ts.Check(os.WriteFile(name, b, 0o600))
}

// cut keeps the first bytes of a file: cut FILE BYTES; negative takes off the end.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cut FILE BYTES")
	}
	name, n := ts.MkAbs(args[0]), number(ts, args[1])
	st, err := os.Stat(name)
	ts.Check(err)
	if n < 0 {
		n += st.Size()
	}
	ts.Check(os.Truncate(name, n))
}

// appendTo adds text to the end of a file: append FILE TEXT.
func appendTo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: append FILE TEXT")
	}
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_WRONLY|os.O_APPEND, 0)
	ts.Check(err)
	_, err = f.WriteString(args[1])
	ts.Check(errors.Join(err, f.Close()))
}

// slow makes a database whose check takes long, row by row: a rule of its schema
// computes something large for each. slow FILE.
func slow(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: slow FILE")
	}
	sqlCmd(ts, false, []string{args[0], "PRAGMA journal_mode=wal; CREATE TABLE t(a CHECK(length(replace(hex(zeroblob(20000)), '0', 'ab')) > a));" +
		"PRAGMA ignore_check_constraints=1;" +
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<200000) INSERT INTO t SELECT i % 10 FROM n"})
	// One that was written this moment is first waited for.
	old := time.Now().Add(-time.Hour)
	ts.Check(os.Chtimes(ts.MkAbs(args[0]), old, old))
}

// newer makes an archive one of a format version that does not exist yet: the
// trailer is the same in all versions (docs/archive-format.md).
func newer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: newer ARCHIVE")
	}
	name := ts.MkAbs(args[0])
	b, err := os.ReadFile(name)
	ts.Check(err)
	magic := bytes.LastIndex(b, []byte("SNAPDARC"))
	if magic < 0 {
		ts.Fatalf("%s has no trailer", name)
	}
	tail := b[magic-8 : magic]
	size := int(binary.LittleEndian.Uint32(tail))
	binary.LittleEndian.PutUint32(tail[4:], 99)
	sum := blake3.Sum256(append(bytes.Clone(b[magic-8-32-size:magic-8-32]), tail...))
	copy(b[magic-8-32:], sum[:])
	ts.Check(os.WriteFile(name, b, 0o600))
}

// database makes one of 2000 rows in WAL mode, of some 300 KB: database FILE [PAGESIZE].
func database(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: database FILE [PAGESIZE]")
	}
	size := int64(4096)
	if len(args) == 2 {
		size = number(ts, args[1])
	}
	sqlCmd(ts, false, []string{args[0], fmt.Sprintf("PRAGMA page_size=%d; PRAGMA journal_mode=wal; CREATE TABLE t(x);"+
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000) INSERT INTO t SELECT 'row ' || i || hex(zeroblob(50)) FROM n",
		size)})
}

// await waits until files match a pattern: await PATTERN [COUNT].
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: await PATTERN [COUNT]")
	}
	want := 1
	if len(args) == 2 {
		want = int(number(ts, args[1]))
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		names, err := filepath.Glob(ts.MkAbs(args[0]))
		ts.Check(err)
		if len(names) >= want {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%d files like %s after 20 s, want %d", len(names), args[0], want)
		}
	}
}

// until runs snapd again and again, until its standard output matches:
// until REGEXP ARG…. Commands that go on by themselves are not for it.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until REGEXP ARG…")
	}
	want := regexp.MustCompile(args[0])
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := ts.Exec("snapd", args[1:]...)
		if want.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("snapd %s never matched %s: %v", strings.Join(args[1:], " "), want, err)
		}
	}
}

// sigterm sends SIGTERM to the background program.
func sigterm(ts *testscript.TestScript, neg bool, args []string) {
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	}
}

func number(ts *testscript.TestScript, s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	ts.Check(err)
	return n
}
