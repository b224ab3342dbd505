package pages

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/testdb"
)

// tool returns the path of a foreign program.
func tool(t *testing.T, name string) string {
	t.Helper()
	return testdb.RequireTool(t, name)
}

// shell runs SQL in the sqlite3 shell, a process and a library of its own.
func shell(t *testing.T, db, script string) string {
	t.Helper()
	cmd := exec.Command(tool(t, "sqlite3"), "-bail", "-batch", db)
	cmd.Stdin = strings.NewReader("PRAGMA synchronous=off;" + script) // these tests lose no power
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("sqlite3 %s: %v\n%s\n%s", db, err, script, out)
	}
	return strings.TrimSpace(string(out))
}

// python starts a script in another process, with the sqlite3 module imported and
// db and c (an open connection with explicit transactions) set up, and returns
// when it has printed "ready". It is killed when the test ends.
func python(t *testing.T, db, script string) *child {
	t.Helper()
	cmd := exec.Command(tool(t, "python3"), "-ISuc", `
import os, sqlite3, sys, time
db = sys.argv[1]
c = sqlite3.connect(db, isolation_level=None, timeout=30)
try: c.execute("PRAGMA synchronous=off")
except sqlite3.OperationalError: pass
def ready(): print("ready", flush=True)
`+script, db)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &child{t: t, cmd: cmd, in: in, out: bufio.NewReader(out), stderr: &stderr}
	t.Cleanup(p.kill)
	if line, err := p.out.ReadString('\n'); err != nil || line != "ready\n" {
		p.kill()
		t.Fatalf("python: %q, %v\n%s", line, err, stderr.String())
	}
	return p
}

type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr *bytes.Buffer
	dead   bool
}

// say sends a line to the script and returns the line it answers.
func (p *child) say(line string) string {
	p.t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
	answer, err := p.out.ReadString('\n')
	if err != nil {
		p.kill()
		p.t.Fatalf("python: %v\n%s", err, p.stderr.String())
	}
	return strings.TrimSpace(answer)
}

// finish closes the script's input and waits for it to end well.
func (p *child) finish() string {
	p.t.Helper()
	p.in.Close()
	rest, _ := io.ReadAll(p.out)
	p.dead = true
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatalf("python: %v\n%s", err, p.stderr.String())
	}
	return strings.TrimSpace(string(rest))
}

// kill ends the process as kill -9 does.
func (p *child) kill() {
	if !p.dead {
		p.dead = true
		p.cmd.Process.Kill()
		p.cmd.Wait()
	}
}

// state is everything that a backup may not change.
func state(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %v %d", path, fi.Mode(), fi.Size())
		if !strings.HasSuffix(path, "-shm") { // the index is rebuilt at will
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %v %x", fi.ModTime(), sha256.Sum256(data))
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// take returns the image of the database at path.
func take(t *testing.T, path string) (livedb.Info, []byte) {
	t.Helper()
	s, err := Begin(t.Context(), path, livedb.Options{ScratchDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.CopyTo(t.Context(), &b, nil); err != nil {
		t.Fatal(err)
	}
	info := s.Info()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if int64(b.Len()) != info.Bytes() {
		t.Fatalf("%d bytes came, %d promised", b.Len(), info.Bytes())
	}
	return info, b.Bytes()
}

// pinned is a snapshot of what script makes of a new database, for the caller to close.
func pinned(t *testing.T, script string) *Snapshot {
	t.Helper()
	db := filepath.Join(t.TempDir(), "data.db")
	shell(t, db, script)
	s, err := Begin(t.Context(), db, livedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// restored writes an image to a file of its own and returns its path.
func restored(t *testing.T, image []byte) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "restored.db")
	if err := os.WriteFile(p, image, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// sameBytes reports the first difference between image and want, leaving out ranges of page 1.
func sameBytes(t *testing.T, what string, got, want []byte, except ...[2]int) {
	t.Helper()
	got, want = bytes.Clone(got), bytes.Clone(want)
	for _, r := range except {
		clear(got[r[0]:r[1]])
		clear(want[r[0]:r[1]])
	}
	if bytes.Equal(got, want) {
		return
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("%s: first difference at byte %d of %d/%d", what, i, len(got), len(want))
		}
	}
	t.Fatalf("%s: %d bytes, want %d", what, len(got), len(want))
}

// shellFails runs SQL that must fail and returns what the shell said.
func shellFails(t *testing.T, db, script string) string {
	t.Helper()
	cmd := exec.Command(tool(t, "sqlite3"), "-bail", "-batch", db, script)
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("succeeded: %s", script)
	}
	return string(out)
}

func mustReadDir(t *testing.T, dir string) []fs.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// replaceTx makes the database of tx equal to the image of pageCount pages that r has.
func replaceTx(ctx context.Context, tx *WriteTx, r io.Reader, pageSize int, pageCount int64) (written int64, err error) {
	image := Image{Page1: make([]byte, pageSize), Pages: pageCount}
	if _, err := io.ReadFull(r, image.Page1); err != nil && pageCount > 0 {
		return 0, err
	}
	image.Fill = func(ctx context.Context, put func(int64, []byte) error) error {
		live, err := tx.conn.Prepare("SELECT data FROM sqlite_dbpage ORDER BY pgno")
		if err != nil {
			return err
		}
		defer live.Close()
		more, err := live.StepFast() // page 1
		page := make([]byte, pageSize)
		for pgno := int64(2); err == nil && pgno <= pageCount; pgno++ {
			if _, err := io.ReadFull(r, page); err != nil {
				return err
			}
			if more {
				if more, err = live.StepFast(); err != nil {
					return err
				}
			}
			if !more || !bytes.Equal(live.Blob(0), page) {
				err = put(pgno, page)
			}
		}
		if err != nil {
			return err
		}
		if n, err := r.Read(page); n > 0 {
			return put(pageCount+1, page)
		} else if err != io.EOF {
			return err
		}
		return nil
	}
	return tx.Replace(ctx, image)
}
