package rowdiff

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"example.com/snapd/internal/sqlite"
)

// compareDamaged compares a state with a damaged one both ways, with and without pages, and returns the errors.
func compareDamaged(t *testing.T, a, b string) (all []error) {
	t.Helper()
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		for _, byPage := range []bool{false, true} {
			all = append(all, func() error {
				d, err := New(t.Context(), sideOf(t, pair[0]), sideOf(t, pair[1]), t.TempDir())
				if err != nil {
					return err
				}
				defer d.Close()
				if byPage {
					pages, err := ComparePages(t.Context(), imageOf(t, pair[0]), imageOf(t, pair[1]))
					if err == nil {
						err = d.Narrow(t.Context(), pages)
					}
					if err != nil {
						return err
					}
				}
				_, err = d.Compare(t.Context(), Options{Rows: 10, Patch: io.Discard})
				return err
			}())
		}
	}
	return all
}

// TestDamage compares states with pages of noise: that ends, and in no panic.
func TestDamage(t *testing.T) {
	t.Parallel()
	a, b := pairOfStates(t, 3)
	whole, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(9, 9))
	damaged := filepath.Join(t.TempDir(), "damaged.db")
	failed := 0
	for range 60 {
		data := append([]byte(nil), whole...)
		for range 1 + rng.IntN(4) {
			at := 100 + rng.IntN(len(data)-150)
			for i := range 1 + rng.IntN(50) {
				data[at+i] = byte(rng.Uint32())
			}
		}
		if err := os.WriteFile(damaged, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, err := range compareDamaged(t, a, damaged) {
			if err != nil {
				failed++
			}
		}
	}
	if failed == 0 {
		t.Error("no damage was found")
	}
}

// TestTreeThatHasItself: a page of a tree names the root as its child.
func TestTreeThatHasItself(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.db"), filepath.Join(dir, "b.db")
	s := newState(t, b, rand.New(rand.NewPCG(1, 1)))
	s.exec("CREATE TABLE wide(id INTEGER PRIMARY KEY, data TEXT)")
	s.exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000) INSERT INTO wide SELECT i, hex(zeroblob(100)) FROM n")
	var root, size int64
	if err := s.db.QueryRow("SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_schema WHERE name='wide'").Scan(&root, &size); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	copyFile(t, b, a)
	data, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint32(data[(root-1)*size+8:], uint32(root)) // the right child
	if err := os.WriteFile(b, data, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := New(t.Context(), sideOf(t, a), sideOf(t, b), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	pages, err := ComparePages(t.Context(), imageOf(t, a), imageOf(t, b))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Narrow(t.Context(), pages); !errors.Is(err, ErrDamaged) {
		t.Errorf("compare pages: %v, want ErrDamaged", err)
	}
	if err := d.CheckTrees(t.Context(), d.to, imageOf(t, b)); !errors.Is(err, ErrDamaged) {
		t.Errorf("check the trees: %v, want ErrDamaged", err)
	}
	if err := d.CheckTrees(t.Context(), d.from, imageOf(t, a)); err != nil {
		t.Errorf("check the trees: %v", err)
	}
	_, err = d.Compare(t.Context(), Options{})
	if !errors.Is(err, ErrDamaged) && sqlite.Classify(err) != sqlite.ClassCorrupt {
		t.Errorf("compare rows: %v, want ErrDamaged", err)
	}
}

// TestRTreeOfItself: the nodes of an R*Tree name each other, so that it has rows without end.
func TestRTreeOfItself(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.db"), filepath.Join(dir, "b.db")
	s := newState(t, b, rand.New(rand.NewPCG(1, 1)))
	s.exec("CREATE VIRTUAL TABLE area USING rtree(id, least, most)")
	s.exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<5000) INSERT INTO area SELECT i, i, i+1 FROM n")
	copyFile(t, b, a)
	// The root says that it is of 30 levels, and each of its entries names the root.
	var node []byte
	if err := s.db.QueryRow("SELECT data FROM area_node WHERE nodeno=1").Scan(&node); err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint16(node, 30)
	for i := range int(binary.BigEndian.Uint16(node[2:])) {
		binary.BigEndian.PutUint64(node[4+i*16:], 1)
	}
	if _, err := s.db.Exec("UPDATE area_node SET data=? WHERE nodeno=1", node); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, err := range compareDamaged(t, a, b) {
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%v, want ErrDamaged", err)
		}
	}
}
