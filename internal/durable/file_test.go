package durable

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// names lists what is in dir.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func wantFile(t *testing.T, path, content string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != content {
		t.Errorf("%s holds %q (%v), want %q", filepath.Base(path), got, err, content)
	}
}

func writeTemp(t *testing.T, target, content string) *File {
	t.Helper()
	f, err := Create(target, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, content); err != nil {
		t.Fatal(err)
	}
	return f
}

// If this fails, a reader can see half a file, or Discard deletes a good one.
func TestCommitReplacesAtOnce(t *testing.T) {
	target := filepath.Join(t.TempDir(), "catalog.json")
	if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := writeTemp(t, target, "new")
	wantFile(t, target, "old")
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	wantFile(t, target, "new")
	if err := f.Commit(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("second commit: %v", err)
	}
	if err := errors.Join(f.Discard(), f.Discard()); err != nil {
		t.Errorf("discard after commit: %v", err)
	}
	wantFile(t, target, "new")
	if err := f.Commit(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("second commit: %v", err)
	}
	if got := names(t, filepath.Dir(target)); len(got) != 1 {
		t.Errorf("left behind: %v", got)
	}
}

// If this fails, a backup overwrites another one. Each way of renaming without
// overwriting is tried, as file systems differ in what they have.
func TestCommitNewNeverOverwrites(t *testing.T) {
	ways := map[string]func(from, to string) error{"system": renameNew, "link": linkNew, "reserve": reserveNew}
	for name, rename := range ways {
		t.Run(name, func(t *testing.T) {
			target := filepath.Join(t.TempDir(), "data.db.zst")
			f := writeTemp(t, target, "first")
			if err := f.publish(rename); err != nil {
				t.Fatal(err)
			}
			wantFile(t, target, "first")
			g := writeTemp(t, target, "second")
			if err := g.publish(rename); !errors.Is(err, fs.ErrExist) {
				t.Errorf("onto an existing file: %v", err)
			}
			wantFile(t, target, "first")
			if err := g.Discard(); err != nil {
				t.Error(err)
			}
			if got := names(t, filepath.Dir(target)); len(got) != 1 {
				t.Errorf("left behind: %v", got)
			}
		})
	}
	t.Run("no hard links", func(t *testing.T) {
		defer func(old func(string, string) error) { makeLink = old }(makeLink)
		makeLink = func(string, string) error { return errors.ErrUnsupported }
		target := filepath.Join(t.TempDir(), "x")
		f := writeTemp(t, target, "content")
		if err := f.publish(linkNew); err != nil {
			t.Fatal(err)
		}
		wantFile(t, target, "content")
	})
	t.Run("dangling link is an existing target", func(t *testing.T) {
		target := filepath.Join(t.TempDir(), "x")
		if err := os.Symlink("nowhere", target); err != nil {
			t.Fatal(err)
		}
		f := writeTemp(t, target, "content")
		if err := f.CommitNew(); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%v", err)
		}
		if err := f.Discard(); err != nil {
			t.Error(err)
		}
	})
}

// If this fails, a file that never reached the disk is published.
func TestCommitDemandsSync(t *testing.T) {
	target := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer func(old func(*os.File) error) { syncFile = old }(syncFile)
	broken := errors.New("medium error")
	var synced []string
	syncFile = func(f *os.File) error {
		synced = append(synced, f.Name())
		return broken
	}
	f := writeTemp(t, target, "new")
	if err := f.Commit(); !errors.Is(err, broken) {
		t.Errorf("commit: %v", err)
	}
	wantFile(t, target, "old")
	if err := f.Discard(); err != nil {
		t.Error(err)
	}
	syncFile = func(f *os.File) error {
		synced = append(synced, f.Name())
		return nil
	}
	synced = nil
	if err := WriteFile(target, []byte("newer"), 0o600); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && (len(synced) != 2 || synced[1] != filepath.Dir(target)) {
		t.Errorf("synced %v, want the file and then its directory", synced)
	}
}

// If this fails, backups are readable by others, or restored files get other
// permissions than they had.
func TestPermissionsAreExact(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("Windows has no permission bits: nothing to hold here")
		return
	}
	for _, perm := range []fs.FileMode{0o600, 0o640, 0o666, 0o400} {
		target := filepath.Join(t.TempDir(), "x")
		if err := WriteFile(target, []byte("x"), perm); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(target)
		if err != nil || st.Mode() != perm {
			t.Errorf("asked %v, got %v, %v", perm, st.Mode(), err)
		}
	}
}

// If this fails, large files are put together wrongly around early writeback.
func TestWriteWriteAtReadAt(t *testing.T) {
	target := filepath.Join(t.TempDir(), "big")
	f, err := Create(target, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Discard(); err != nil {
			t.Error(err)
		}
	}()
	want := bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16)
	for off := 0; off < len(want); off += 1 << 20 {
		if _, err := f.Write(want[off : off+1<<20]); err != nil {
			t.Fatal(err)
		}
		if off == 5<<20 {
			if _, err := f.WriteAt([]byte("HELLO"), 100); err != nil {
				t.Fatal(err)
			}
		}
	}
	copy(want[100:], "HELLO")
	got := make([]byte, 10)
	if _, err := f.ReadAt(got, 98); err != nil || string(got) != string(want[98:108]) {
		t.Errorf("read back %q, %v", got, err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	wantFile(t, target, string(want))
}

// If this fails, a source that ends early becomes a complete-looking copy, or a
// cancelled copy replaces the old file.
func TestCopyFile(t *testing.T) {
	target := filepath.Join(t.TempDir(), "copy")
	content := strings.Repeat("page ", 1<<19)
	if err := CopyFile(context.Background(), strings.NewReader(content), int64(len(content)), target, 0o600); err != nil {
		t.Fatal(err)
	}
	wantFile(t, target, content)
	err := CopyFile(context.Background(), strings.NewReader("short"), 6, target, 0o600)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short source: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := CopyFile(ctx, strings.NewReader("x"), 1, target, 0o600); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	wantFile(t, target, content)
	if err := CopyFile(context.Background(), strings.NewReader(""), 0, target, 0o600); err != nil {
		t.Error(err)
	}
	wantFile(t, target, "")
	if got := names(t, filepath.Dir(target)); !slices.Equal(got, []string{"copy"}) {
		t.Errorf("left behind: %v", got)
	}
}

// If this fails, a legal but long database name cannot be backed up.
func TestLongNames(t *testing.T) {
	dir := t.TempDir()
	for _, base := range []string{strings.Repeat("x", 255), strings.Repeat("ü", 127), "-", "a b?#%.db"} {
		f := writeTemp(t, filepath.Join(dir, base), "content")
		if !strings.HasPrefix(filepath.Base(f.Name()), TempPrefix) || filepath.Dir(f.Name()) != dir {
			t.Errorf("temporary name %q", f.Name())
		}
		if !IsTempFor(filepath.Base(f.Name()), base) {
			t.Errorf("%q is not recognised as made for %q", f.Name(), base)
		}
		if err := f.Commit(); err != nil {
			t.Error(err)
		}
		wantFile(t, filepath.Join(dir, base), "content")
	}
	for _, bad := range []string{"", dir + "/", "..", "."} {
		if f, err := Create(bad, 0o600); err == nil {
			t.Errorf("%q is taken for a file: %s", bad, f.Name())
		}
	}
	if _, err := Create(filepath.Join(dir, "missing", "x"), 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a missing directory: %v", err)
	}
}
