package remote

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// Lost: the way to a segment that has rotted here; or hours, with a remote that has only a part of it.
func TestWithCaptures(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, Dir), 0o700); err != nil {
		t.Fatal(err)
	}
	copies := func(name string, damaged string, spans ...[2]uint64) {
		t.Helper()
		l := Ledger{Format: ledgerFormat, Remote: name}
		for _, s := range spans {
			n := Name{Kind: Segment, Timeline: 2, First: s[0], Last: s[1], At: time.Date(2031, 10, 31, 12, 0, 5, 0, time.UTC)}
			l.Copies = append(l.Copies, Copy{Name: n.String(), Size: 1})
		}
		l.Copies[len(l.Copies)-1].Damaged = damaged
		if err := l.write(dir); err != nil {
			t.Fatal(err)
		}
	}
	copies("whole", "", [2]uint64{11, 15}, [2]uint64{1, 10})
	copies("wider", "", [2]uint64{1, 90})
	copies("damaged", "bits", [2]uint64{1, 10}, [2]uint64{11, 15})
	copies("gap", "", [2]uint64{1, 4}, [2]uint64{6, 15})
	copies("less", "", [2]uint64{1, 14})
	got := WithCaptures(dir, 2, 3, 15)
	slices.Sort(got)
	if want := []string{"whole", "wider"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := WithCaptures(dir, 1, 3, 15); len(got) > 0 {
		t.Errorf("another timeline's: %v", got)
	}
}
