package catalogfile

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"example.com/snapd/catalog"
)

// forgetful says that memory which is used again in a program may not be here.
var forgetful bool

// Lost: milliseconds of every command and of every backup, and memory of the host, with
// each backup that is kept: reading and writing allocate what encoding/json does for an
// entry, and looking allocates nothing. This does not depend on the clock.
func TestAllocationsPerEntry(t *testing.T) {
	if forgetful {
		t.Skip("NOT TESTED: with the race detector there are other allocations")
	}
	const few, many = 500, 4500
	catalogOf := func(n int) string {
		dir := t.TempDir()
		d := sample(n)
		for i := range d.entries {
			d.entries[i].Note = "before the import of the week"
		}
		if err := os.WriteFile(filepath.Join(dir, catalogName), mustEncode(t, d), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	small, large := catalogOf(few), catalogOf(many)
	for name, run := range map[string]func(c *Catalog, dir string) error{
		"open": func(_ *Catalog, dir string) error {
			_, err := Open(dir, "data")
			return err
		},
		"add": func(c *Catalog, _ string) error {
			return c.Update(t.Context(), func(tx *Tx) error {
				id := fmt.Sprint("added-", tx.doc.nextSeq)
				return tx.Put(catalog.Entry{ID: id, File: fileOf(id), Kind: catalog.Auto})
			})
		},
		"all": func(c *Catalog, _ string) error {
			all, err := c.All()
			if err != nil {
				return err
			}
			for e := range all {
				if e.Seq == 0 {
					return fmt.Errorf("%+v", e)
				}
			}
			return nil
		},
		"latest": func(c *Catalog, _ string) error {
			_, err := c.Get("latest")
			return err
		},
	} {
		allocs := func(dir string) float64 {
			c, err := Open(dir, "data")
			if err != nil {
				t.Fatal(err)
			}
			return testing.AllocsPerRun(5, func() {
				if err := run(c, dir); err != nil {
					t.Fatal(err)
				}
			})
		}
		per := (allocs(large) - allocs(small)) / (many - few)
		t.Logf("%s: %.4f allocations for each entry", name, per)
		if most := map[string]float64{"open": 16, "add": 3, "all": 0.05, "latest": 0.05}[name]; per > most {
			t.Errorf("%s allocates %.2f times for each entry", name, per)
		}
	}
}
