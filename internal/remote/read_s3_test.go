package remote

import (
	"bytes"
	"fmt"
	"testing"

	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/open"
	"example.com/snapd/internal/store/storetest"
)

// Lost: the copies, where the store is the one that most have: real object storage, whose answers stream and whose lists say less.
func TestEveryStateFromObjectStorage(t *testing.T) {
	t.Parallel()
	gateway := storetest.StartGateway(t)
	for _, sealed := range []bool{false, true} {
		t.Run(fmt.Sprintf("sealed %v", sealed), func(t *testing.T) {
			t.Parallel()
			s := history(t, sealed)
			there, err := open.Store(t.Context(), gateway.URL(t, gateway.Address), open.Options{Env: storetest.Env})
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range s.place.Names() {
				data := s.place.Bytes(name)
				if _, err := there.Put(t.Context(), name, bytes.NewReader(data), int64(len(data))); err != nil {
					t.Fatal(err)
				}
			}
			read := func(from store.Store) *Reader {
				t.Helper()
				r, err := NewReader(t.Context(), from, ReadOptions{Identities: s.ids, Scratch: t.TempDir()})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { r.Close() })
				return r
			}
			s.has(read(there), Want{}, "2.2", 22)
			s.has(read(there), Want{ID: "1.3"}, "1.3", 13)
			s.has(read(there), Want{At: minute(5)}, "1.5", 15)
			s.has(read(there), Want{ID: s.entries[1].ID}, s.entries[1].ID, 10)
			if err := there.Delete(t.Context(), Name{Kind: Catalog, Number: 1, Sealed: sealed}.String()); err != nil {
				t.Fatal(err)
			}
			s.has(read(there), Want{ID: "latest"}, "1.4", 14)
		})
	}
}
