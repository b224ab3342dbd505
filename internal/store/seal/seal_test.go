package seal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/storetest"
	"example.com/snapd/internal/testdb"
)

// sizes are around those of a chunk, of what is encrypted in memory, and of the header that is read first.
var sizes = []int{0, 1, chunkBytes - 1, chunkBytes, chunkBytes + 1, 2*chunkBytes - 200, 2 * chunkBytes, 7*chunkBytes + 5, inMemory, inMemory + 1, inMemory + 3*chunkBytes}

// Lost: a range of the content that is not what was put.
func TestEveryRange(t *testing.T) {
	t.Parallel()
	inner, s := sealed(t)
	for _, size := range sizes {
		name := fmt.Sprintf("backups/%d.db.zst", size)
		content := random(size)
		o := put(t, s, name, content)
		stored := inner.Bytes(name + ".age")
		if sum := fmt.Sprintf("sha256:%x", sha256.Sum256(stored)); o.Checksum != sum || o.Size != int64(len(stored)) || o.Name != name {
			t.Errorf("%d bytes: put says %+v, stored are %d bytes with %s", size, o, len(stored), sum)
		}
		if said, err := s.Stat(t.Context(), name); err != nil || said != o {
			t.Errorf("%d bytes: stat says %+v, put said %+v: %v", size, said, o, err)
		}
		for _, off := range []int{0, 1, chunkBytes - 1, chunkBytes, chunkBytes + 1, size - chunkBytes, size - 1, size, size + 1} {
			for _, n := range []int{-1, 0, 1, chunkBytes, chunkBytes + 2, size} {
				if off < 0 {
					continue
				}
				want := content[min(off, size):]
				var wantErr error
				if n >= 0 {
					if n > len(want) {
						wantErr = io.ErrUnexpectedEOF
					}
					want = want[:min(n, len(want))]
				}
				got, err := get(t, s, name, int64(off), int64(n))
				if !bytes.Equal(got, want) || !errors.Is(err, wantErr) {
					t.Errorf("%d of %d bytes from %d: %d bytes, %v; want %d, %v", n, size, off, len(got), err, len(want), wantErr)
				}
			}
		}
	}
}

func TestConcurrentReads(t *testing.T) {
	t.Parallel()
	inner, s := sealed(t)
	content := random(9*chunkBytes + 77)
	put(t, s, "x", content)
	stored, err := inner.Stat(t.Context(), "x.age")
	if err != nil {
		t.Fatal(err)
	}
	o, err := Open(t.Context(), inner, stored, s.ids)
	if err != nil {
		t.Fatal(err)
	}
	if o.Size() != int64(len(content)) {
		t.Errorf("size %d, want %d", o.Size(), len(content))
	}
	before := inner.Count(storetest.Get)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			r, err := o.Get(t.Context(), int64(i*chunkBytes+i), 2*chunkBytes)
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			got, err := io.ReadAll(r)
			if want := content[i*chunkBytes+i:]; err != nil && i < 7 || !bytes.Equal(got, want[:min(len(want), 2*chunkBytes)]) {
				t.Errorf("read %d: %d bytes: %v", i, len(got), err)
			}
		})
	}
	wait.Wait()
	if n := inner.Count(storetest.Get) - before; n > 8 {
		t.Errorf("8 reads of an open object took %d requests", n)
	}
}

// Lost: the content of a damaged object taken for good, or a damaged object taken for one of another key.
func TestEveryBitAndEveryLength(t *testing.T) {
	t.Parallel()
	inner, s := sealed(t)
	content := []byte("fifty rows of customers, and what they bought last year")
	put(t, s, "x", content)
	good := inner.Bytes("x.age")
	header := bytes.Index(good, []byte("\n--- ")) // what is before it names the key
	refused := func(what string, damaged []byte, at int) {
		t.Helper()
		inner.Set("x.age", damaged)
		got, err := get(t, s, "x", 0, -1)
		switch {
		case err == nil:
			t.Errorf("%s: read as %q", what, got)
		case errors.Is(err, ErrNoIdentity) && at < header:
		case !errors.Is(err, ErrDamaged):
			t.Errorf("%s: %v", what, err)
		case len(got) > 0:
			t.Errorf("%s: %d bytes came before the error", what, len(got))
		}
	}
	for at := range good {
		for bit := range 8 {
			damaged := bytes.Clone(good)
			damaged[at] ^= 1 << bit
			refused(fmt.Sprintf("bit %d of byte %d", bit, at), damaged, at)
		}
	}
	for n := range good {
		refused(fmt.Sprintf("%d of %d bytes", n, len(good)), good[:n], len(good))
	}
	refused("a byte more", append(bytes.Clone(good), 0), len(good))
	inner.Set("x.age", good)
	if got, err := get(t, s, "x", 0, -1); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the good one: %q, %v", got, err)
	}
}

// Lost: chunks of a large object that change places, or are cut off as a whole.
func TestChunksKeepTheirPlace(t *testing.T) {
	t.Parallel()
	inner, s := sealed(t)
	put(t, s, "x", random(4*chunkBytes))
	good := inner.Bytes("x.age")
	start := len(good) - 4*storedBytes
	chunk := func(b []byte, i int) []byte { return b[start+i*storedBytes:][:storedBytes] }
	swapped := bytes.Clone(good)
	copy(chunk(swapped, 1), chunk(good, 2))
	copy(chunk(swapped, 2), chunk(good, 1))
	flipped := bytes.Clone(good)
	chunk(flipped, 1)[100] ^= 1
	for what, damaged := range map[string][]byte{
		"swapped": swapped, "flipped": flipped, "without its last chunk": good[:len(good)-storedBytes],
		"without half a chunk": good[:len(good)-storedBytes/2], "with its last chunk twice": append(bytes.Clone(good), chunk(good, 3)...),
	} {
		inner.Set("x.age", damaged)
		if got, err := get(t, s, "x", 0, -1); !errors.Is(err, ErrDamaged) || len(got) > chunkBytes {
			t.Errorf("%s: %d bytes, %v", what, len(got), err)
		}
	}
}

// Lost: the difference between a wrong key, no key, a store that does not answer, and damage.
func TestWhatAnErrorSays(t *testing.T) {
	t.Parallel()
	inner, s := sealed(t)
	content := random(3 * chunkBytes)
	put(t, s, "x", content)
	_, _, others := newKey(t)
	want := func(s store.Store, is error, names ...string) {
		t.Helper()
		_, err := get(t, s, "x", 5, int64(chunkBytes))
		if !errors.Is(err, is) || is != ErrDamaged && errors.Is(err, ErrDamaged) {
			t.Errorf("%v; want %v", err, is)
		}
		for _, name := range names {
			if err != nil && !strings.Contains(err.Error(), name) {
				t.Errorf("%v; it does not say %q", err, name)
			}
		}
	}
	want(New(inner, s.to, others, ""), ErrNoIdentity, s.to.names[0])
	want(New(inner, s.to, Identities{}, ""), ErrNoIdentity, s.to.names[0], "--identity")
	want(New(inner, Recipients{}, Identities{}, ""), ErrNoIdentity, "--identity")
	gone := errors.New("the network is down")
	for fails := range 3 { // at the header, the last chunk, the chunks
		calls := 0
		inner.Before(func(_ context.Context, op storetest.Op, _ string) error {
			if op == storetest.Get {
				if calls++; calls > fails {
					return gone
				}
			}
			return nil
		})
		want(s, gone)
		inner.Before(nil)
		calls = 0
		inner.Body(func(_ string, _ int64, body []byte) []byte {
			if calls++; calls > fails {
				return body[:len(body)/2]
			}
			return body
		})
		want(s, io.ErrUnexpectedEOF)
		inner.Body(nil)
	}
	want(s, nil)
	if _, err := s.Get(t.Context(), "y", "", 0, 1); !errors.Is(err, store.ErrMissing) {
		t.Errorf("one that is not there: %v", err)
	}
	if _, err := s.Get(t.Context(), "x", "other", 0, 1); !errors.Is(err, store.ErrChanged) {
		t.Errorf("another version: %v", err)
	}
}

// Lost: that a machine with the recipient alone can do all but read.
func TestWithoutAnIdentity(t *testing.T) {
	t.Parallel()
	inner, all := sealed(t)
	s := New(inner, all.to, Identities{}, t.TempDir())
	inner.Set("plain", []byte("of another"))
	put(t, s, "a/1", random(10))
	put(t, s, "a/2", random(10))
	if _, err := s.Put(t.Context(), "a/1", strings.NewReader("x"), 1); !errors.Is(err, store.ErrExists) {
		t.Errorf("a taken name: %v", err)
	}
	list := func(prefix, after string) (names []string) {
		t.Helper()
		for o, err := range s.List(t.Context(), prefix, after) {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, o.Name)
		}
		return names
	}
	if got := list("", ""); !slices.Equal(got, []string{"a/1", "a/2"}) {
		t.Errorf("listed are %q", got)
	}
	if got := list("a/", "a/1"); !slices.Equal(got, []string{"a/2"}) {
		t.Errorf("after a/1 are listed %q", got)
	}
	if err := s.Delete(t.Context(), "a/1"); err != nil {
		t.Error(err)
	}
	if _, err := s.Stat(t.Context(), "a/1"); !errors.Is(err, store.ErrMissing) {
		t.Errorf("a deleted one: %v", err)
	}
	if got := inner.Names(); !slices.Equal(got, []string{"a/2.age", "plain"}) {
		t.Errorf("the store has %q", got)
	}
}

// Lost: content that leaves although it cannot be sealed, or half of it.
func TestNothingLeavesUnsealed(t *testing.T) {
	t.Parallel()
	inner, s := sealed(t)
	if _, err := New(inner, Recipients{}, s.ids, "").Put(t.Context(), "x", strings.NewReader("x"), 1); !errors.Is(err, ErrRecipients) {
		t.Errorf("without a recipient: %v", err)
	}
	for _, size := range []int64{100, inMemory + 100} {
		if _, err := s.Put(t.Context(), "x", bytes.NewReader(make([]byte, size-1)), size); !errors.Is(err, io.ErrUnexpectedEOF) || !store.IsSource(err) {
			t.Errorf("a source of %d bytes that has one less: %v", size, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, "x", bytes.NewReader(make([]byte, inMemory+1)), inMemory+1); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if n := inner.Count(storetest.Put); n != 0 {
		t.Errorf("%d times something was put", n)
	}
	const large = inAdvance + inMemory // is sent while it is encrypted
	if _, err := s.Put(t.Context(), "x", bytes.NewReader(make([]byte, large-1)), large); !errors.Is(err, io.ErrUnexpectedEOF) || !store.IsSource(err) {
		t.Errorf("a large source that has one byte less: %v", err)
	}
	if names := inner.Names(); len(names) > 0 {
		t.Errorf("half of it is there: %v", names)
	}
	if left, err := os.ReadDir(s.scratch); err != nil || len(left) > 0 {
		t.Errorf("left in the scratch directory: %v, %v", left, err)
	}
}

// Lost: copies that outlive this program.
func TestStockToolsReadIt(t *testing.T) {
	t.Parallel()
	tool := testdb.RequireTool(t, "age")
	key, err := Generate(false)
	if err != nil {
		t.Fatal(err)
	}
	to, err := ParseRecipients([]string{key.Recipient})
	if err != nil {
		t.Fatal(err)
	}
	inner := storetest.NewMemory()
	s := New(inner, to, Identities{}, t.TempDir())
	for _, size := range sizes {
		content := random(size)
		put(t, s, fmt.Sprint(size), content)
		path := filepath.Join(t.TempDir(), "x.age")
		if err := os.WriteFile(path, inner.Bytes(fmt.Sprint(size)+".age"), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := exec.Command(tool, "-d", "-i", keyFile(t, key.Identity), path).Output()
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("age decrypts %d bytes of %d: %v", len(got), size, err)
		}
	}
	// And this program what age encrypted.
	content := random(3 * chunkBytes)
	cmd := exec.Command(tool, "-r", key.Recipient)
	cmd.Stdin = bytes.NewReader(content)
	foreign, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	inner.Set("foreign.age", foreign)
	ids, err := ReadIdentities(keyFile(t, key.Identity))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := get(t, New(inner, to, ids, ""), "foreign", 0, -1); err != nil || !bytes.Equal(got, content) {
		t.Errorf("of what age encrypted are read %d bytes: %v", len(got), err)
	}
}
