package testdb

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// FileHash returns the SHA-256 of the file at path in hexadecimal. The
// application's locks on it stay: a child process reads it.
func FileHash(t testing.TB, path string) string {
	t.Helper()
	h := sha256.New()
	if err := read(path, h); err != nil {
		t.Fatalf("hash: %v", err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// DirListing describes every file below dir, a line each with name, size,
// permissions, time of modification and content, for "nothing changed". Of a -shm,
// which readers change as they must, only the name is reported.
func DirListing(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case strings.HasSuffix(name, "-shm"):
			fmt.Fprintln(&b, name)
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			fmt.Fprintln(&b, name, "->", to)
			return err
		case !d.Type().IsRegular():
			fmt.Fprintln(&b, name, info.Mode())
		default:
			fmt.Fprintln(&b, name, info.Size(), info.Mode(), info.ModTime().UnixNano(), FileHash(t, path))
		}
		return nil
	})
	if err != nil {
		t.Fatalf("list %s: %v", dir, err)
	}
	return b.String()
}

// read copies the file to w without this process opening it. Windows has no
// POSIX locks to lose.
func read(path string, w io.Writer) error {
	if runtime.GOOS == "windows" {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	}
	return child(nil, w, "cat", "--", path)
}

// write puts data at an offset of an existing file, in the same way.
func write(path string, off int64, data []byte) error {
	if runtime.GOOS == "windows" {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteAt(data, off)
		return err
	}
	block := int64(1 << 12) // dd seeks by whole blocks
	for off%block != 0 {
		block /= 2
	}
	return child(bytes.NewReader(data), nil, "dd", "of="+path, "bs="+strconv.FormatInt(block, 10), "conv=notrunc", "seek="+strconv.FormatInt(off/block, 10))
}

func child(in io.Reader, out io.Writer, name string, args ...string) error {
	var complaint bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &complaint
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(complaint.Bytes()))
	}
	return nil
}

// copyOpen copies a file that another connection has open.
func copyOpen(t testing.TB, from, to string) {
	t.Helper()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := read(from, f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
