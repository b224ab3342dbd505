package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/snapd/internal/store"
)

// nvme is the polynomial of CRC64NVME, bit-reversed.
var nvme = crc64.MakeTable(0x9a6c9329ac4bc9b5)

// Checksum returns the checksum of data of the same kind as like; "" when like has none.
func Checksum(like string, data []byte) string {
	kind, _, _ := strings.Cut(like, ":")
	switch kind {
	case "sha256":
		return fmt.Sprintf("sha256:%x", sha256.Sum256(data))
	case "crc64nvme":
		return fmt.Sprintf("crc64nvme:%016x", crc64.Checksum(data, nvme))
	}
	return ""
}

// If this fails, an object is not found after a restart, or is fetched twice.
func testList(t *testing.T, p *place) {
	// A slash sorts between these neighbours, so that an order by directory is another one than by name.
	names := []string{"0", "a-b", "a.b", "a/b", "a/b-c", "a/b.c", "a0", "ab/c", "z/z/z/z"}
	for i := range p.Names {
		names = append(names, fmt.Sprintf("many/%06d_%d", i*7919%p.Names, i%3))
	}
	work := make(chan string)
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			for name := range work {
				if _, err := p.Put(t.Context(), name, strings.NewReader(name), int64(len(name))); err != nil {
					t.Errorf("put %s: %v", name, err)
				}
			}
		})
	}
	for _, name := range names {
		work <- name
	}
	close(work)
	done.Wait()
	slices.Sort(names)
	middle := names[len(names)/2]
	for _, c := range []struct{ prefix, after string }{
		{"", ""}, {"a", ""}, {"a/", ""}, {"a/b", ""}, {"a/b-", ""}, {"many/0", ""}, {"nothing", ""}, {"many/", middle}, {"", middle}, {"", "a/b"}, {"", "a/"}, {"", "a"}, {"", "a-c"},
		{"a", "a.b"}, {"many/00000", "many/000003"}, {"many/", "z"}, {"z", "a"}, {"", names[len(names)-1]}, {"a", "many/0"},
	} {
		want := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !strings.HasPrefix(name, c.prefix) || name <= c.after })
		var got []string
		for object, err := range p.List(t.Context(), c.prefix, c.after) {
			if err != nil {
				t.Fatalf("list %q after %q: %v", c.prefix, c.after, err)
			}
			if object.Size != int64(len(object.Name)) || object.Modified.IsZero() {
				t.Errorf("list %q: %+v, want its size and time", c.prefix, object)
			}
			got = append(got, object.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("list %q after %q: %d names, want %d: %.120q, want %.120q", c.prefix, c.after, len(got), len(want), got, want)
		}
	}
	for object, err := range p.List(t.Context(), "", "") { // ends when the caller has enough
		if err != nil || object.Name != names[0] {
			t.Errorf("the first name is %q, %v", object.Name, err)
		}
		break
	}
	// One that the end of its context cut short must not pass for a whole one.
	for _, n := range []int{1, p.Names / 3, len(names) - 1} {
		ctx, cancel := context.WithCancel(t.Context())
		listed := 0
		var last error
		for _, last = range p.List(ctx, "", "") {
			if listed++; listed == n {
				cancel()
			}
		}
		cancel()
		if !errors.Is(last, context.Canceled) {
			t.Errorf("list that is cancelled at name %d of %d: ended after %d with %v", n, len(names), listed, last)
		}
	}
}

// failing is a source that fails from an offset on.
type failing struct {
	io.ReaderAt
	from int64
	err  func() error
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.from {
		return 0, f.err()
	}
	return f.ReaderAt.ReadAt(p, off)
}

// If this fails, half of a backup is in the store under the name of a whole one.
func testBadSource(t *testing.T, p *place) {
	broken := errors.New("the source is broken")
	for _, size := range []int{0, 1000, p.Large + 1} {
		data, name := noise(1, size), fmt.Sprintf("o%d", size)
		_, err := p.Put(t.Context(), name, bytes.NewReader(data), int64(size)+1)
		p.wantErr(t, fmt.Sprintf("put of %d bytes from a source that is shorter", size), err, io.ErrUnexpectedEOF)
		p.wantNothing(t, name)
		if size == 0 {
			continue
		}
		for _, from := range []int64{0, int64(size) - 1} {
			_, err = p.Put(t.Context(), name, failing{bytes.NewReader(data), from, func() error { return broken }}, int64(size))
			p.wantErr(t, fmt.Sprintf("put of %d bytes from a source that fails at %d", size, from), err, broken)
			p.wantNothing(t, name)
		}
		p.put(t, name, data)
		p.wantObject(t, name, data)
	}
	p.put(t, "longer", nil)
	if _, err := p.Put(t.Context(), "begin", strings.NewReader("begin and end"), 5); err != nil {
		t.Error(err)
	}
	p.wantObject(t, "begin", []byte("begin"))
	_, err := p.Put(t.Context(), "negative", strings.NewReader(""), -1)
	p.wantErr(t, "put of -1 bytes", err, nil)
	p.wantNothing(t, "negative")
}

// If this fails, a service cannot be stopped while it copies, or leaves half an object.
func testCancelled(t *testing.T, p *place) {
	p.put(t, "there", noise(1, p.Large))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.Put(ended, "o", strings.NewReader("x"), 1)
	p.wantErr(t, "put", err, context.Canceled)
	_, err = p.Stat(ended, "there")
	p.wantErr(t, "stat", err, context.Canceled)
	_, err = read(ended, p, "there", "", 0, -1)
	p.wantErr(t, "get", err, context.Canceled)
	p.wantErr(t, "delete", p.Delete(ended, "there"), context.Canceled)
	var listed error
	for _, listed = range p.List(ended, "", "") {
	}
	p.wantErr(t, "list", listed, context.Canceled)
	p.wantNothing(t, "o")

	for _, size := range []int{1000, p.Large + 1} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err = p.Put(ctx, "o", failing{bytes.NewReader(noise(2, size)), int64(size) / 2, func() error { cancel(); return ctx.Err() }}, int64(size))
		p.wantErr(t, "put that is cancelled while the source is read", err, context.Canceled)
		p.wantNothing(t, "o")
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := p.Get(ctx, "there", "", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Error(err)
	}
	cancel()
	if n, err := io.Copy(io.Discard, r); err == nil {
		t.Errorf("%d bytes and no error from a reader whose context ended", n)
	}
	r.Close()
	p.wantObject(t, "there", noise(1, p.Large))
}

// If this fails, an object whose name is the beginning of another one's takes that away. A store may refuse such a pair.
func testNested(t *testing.T, p *place) {
	p.put(t, "a/b", []byte("inner"))
	p.put(t, "c", []byte("outer"))
	for name, other := range map[string]string{"a": "a/b", "c/d": "c"} {
		_, err := p.Put(t.Context(), name, strings.NewReader("x"), 1)
		p.quiet(t, err)
		if errors.Is(err, store.ErrMissing) {
			t.Errorf("put %s: %v", name, err)
		}
		if _, err := p.Stat(t.Context(), other); err != nil {
			t.Errorf("after put %s, stat %s: %v", name, other, err)
		}
	}
	p.wantObject(t, "a/b", []byte("inner"))
	p.wantObject(t, "c", []byte("outer"))
}
