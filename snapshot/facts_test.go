package snapshot

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/internal/swap"
)

// What could not be found out is an error: taken for "no damage", a restore would
// replace the only copy of the commits beyond a damaged frame of the log.
func TestDamageThatCouldNotBeLookedFor(t *testing.T) {
	m, err := Open(t.Context(), Config{Database: filepath.Join(t.TempDir(), "data.db")})
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	writeDatabase(t, m.Database())
	if err := m.damagedFiles(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("without an answer: %v", err)
	}
	r := &restoring{replacing: replacing{m, OpRestore, m.now()}, backup: Backup{DatabaseBytes: 4096}}
	if how, err := r.choose(ended); err == nil {
		t.Errorf("without an answer the strategy is %+v", how)
	}
	if err := m.damagedFiles(t.Context()); err != nil {
		t.Errorf("a sound database: %v", err)
	}
}

func TestEndingOfAnInterruptedSwapSaysWhatIsKept(t *testing.T) {
	for _, c := range []struct {
		end       swap.Ending
		says, not string
	}{
		{swap.Ending{Outcome: swap.Completed}, "has been finished", "given up"},
		{swap.Ending{Outcome: swap.Undone}, "has been undone", "given up"},
		{swap.Ending{Outcome: swap.Abandoned, Note: swap.Note{Safety: "s1"}}, "is in backup s1", "preserved"},
		{swap.Ending{Outcome: swap.Abandoned, Kept: "/q.db"}, "/q.db", "backup"},
		{swap.Ending{Outcome: swap.Abandoned}, "given up", "before is in"}, // nothing was there to be saved
		{swap.Ending{}, "", "restore"},
	} {
		if got := endingMessage(c.end); !strings.Contains(got, c.says) || strings.Contains(got, c.not) || (got == "") != (c.says == "") {
			t.Errorf("%+v: %q", c.end, got)
		}
	}
}

// An archive that cannot be looked at has not gone.
func TestArchiveThatCannotBeLookedAt(t *testing.T) {
	f := facts{latest: &Backup{ID: "data_1", File: "data_1.db.zst"}, archive: fs.ErrPermission}
	if s := f.status(); s.Code != WhyArchiveGone || !strings.Contains(s.Reason, "permission") || strings.Contains(s.Reason, "gone") {
		t.Errorf("%+v", s)
	}
}
