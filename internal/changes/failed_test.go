package changes

import (
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
