package seal

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/storetest"
)

// newKey makes a key, and both of its sides as the package reads them.
func newKey(t *testing.T) (Key, Recipients, Identities) {
	t.Helper()
	key, err := Generate(false)
	if err != nil {
		t.Fatal(err)
	}
	to, err := ParseRecipients([]string{key.Recipient})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := ReadIdentities(keyFile(t, "# a comment", "", key.Identity))
	if err != nil {
		t.Fatal(err)
	}
	return key, to, ids
}

func keyFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.txt")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func random(size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(b)
	return b
}

// sealed is a store in memory, and one around it that reads and writes.
func sealed(t *testing.T) (*storetest.Memory, *Store) {
	t.Helper()
	_, to, ids := newKey(t)
	inner := storetest.NewMemory()
	return inner, New(inner, to, ids, t.TempDir())
}

func put(t *testing.T, s store.Store, name string, content []byte) store.Object {
	t.Helper()
	o, err := s.Put(t.Context(), name, bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func get(t *testing.T, s store.Store, name string, off, n int64) ([]byte, error) {
	t.Helper()
	r, err := s.Get(t.Context(), name, "", off, n)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
