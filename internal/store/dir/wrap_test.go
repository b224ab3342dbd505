package dir

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/store"
)

// If this fails, a disk that is full or may not be written looks like one that answered, or a broken one like one without the object.
func TestKinds(t *testing.T) {
	source, leave := store.Source(t.Context(), failing{&fs.PathError{Op: "read", Path: "source", Err: syscall.ENOENT}})
	defer leave()
	_, errSource := source.ReadAt(make([]byte, 1), 0)
	kinds := []error{store.ErrExists, store.ErrMissing, store.ErrChanged, store.ErrDenied, store.ErrThrottled, store.ErrGone, store.ErrFull}
	for _, c := range []struct {
		op   string
		err  error
		want error
	}{
		{"get", syscall.ENOENT, store.ErrMissing}, {"stat", syscall.ENOTDIR, store.ErrMissing}, {"put", syscall.ENOENT, nil}, {"put", syscall.ENOTDIR, nil},
		{"put", syscall.EEXIST, store.ErrExists}, {"get", syscall.EACCES, store.ErrDenied}, {"put", syscall.EROFS, store.ErrDenied}, {"delete", syscall.EPERM, store.ErrDenied},
		{"put", syscall.ENOSPC, store.ErrFull}, {"put", &durable.SpaceError{Dir: "/", Need: 1}, store.ErrFull}, {"get", syscall.EIO, nil}, {"put", syscall.ESTALE, nil},
		{"put", errSource, nil}, {"get", store.ErrUnmarked, store.ErrGone}, {"put", context.Canceled, nil}, {"get", store.ErrChanged, store.ErrChanged},
	} {
		d := &Dir{path: "/place"}
		got := d.wrap(c.op, "o", &fs.PathError{Op: "x", Path: "/place/o", Err: c.err})
		if !errors.Is(got, c.err) || !strings.HasPrefix(got.Error(), c.op+" /place/o: ") {
			t.Errorf("%s: %v becomes %v", c.op, c.err, got)
		}
		for _, kind := range kinds {
			if errors.Is(got, kind) != (kind == c.want) {
				t.Errorf("%s: %v becomes %v, want it to be %v", c.op, c.err, got, c.want)
			}
		}
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

// If this fails, an object counts as stored that the disk has otherwise than it was written.
func TestReadBack(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := root.WriteFile("o", []byte("written"), 0o600); err != nil {
		t.Fatal(err)
	}
	sum, err := digest(io.Discard, strings.NewReader("written"), 7)
	if err != nil {
		t.Fatal(err)
	}
	if err := readBack(t.Context(), root, "o", 7, sum); err != nil {
		t.Error(err)
	}
	for _, other := range []string{"wrItten", "writte"} {
		if err := root.WriteFile("o", []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := readBack(t.Context(), root, "o", 7, sum); err == nil {
			t.Errorf("%q is taken for what was written", other)
		}
	}
}
