package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"example.com/snapd/internal/store"
)

// A Suite is what a store is tested with.
type Suite struct {
	// Place makes an empty place. What it returns opens that place: each call gives a store of its own on it.
	Place func(t *testing.T) func() store.Store
	// Large is the size of a large object: more than one part, for a store that has parts. 0 is 1 MiB.
	Large int
	// Names is how many objects are listed: more than one page, for a store that has pages. 0 is 2,500.
	Names int
	// Secrets are texts that no error and no String may show.
	Secrets []string
}

// Run tests the promises of [store.Store].
func (s Suite) Run(t *testing.T) {
	if s.Large == 0 {
		s.Large = 1 << 20
	}
	if s.Names == 0 {
		s.Names = 2500
	}
	for name, test := range map[string]func(*testing.T, *place){
		"Names": testNames, "Contents": testContents, "Missing": testMissing, "Taken": testTaken, "TwoWriters": testTwoWriters, "Ranges": testRanges,
		"Changed": testChanged, "List": testList, "BadSource": testBadSource, "Cancelled": testCancelled, "Nested": testNested,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &place{Suite: s, open: s.Place(t)}
			p.Store = p.open()
			t.Cleanup(func() { p.quiet(t, errors.New(p.String())) })
			test(t, p)
		})
	}
}

// A place is one store under test.
type place struct {
	Suite
	store.Store
	open func() store.Store
}

// quiet fails the test when err shows a secret.
func (p *place) quiet(t *testing.T, err error) {
	t.Helper()
	for _, secret := range p.Secrets {
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("a secret is shown in: %v", err)
		}
	}
}

// wantErr fails the test unless err is want; nil stands for any error.
func (p *place) wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if err == nil || want != nil && !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
	p.quiet(t, err)
}

func (p *place) put(t *testing.T, name string, data []byte) store.Object {
	t.Helper()
	object, err := p.Put(t.Context(), name, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatalf("put %s: %v", name, err)
	}
	if object.Name != name || object.Size != int64(len(data)) {
		t.Errorf("put %s: the object is %s of %d bytes, want %d", name, object.Name, object.Size, len(data))
	}
	return object
}

// wantObject fails the test unless name holds data.
func (p *place) wantObject(t *testing.T, name string, data []byte) {
	t.Helper()
	got, err := read(t.Context(), p, name, "", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, data) {
		t.Errorf("%s holds %d bytes, want other %d: %.40q, want %.40q", name, len(got), len(data), got, data)
	}
}

// wantNothing fails the test if name is there in any form.
func (p *place) wantNothing(t *testing.T, name string) {
	t.Helper()
	_, err := p.Stat(t.Context(), name)
	p.wantErr(t, "stat "+name, err, store.ErrMissing)
	for object, err := range p.List(t.Context(), name, "") {
		t.Errorf("list shows %v, %v, want nothing", object, err)
	}
}

func read(ctx context.Context, s store.Store, name, version string, off, n int64) ([]byte, error) {
	r, err := s.Get(ctx, name, version, off, n)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// noise is n bytes that do not repeat; the same for the same seed.
func noise(seed uint64, n int) []byte {
	data := make([]byte, n)
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	random.Read(data) // never fails
	return data
}

// If this fails, an object cannot be found again, or a name leads out of the place.
func testNames(t *testing.T, p *place) {
	for _, name := range []string{"", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a.", "a b", "a\x00", strings.Repeat("a", store.MaxElement+1)} {
		_, err := p.Put(t.Context(), name, strings.NewReader("x"), 1)
		p.wantErr(t, fmt.Sprintf("put %.20q", name), err, nil)
		_, err = p.Get(t.Context(), name, "", 0, -1)
		p.wantErr(t, fmt.Sprintf("get %.20q", name), err, nil)
		_, err = p.Stat(t.Context(), name)
		p.wantErr(t, fmt.Sprintf("stat %.20q", name), err, nil)
		p.wantErr(t, fmt.Sprintf("delete %.20q", name), p.Delete(t.Context(), name), nil)
	}
	for object, err := range p.List(t.Context(), "", "") {
		t.Errorf("list shows %v, %v after bad names only", object, err)
	}
	long := strings.Repeat(strings.Repeat("a", store.MaxElement)+"/", 2) + strings.Repeat("b", store.MaxName-2*store.MaxElement-2)
	for _, name := range []string{"a", "A-Z_0.9", "b/c/d", long} {
		p.put(t, name, []byte(name))
		p.wantObject(t, name, []byte(name))
	}
}

// If this fails, what comes back is not what was stored, or a checksum is trusted that is another object's.
func testContents(t *testing.T, p *place) {
	sums := map[string]bool{}
	for i, size := range []int{0, 1, 5000, p.Large, p.Large + 1} {
		name, data := fmt.Sprintf("o/%d", i), noise(uint64(i), size)
		put := p.put(t, name, data)
		p.wantObject(t, name, data)
		got, err := p.Stat(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if got.Name != name || got.Size != int64(size) || got.Version != put.Version {
			t.Errorf("stat %s: %+v, put said %+v", name, got, put)
		}
		if got.Checksum != "" && got.Checksum != put.Checksum {
			t.Errorf("stat %s: checksum %s, put said %s", name, got.Checksum, put.Checksum)
		}
		if want := Checksum(put.Checksum, data); put.Checksum != want {
			t.Errorf("put %s: checksum %s, want %s", name, put.Checksum, want)
		}
		if kind, _, _ := strings.Cut(put.Checksum, ":"); kind != p.Abilities().Checksum {
			t.Errorf("put %s: checksum %s, the abilities say %q", name, put.Checksum, p.Abilities().Checksum)
		}
		if put.Checksum != "" && sums[put.Checksum] {
			t.Errorf("two objects have the checksum %s", put.Checksum)
		}
		sums[put.Checksum] = true
	}
}

// If this fails, "it is not there" is taken for "it could not be found out", or the other way round.
func testMissing(t *testing.T, p *place) {
	p.put(t, "a/b", []byte("b"))
	for _, name := range []string{"a", "a/c", "b", "a/b/c"} {
		_, err := p.Stat(t.Context(), name)
		p.wantErr(t, "stat "+name, err, store.ErrMissing)
		for _, n := range []int64{-1, 0, 1} {
			_, err = p.Get(t.Context(), name, "", 0, n)
			p.wantErr(t, fmt.Sprintf("get %d bytes of %s", n, name), err, store.ErrMissing)
		}
		p.wantErr(t, "delete "+name, p.Delete(t.Context(), name), store.ErrMissing)
	}
	p.wantObject(t, "a/b", []byte("b"))
	if err := p.Delete(t.Context(), "a/b"); err != nil {
		t.Fatal(err)
	}
	p.wantErr(t, "delete again", p.Delete(t.Context(), "a/b"), store.ErrMissing)
	p.wantNothing(t, "a/b")
	p.put(t, "a/b", []byte("again"))
	p.wantObject(t, "a/b", []byte("again"))
}

// If this fails, a second writer changes what the first one stored.
func testTaken(t *testing.T, p *place) {
	for name, size := range map[string]int{"small": 10, "large": p.Large + 1} {
		first := noise(1, size)
		was := p.put(t, name, first)
		for _, other := range [][]byte{noise(2, size), nil, noise(3, 20)} {
			_, err := p.open().Put(t.Context(), name, bytes.NewReader(other), int64(len(other)))
			p.wantErr(t, "put "+name+" again", err, store.ErrExists)
		}
		p.wantObject(t, name, first)
		if is, err := p.Stat(t.Context(), name); err != nil || is.Version != was.Version {
			t.Errorf("stat %s: %+v, %v, was %+v", name, is, err, was)
		}
	}
}

// If this fails, two machines that use one place by mistake both believe that their object is there.
func testTwoWriters(t *testing.T, p *place) {
	p.put(t, "first", []byte("finds out what the store can do"))
	if !p.Abilities().Exclusive {
		t.Skip("the store is not exclusive: " + p.Abilities().Reason)
	}
	for name, size := range map[string]int{"small": 100, "large": p.Large + 1} {
		const writers = 6
		var done sync.WaitGroup
		start, errs, data := make(chan struct{}), [writers]error{}, [writers][]byte{}
		for i := range writers {
			data[i] = noise(uint64(i), size)
			s := p.open()
			done.Go(func() {
				<-start
				_, errs[i] = s.Put(t.Context(), name, bytes.NewReader(data[i]), int64(size))
			})
		}
		close(start)
		done.Wait()
		winner := -1
		for i, err := range errs {
			switch {
			case err != nil:
				p.wantErr(t, fmt.Sprintf("writer %d of %s", i, name), err, store.ErrExists)
			case winner >= 0:
				t.Errorf("writers %d and %d both stored %s", winner, i, name)
			default:
				winner = i
			}
		}
		if winner < 0 {
			t.Fatalf("no writer stored %s", name)
		}
		p.wantObject(t, name, data[winner])
	}
}

// If this fails, a restore reads other bytes than it asked for.
func testRanges(t *testing.T, p *place) {
	data := noise(1, 10_000)
	p.put(t, "o", data)
	size := int64(len(data))
	for _, c := range []struct {
		off, n int64
		want   error
	}{
		{0, 1, nil}, {0, size, nil}, {0, -1, nil}, {1, -1, nil}, {4095, 2, nil}, {size - 1, 1, nil}, {size - 1, -1, nil}, {5, 0, nil},
		{size, -1, nil}, {size, 0, nil}, {size, 1, io.ErrUnexpectedEOF}, {size + 5, 1, io.ErrUnexpectedEOF}, {0, size + 1, io.ErrUnexpectedEOF}, {size - 1, 2, io.ErrUnexpectedEOF},
	} {
		got, err := read(t.Context(), p, "o", "", c.off, c.n)
		if !errors.Is(err, c.want) {
			t.Errorf("get %d bytes at %d: error %v, want %v", c.n, c.off, err, c.want)
		}
		end := size
		if c.n >= 0 {
			end = min(size, c.off+c.n)
		}
		if want := data[min(c.off, end):end]; !bytes.Equal(got, want) {
			t.Errorf("get %d bytes at %d: %d bytes, want %d", c.n, c.off, len(got), len(want))
		}
	}
	_, err := p.Get(t.Context(), "o", "", -1, 5)
	p.wantErr(t, "get at -1", err, nil)
}

// If this fails, the two halves of a file that is read in pieces can come from two objects.
func testChanged(t *testing.T, p *place) {
	was := p.put(t, "o", noise(1, 100))
	if was.Version == "" {
		t.Skip("the store has no versions")
	}
	if got, err := read(t.Context(), p, "o", was.Version, 50, 50); err != nil || !bytes.Equal(got, noise(1, 100)[50:]) {
		t.Errorf("get of the object's own version: %d bytes, %v", len(got), err)
	}
	if err := p.Delete(t.Context(), "o"); err != nil {
		t.Fatal(err)
	}
	is := p.put(t, "o", noise(2, 100))
	if is.Version == was.Version {
		t.Errorf("two objects have the version %s", is.Version)
	}
	for _, n := range []int64{-1, 0, 10} {
		_, err := p.Get(t.Context(), "o", was.Version, 0, n)
		p.wantErr(t, fmt.Sprintf("get %d bytes of another version", n), err, store.ErrChanged)
	}
}
