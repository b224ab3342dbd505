package changes

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Where what failed cannot be taken back either, nothing is appended over it: the next Open cuts it off.
func TestNothingIsAppendedOverWhatIsLeft(t *testing.T) {
	const pageSize = 512
	dir := t.TempDir()
	h, l := newHistory(t, pageSize), open(t, dir, pageSize)
	h.append(l, 2)
	c, pages := h.step(5000)
	err := l.Append(t.Context(), c, pages, func(pgno uint32, page []byte) error {
		if pgno == pages[len(pages)-1] { // the first part is written
			l.file.Close()
		}
		return h.read(pgno, page)
	})
	if err == nil {
		t.Fatal("the file was closed, and it was appended to")
	}
	if l.file, err = os.OpenFile(filepath.Join(dir, openName), os.O_RDWR, 0); err != nil { // it works again
		t.Fatal(err)
	}
	l.open.r = l.file
	if err := l.Append(t.Context(), c, pages, h.read); err == nil {
		t.Error("it was appended over what is left")
	}
	l = open(t, dir, pageSize)
	if n := h.proves(l); n != 1 || l.Cut() == 0 {
		t.Errorf("%d captures, %d bytes cut off", n, l.Cut())
	}
	if err := l.Append(t.Context(), c, pages, h.read); err != nil || h.proves(l) != 2 {
		t.Error(err)
	}
}

// Lost: captures, appended to a file that is no longer in the backup directory, which was moved, or
// copied to another disk that is mounted in its place; or another log's, sealed as this one's.
func TestLogIsNoLongerThere(t *testing.T) {
	const pageSize = 512
	for name, replace := range map[string]func(dir, away string) error{
		"moved":   func(string, string) error { return nil },
		"copied":  func(dir, away string) error { return os.CopyFS(dir, os.DirFS(away)) },
		"another": func(dir, _ string) error { return os.Mkdir(dir, 0o700) },
	} {
		dir := filepath.Join(t.TempDir(), "1")
		h, l := newHistory(t, pageSize), open(t, dir, pageSize)
		h.append(l, 2)
		away := dir + ".away"
		if err := errors.Join(os.Rename(dir, away), replace(dir, away)); err != nil {
			t.Fatal(err)
		}
		c, pages := h.step(5)
		if err := l.Append(t.Context(), c, pages, h.read); !errors.Is(err, ErrAway) {
			t.Errorf("%s: append: %v", name, err)
		}
		if err := l.Seal(); !errors.Is(err, ErrAway) {
			t.Errorf("%s: seal: %v", name, err)
		}
		if err := errors.Join(os.RemoveAll(dir), os.Rename(away, dir)); err != nil {
			t.Fatal(err)
		}
		if err := l.Append(t.Context(), c, pages, h.read); err != nil || h.proves(l) != 2 {
			t.Errorf("%s: back again: %v", name, err)
		}
	}
}
