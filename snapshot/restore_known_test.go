package snapshot_test

import (
	"testing"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost: the all-clear. What a deep check found wrong with the database that was
// given up says nothing of the one that took its place.
func TestRestoreEndsTheDamage(t *testing.T) {
	t.Parallel()
	for _, offline := range []bool{false, true} {
		b := newBench(t, "delete")
		e := b.manual()
		// An index that disagrees with its table: a quick check does not see it.
		b.exec("CREATE TABLE odd(x, y); CREATE INDEX odd_x ON odd(x); INSERT INTO odd VALUES(1,11),(2,12),(3,13)")
		b.exec("PRAGMA writable_schema=1; UPDATE sqlite_schema SET sql='CREATE INDEX odd_x ON odd(y)' WHERE name='odd_x'")
		testdb.Damaged(t, b.m.Database())
		if r, err := b.m.Check(t.Context(), integrity.LevelFull); err != nil || !r.Damaged() {
			t.Fatal(r, err)
		}
		b.restores(e.ID, snapshot.RestoreOptions{Offline: offline})
		if s := b.status(); s.State != snapshot.Protected || *s.Database.Verdict != integrity.Healthy {
			t.Errorf("offline %v: %s: %s", offline, s.State, s.Reason)
		}
		if p := b.planned(e.ID); !p.SafetyBackup {
			t.Errorf("offline %v: %+v", offline, p)
		}
	}
}
