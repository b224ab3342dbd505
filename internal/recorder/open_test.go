package recorder

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/changes"
)

// Wrong: two histories in one change log, where a catalog.json was put back that knows less than the log.
func TestALogOfAnotherHistoryIsNotContinued(t *testing.T) {
	all := []catalog.Entry{
		{ID: "own", Timeline: catalog.Timeline{Number: 2}}, {ID: "origin", Timeline: catalog.Timeline{Number: 1}}, {ID: "other", Timeline: catalog.Timeline{Number: 1}},
	}
	for _, c := range []struct {
		base, from string
		want       bool
	}{
		{"own", "origin", true}, {"origin", "origin", true}, {"other", "origin", false},
		{"removed", "origin", true}, {"other", "", true},
	} {
		present := catalog.Present{Timeline: catalog.Timeline{Number: 2, Cause: catalog.Restored}, From: c.from}
		if got := leadsHere(changes.Head{Base: c.base}, all, present); got != c.want {
			t.Errorf("a log over %s, of a timeline from %q: %v", c.base, c.from, got)
		}
	}
}

// Lost: all captures to come, which waited for a log that cannot be read any more; or their numbers were given twice.
func TestALogWhoseEndIsDamagedIsNotContinued(t *testing.T) {
	h, err := newKeeping(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := h.recorder()
	l, err := changes.Open(r.dir(1), changes.Head{Timeline: 1, Database: "data", Base: "base", PageSize: 1024, PageSeed: hostSeed.String()})
	if err != nil {
		t.Fatal(err)
	}
	page := make([]byte, 1024)
	var sum archive.Sum
	sum.Add(archive.PageDigest(hostSeed, 1, page))
	c := changes.Capture{Seq: 1, Pages: 1, Sum: sum.Digits()}
	if err := l.Append(t.Context(), c, []uint32{1}, func(uint32, []byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Seal(), l.Close()); err != nil {
		t.Fatal(err)
	}
	sealed, err := changes.SealedIn(r.dir(1))
	if err != nil || len(sealed) != 1 {
		t.Fatal(sealed, err)
	}
	path := filepath.Join(r.dir(1), sealed[0].Name)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.LastIndex(b[:len(b)/2], []byte(`"seq"`))] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	var ended *endedError
	if err := r.open(t.Context()); !errors.As(err, &ended) {
		t.Errorf("%v, want a new timeline", err)
	}
}
