package snapshot_test

import (
	"bytes"
	"errors"
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// flipIndexed changes one letter of an indexed text in the index only: quick_check compares no keys.
func flipIndexed(t *testing.T, path string) {
	t.Helper()
	b := readFile(t, path)
	at := bytes.Index(b, []byte("findme"))
	if next := bytes.Index(b[at+1:], []byte("findme")); at < 0 || next < 0 {
		t.Fatal("the text is not there twice")
	}
	b[at] ^= 1
	writeFile(t, path, b)
	testdb.Damaged(t, path)
}

// fullOnlyBench is a database with damage that only a full check sees, and a backup of it.
func fullOnlyBench(t *testing.T) (*bench, snapshot.Backup) {
	b := newBench(t, "delete")
	b.exec("CREATE TABLE word(w TEXT, n INT); CREATE INDEX word_w ON word(w); CREATE INDEX word_n ON word(n)")
	b.exec("INSERT INTO word VALUES('findme',1),('other',2)")
	flipIndexed(t, b.m.Database())
	return b, b.auto()
}

// Lost: every backup, to a verify that sees more than the proof did when they were taken.
func TestVerifyInFullLeavesSomethingToRecoverFrom(t *testing.T) {
	b, e := fullOnlyBench(t)
	if _, err := b.m.Verify(t.Context(), e.ID, snapshot.LevelFull); !errors.Is(err, snapshot.ErrCorrupt) {
		t.Fatalf("the damage is not seen: %v", err)
	}
	all, err := b.m.Backups()
	if err != nil || len(all) != 1 || all[0].Verification.State != catalog.Verified || all[0].Verification.Level != "quick" || all[0].Verification.Detail == "" {
		t.Errorf("%+v, %v", all, err)
	}
	testdb.OverwriteHeader(t, b.m.Database(), bytes.Repeat([]byte("lost"), 2000))
	rec, err := b.m.Recover(t.Context())
	if err != nil || rec.Restored == nil || *rec.Restored != e.ID {
		t.Fatalf("%+v, %v", rec, err)
	}
	// It was repaired on its way.
	if r, err := b.m.Check(t.Context(), snapshot.LevelFull); err != nil || r.Verdict != integrity.Healthy {
		t.Errorf("%+v, %v", r, err)
	}
}

// A full check's verdict is remembered: a backup that looks less deeply does not clear it, and a
// recovery looks as deeply and repairs.
func TestRecoverRemembersAFullVerdict(t *testing.T) {
	t.Parallel()
	b, _ := fullOnlyBench(t)
	if rec, err := b.m.Recover(t.Context()); err != nil || rec.Action != snapshot.ActionNone {
		t.Fatalf("this test shows nothing: %+v, %v", rec, err)
	}
	if r, err := b.m.Check(t.Context(), snapshot.LevelFull); err != nil || !r.Damaged() {
		t.Fatalf("%+v, %v", r, err)
	}
	b.auto()
	if s := b.status(); *s.Database.Verdict != integrity.Corrupt || s.State != snapshot.AtRisk {
		t.Errorf("%+v", s)
	}
	rec, err := b.m.Recover(t.Context())
	if err != nil || rec.Action == snapshot.ActionNone {
		t.Fatalf("%+v, %v", rec, err)
	}
	if s := b.status(); *s.Database.Verdict != integrity.Healthy {
		t.Errorf("%+v", s)
	}
	if r, err := b.m.Check(t.Context(), snapshot.LevelFull); err != nil || r.Verdict != integrity.Healthy {
		t.Errorf("%+v, %v", r, err)
	}
}

// Two rows with one key of a UNIQUE index cost no structure, and no repair can choose between them:
// nothing older takes their place.
func TestRecoverLeavesDuplicateKeysThatOnlyFullSees(t *testing.T) {
	b := newBench(t, "delete", func(c *snapshot.Config) { c.RecoverLevel = snapshot.LevelFull })
	b.exec("CREATE TABLE u(k TEXT, n INT); CREATE INDEX uk ON u(k); INSERT INTO u VALUES('a',1),('b',2)")
	b.auto()
	b.exec("INSERT INTO u VALUES('a',3); PRAGMA writable_schema=1; UPDATE sqlite_schema SET sql='CREATE UNIQUE INDEX uk ON u(k)' WHERE name='uk'")
	b.mark("newest")
	testdb.Damaged(t, b.m.Database())
	rec, err := b.m.Recover(t.Context())
	if rec.Action != snapshot.ActionNone || !errors.Is(err, snapshot.ErrCorrupt) {
		t.Errorf("%+v, %v", rec, err)
	}
	if got := b.marked(); got != "newest" {
		t.Errorf("mark %q", got)
	}
}

// Rules that are broken since the newest verified backup may be all that quick_check sees of a damaged page. Those that were broken
// then say nothing new. Lost otherwise: what the page had, once the backups from before are gone.
func TestRecoverLooksInFullAtRulesThatAreBrokenSince(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]bool{"since": false, "before": true} {
		b := newBench(t, "delete")
		b.exec("CREATE TABLE word(w TEXT, n INT CHECK(n > 0)); CREATE INDEX word_w ON word(w); INSERT INTO word VALUES('findme',1),('other',2)")
		const breaks = "PRAGMA ignore_check_constraints=1; UPDATE word SET n=-1 WHERE n=2"
		if broken {
			b.exec(breaks)
		}
		b.auto()
		if !broken {
			b.exec(breaks)
		}
		flipIndexed(t, b.m.Database())
		want := map[bool]snapshot.Action{false: snapshot.ActionRepaired, true: snapshot.ActionNone}[broken]
		if rec, err := b.m.Recover(t.Context()); err != nil || rec.Action != want {
			t.Errorf("broken %s: %s, %v: %s", name, rec.Action, err, rec.Reason)
		}
	}
}
