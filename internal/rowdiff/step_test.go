package rowdiff

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

// Lost if this fails: a change that a point made, where the places of pages follow from those in the point after it.
func TestStepsAgreeWithWholeComparisons(t *testing.T) {
	t.Parallel()
	const histories, states = 8, 7
	stepped, whole := 0, 0
	for seed := range uint64(histories) {
		dir := t.TempDir()
		live := filepath.Join(dir, "live.db")
		s := newState(t, live, rand.New(rand.NewPCG(seed, 77)))
		var files []string // oldest first
		for i := range states {
			switch table := ""; {
			case i > 0 && i%4 == 0:
				s.change()
			case i > 0 && len(s.tables) > 0:
				table = s.tables[s.rng.IntN(len(s.tables))]
				s.insert(table, 1+s.rng.IntN(120))
				s.may(fmt.Sprintf("UPDATE OR IGNORE %s SET c=%s WHERE %s", table, s.value(), s.where()))
				s.may(fmt.Sprintf("DELETE FROM %s WHERE %s", table, s.where()))
			}
			files = append(files, filepath.Join(dir, fmt.Sprint(i)))
			copyFile(t, live, files[i])
		}
		if err := s.db.Close(); err != nil {
			t.Fatal(err)
		}
		slices.Reverse(files)
		newer, newerImage := sideOf(t, files[0]), imageOf(t, files[0])
		for i, file := range files[1:] {
			older, olderImage := sideOf(t, file), imageOf(t, file)
			d, err := New(t.Context(), older, newer, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			pages, err := ComparePages(t.Context(), olderImage, newerImage)
			if err != nil {
				t.Fatal(err)
			}
			if pages == nil { // another page size
				break
			}
			var changed []uint32
			eachPage(len(pages.changed), pages.changed.word, func(n uint32) bool { changed = append(changed, n); return true })
			if err := d.Narrow(t.Context(), PagesOf(olderImage, newerImage, changed)); err != nil {
				t.Fatal(err)
			}
			if newer.placed != nil && older.placed != nil && len(older.placed.trees) > 0 && &older.placed.trees[0] == &newer.placed.trees[0] {
				stepped++
			} else {
				whole++
			}
			plain := diffOf(t, file, files[i])
			got, err := d.Compare(t.Context(), Options{Rows: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			want, err := plain.Compare(t.Context(), Options{Rows: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("history %d, state %d:\n%+v\nwant\n%+v", seed, states-2-i, got, want)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			newer, newerImage = older, olderImage
		}
	}
	if t.Logf("%d steps, %d whole comparisons", stepped, whole); stepped < histories*states/4 {
		t.Errorf("%d steps only", stepped)
	}
}
