package integrity

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlitefile"
	"example.com/snapd/internal/testdb"
)

// outlived leaves a log whose tail was never acknowledged: another process dies
// after it wrote a transaction with its commit mark and before the index; the next
// transaction, of a connection that lives on, is smaller. The two copies of the
// index's header are put back by hand, which is what a kill at that instant leaves.
const outlived = `
import sqlite3, subprocess, sys
path = sys.argv[1]
c = sqlite3.connect(path, isolation_level=None)
c.execute("PRAGMA wal_autocheckpoint=0")
c.execute("INSERT INTO t(b) VALUES('one')")
subprocess.run([sys.executable, "-c", """
import sqlite3, sys, os, signal
path = sys.argv[1]
c = sqlite3.connect(path, isolation_level=None)
c.execute("PRAGMA wal_autocheckpoint=0")
with open(path + "-shm", "rb") as f: header = f.read(96)
c.execute("INSERT INTO t(b) SELECT hex(randomblob(2000)) FROM (VALUES(1),(2),(3),(4),(5),(6),(7),(8))")
with open(path + "-shm", "r+b") as f: f.write(header)
os.kill(os.getpid(), signal.SIGKILL)
""", path])
c.execute("INSERT INTO t(b) VALUES('two')")
assert c.execute("SELECT count(*) FROM t").fetchone() == (2,)
assert c.execute("PRAGMA integrity_check").fetchone() == ("ok",)
print("r", flush=True)
sys.stdin.read()
`

// busyLog leaves a log of ten commits, and its user at work.
const busyLog = `
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA wal_autocheckpoint=0")
for i in range(10): c.execute("INSERT INTO t(b) VALUES(hex(randomblob(3000)))")
print("r", flush=True)
sys.stdin.read()
`

func logged(t *testing.T, script string) (path string, stop func()) {
	t.Helper()
	path = makeDB(t, "x.db", "PRAGMA journal_mode=wal; CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT)")
	return path, python(t, script, path)
}

// left copies a database with its sidecars as a power switch would leave them.
func left(t *testing.T, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "x.db")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		put(t, to+suffix, contents(t, path+suffix))
	}
	age(t, filepath.Dir(to))
	return to
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	age(t, path)
}

// found checks twice, because the first check must not change what the second sees,
// and expects the verdict and the finding, "" for none.
func found(t *testing.T, path string, verdict Verdict, code Code) (message string) {
	t.Helper()
	for level := LevelHeader; level <= LevelFull; level++ {
		for range 2 {
			rep, err := Check(t.Context(), path, Options{Level: level})
			if err != nil || rep.Verdict != verdict {
				t.Fatalf("%v: %+v, %v; want %s", level, rep, err, verdict)
			}
			i := slices.IndexFunc(rep.Findings, func(f Finding) bool { return f.Code == code })
			if code != "" && i < 0 || code == "" && len(rep.Findings) > 0 {
				t.Fatalf("%v: findings %+v, want %q", level, rep.Findings, code)
			}
			if i >= 0 {
				message = rep.Findings[i].Message
			}
		}
	}
	return message
}

// stray gives a frame of the log the salts of another generation, as SQLite 3.40 leaves them.
func stray(t *testing.T, path string, frame int64) {
	t.Helper()
	f, err := os.OpenFile(path+"-wal", os.O_WRONLY, 0) // no one has locks on a log
	if err != nil {
		t.Fatal(err)
	}
	at := sqlitefile.WALHeaderSize + (frame-1)*(sqlitefile.FrameHeaderSize+4096) + 8
	if _, err := f.WriteAt(make([]byte, 8), at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	age(t, path+"-wal")
}

// Lost: a backup of what a crash would lose, refused as damage that all connections
// read well. Real damage in the log stays damage.
func TestUnprovenFrame(t *testing.T) {
	t.Parallel()
	for _, frame := range []int64{1, 5} {
		path, stop := logged(t, busyLog)
		defer stop()
		stray(t, path, frame)
		if message := found(t, path, Healthy, CodeWALUnproven); !strings.Contains(message, "lose 10 of") && frame == 1 {
			t.Error(message)
		}
		found(t, left(t, path), Corrupt, CodeWALLost)
		testdb.FlipByte(t, path+"-wal", sqlitefile.WALHeaderSize+6*(sqlitefile.FrameHeaderSize+4096)+500)
		age(t, path+"-wal")
		found(t, path, Corrupt, CodeWALLost)
	}
}

// Lost: a healthy database, called corrupt and rolled back to an old backup,
// because some writer once died at the wrong instant.
func TestStaleTail(t *testing.T) {
	t.Parallel()
	path, stop := logged(t, outlived)
	defer stop()
	t.Run("in use", func(t *testing.T) { found(t, path, Healthy, CodeWALStaleTail) })
	t.Run("left by a kill", func(t *testing.T) { found(t, left(t, path), Healthy, CodeWALStaleTail) })
	t.Run("used in place afterwards", func(t *testing.T) {
		after := left(t, path)
		if err := connect(t, after).Exec(t.Context(), "SELECT * FROM t"); err != nil {
			t.Fatal(err)
		}
		found(t, after, Healthy, CodeWALStaleTail)
	})
	t.Run("private copy", func(t *testing.T) {
		l := &liveCheck{path: left(t, path), o: Options{Level: LevelFull}}
		v, err := livedb.Look(l.path)
		if err == nil {
			err = l.readIndex()
		}
		results := &results{}
		if err == nil {
			_, err = l.onCopy(t.Context(), v, results)
		}
		if err != nil || results.damaged() {
			t.Errorf("%+v, %v", results.findings, err)
		}
	})
	for name, damage := range map[string]func(shm []byte) []byte{
		"absent":        func([]byte) []byte { return nil },
		"zero":          func(b []byte) []byte { return make([]byte, len(b)) },
		"short":         func(b []byte) []byte { return b[:3] },
		"other salts":   func(b []byte) []byte { return forge(b, func(h []byte) { h[32]++ }) },
		"other frame":   func(b []byte) []byte { return forge(b, func(h []byte) { h[24]++ }) },
		"bad checksum":  func(b []byte) []byte { b[16]++; b[48+16]++; return b },
		"copies differ": func(b []byte) []byte { b[16]++; return b },
	} {
		t.Run(name, func(t *testing.T) {
			path := left(t, path)
			if b := damage(contents(t, path+"-shm")); b != nil {
				put(t, path+"-shm", b)
			} else if err := os.Remove(path + "-shm"); err != nil {
				t.Fatal(err)
			}
			age(t, filepath.Dir(path))
			if m := found(t, path, Corrupt, CodeWALLost); !strings.Contains(m, "never acknowledged") {
				t.Errorf("does not say that it may be a stale tail: %s", m)
			}
		})
	}
}

// forge changes both copies of the index's header and makes their checksums right.
func forge(b []byte, change func(header []byte)) []byte {
	h := b[:sqlitefile.SHMHeaderSize]
	change(h)
	var s1, s2 uint32
	for off := 0; off < 40; off += 8 {
		s1 += binary.NativeEndian.Uint32(h[off:]) + s2
		s2 += binary.NativeEndian.Uint32(h[off+4:]) + s1
	}
	binary.NativeEndian.PutUint32(h[40:], s1)
	binary.NativeEndian.PutUint32(h[44:], s2)
	copy(b[sqlitefile.SHMHeaderSize:], h)
	return b
}

// Lost: commits that were acknowledged and are gone from the log, taken for a
// stale tail; and the proof of them, when the check itself let SQLite make the
// index again, so that the second check would call the database healthy.
func TestLostTransactionsWithIndex(t *testing.T) {
	t.Parallel()
	path, stop := logged(t, busyLog)
	defer stop()
	found(t, path, Healthy, "")
	wal := contents(t, path+"-wal")
	const frame = 24 + 4096
	damaged := func(n int) []byte { // n frames before the end
		b := bytes.Clone(wal)
		b[len(b)-n*frame+500] ^= 1
		return b
	}
	t.Run("left by a kill", func(t *testing.T) {
		path := left(t, path)
		for n := 3; n < 7; n++ { // the boundary of a transaction is among them
			put(t, path+"-wal", damaged(n))
			age(t, filepath.Dir(path))
			before := contents(t, path+"-shm")
			found(t, path, Corrupt, CodeWALLost)
			if runtime.GOOS == "linux" && !bytes.Equal(before, contents(t, path+"-shm")) {
				t.Error("the check made SQLite rebuild the index")
			}
		}
	})
	// A power failure may lose commits that were not synced, in every
	// state of the index that it leaves.
	t.Run("torn by a power failure", func(t *testing.T) {
		path := left(t, path)
		put(t, path+"-wal", damaged(1))
		found(t, path, Healthy, CodeWALTornTail)
	})
	if runtime.GOOS != "linux" {
		return // only there it is known that the index is in use
	}
	t.Run("in use", func(t *testing.T) {
		for name, b := range map[string][]byte{"damaged": damaged(1), "cut off": wal[:len(wal)-4*frame]} {
			put(t, path+"-wal", b)
			if m := found(t, path, Corrupt, CodeWALLost); m == "" {
				t.Error(name)
			}
		}
		put(t, path+"-wal", wal)
		found(t, path, Healthy, "")
	})
}
