package swap_test

import (
	"database/sql"
	"os"
	"testing"

	_ "modernc.org/sqlite"

	"example.com/snapd/internal/livedb"
)

// Lost: the commits in the log of a process that was killed, which a swap would remove.
func TestApplyWAL(t *testing.T) {
	live := newPlace(t, nil).target.Database
	db, err := sql.Open("sqlite", live)
	must(t, err)
	defer db.Close()
	for _, q := range []string{"PRAGMA journal_mode=wal", "PRAGMA wal_autocheckpoint=0", "CREATE TABLE t(a)", "INSERT INTO t VALUES('committed')"} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	p := newPlace(t, nil) // as the dead process leaves it
	for _, suffix := range []string{"", "-wal"} {
		raw, err := os.ReadFile(live + suffix)
		must(t, err)
		must(t, os.WriteFile(p.target.Database+suffix, raw, 0o600))
	}
	if has, err := p.target.HasSidecars(); err != nil || !has {
		t.Fatal("there is no log: this test shows nothing")
	}
	must(t, p.target.ApplyWAL(t.Context()))
	if left, err := livedb.Sidecars(p.target.Database); err != nil || len(left) > 0 {
		t.Errorf("sidecars afterwards: %q, %v", left, err)
	}
	after, err := sql.Open("sqlite", p.target.Database)
	must(t, err)
	defer after.Close()
	var a string
	if err := after.QueryRow("SELECT a FROM t").Scan(&a); err != nil || a != "committed" {
		t.Errorf("%q, %v", a, err)
	}
}

// What is no database stays as it is: it goes to quarantine.
func TestApplyWALLeavesDamageAlone(t *testing.T) {
	old := files{"": string(make([]byte, 4096)) + "this is no database", "-wal": "nor a log"}
	p := newPlace(t, old)
	must(t, p.target.ApplyWAL(t.Context()))
	if got := at(t, p.target.Database); got[""] != old[""] {
		t.Error("the database was changed")
	}
}
