package rowsback

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"example.com/snapd/internal/rowdiff"
	"example.com/snapd/internal/testdb"
)

// undo reverses what was done to now, whose state before is another file. It is done to a copy, which it returns.
func undo(t *testing.T, before, now string, o Options) (undone string, p Plan, err error) {
	t.Helper()
	record, err := os.ReadFile(now + ".left")
	if err != nil {
		t.Fatal(err)
	}
	left, err := ReadLeft(bytes.NewReader(record))
	if err != nil {
		t.Fatal(err)
	}
	undone = now + ".undone"
	copyFile(t, now, undone)
	o.Undo = true
	c, err := chosen(t, before, undone, func(d *rowdiff.Diff, from, _ *rowdiff.Side) (*Chosen, error) {
		return Undo(t.Context(), d, from, left, o)
	})
	if err != nil {
		return undone, p, err
	}
	p, _, err = apply(t, c, undone)
	return undone, p, err
}

// undoneAndAgain undoes what was done to now next to later commits, and undoes that: only the rows that were brought back are what they were
// before, and then what they were brought back as.
func undoneAndAgain(t *testing.T, before, now string) {
	t.Helper()
	const later = "INSERT INTO customer(name,email) VALUES('Later','l@x'); INSERT INTO tag VALUES('later',1,1); INSERT INTO note VALUES(10,'words later'); INSERT INTO event(rowid,at) VALUES(100,'later');" +
		"UPDATE note SET body='other words' WHERE id=9; INSERT INTO kind(rowid, any) VALUES(50, 5); INSERT INTO code VALUES(NULL, 9)"
	was, then := before+".later", now+".then"
	copyFile(t, before, was)
	copyFile(t, now, then)
	testdb.ShellQuery(t, was, later)
	testdb.ShellQuery(t, then, later)
	copyFile(t, now+".left", then+".left")
	content := testdb.ShellQuery(t, then, all)
	undone, p, err := undo(t, before, then, Options{})
	if err != nil || p.Conflicting != 0 {
		t.Fatalf("undo: %+v, %v", p, err)
	}
	if got, want := testdb.ShellQuery(t, undone, all), testdb.ShellQuery(t, was, all); got != want {
		t.Errorf("undone:\n%s\nwant:\n%s", got, want)
	}
	again, p, err := undo(t, then, undone, Options{})
	if err != nil || p.Conflicting != 0 {
		t.Fatalf("undo of the undo: %+v, %v", p, err)
	}
	if got := testdb.ShellQuery(t, again, all); got != content {
		t.Errorf("undone again:\n%s\nwant:\n%s", got, content)
	}
}

// Lost otherwise: what was done with a row since it was brought back, or what was made to refer to it.
func TestUndoLeavesAloneWhatChangedSince(t *testing.T) {
	t.Parallel()
	const schema = `CREATE TABLE city(id INTEGER PRIMARY KEY, name); CREATE TABLE customer(id INTEGER PRIMARY KEY, name, city INT REFERENCES city, boss INT REFERENCES customer ON DELETE SET NULL);
CREATE TABLE deal(id INTEGER PRIMARY KEY, customer INT REFERENCES customer ON DELETE CASCADE, what);
INSERT INTO city VALUES(1,'Bonn'); INSERT INTO customer VALUES(1,'Anna',1,NULL),(2,'Bob',1,1),(3,'Cy',1,2),(4,'Dot',NULL,4); INSERT INTO deal VALUES(10,1,'a'),(11,2,'b'),(12,3,'c');`
	const content = "SELECT * FROM city ORDER BY 1; SELECT * FROM customer ORDER BY 1; SELECT * FROM deal ORDER BY 1; PRAGMA foreign_key_check"
	then, before := states(t, schema, "PRAGMA foreign_keys=ON; DELETE FROM customer WHERE id<5; UPDATE customer SET name='x'; DELETE FROM city")
	now := before + ".now"
	copyFile(t, before, now)
	if p, _, err := bring(t, then, now, Options{Table: "customer", Missing: true, References: true}); err != nil || p.Inserted != 8 {
		t.Fatalf("%+v, %v", p, err)
	}
	for name, v := range map[string]struct {
		since    string // commits since
		conflict string // "" for none
		skip     string // what is there with --on-conflict skip
		replace  string // and with replace; "" where it is refused all the same
	}{
		"nothing":                        {"SELECT 1", "", "", ""},
		"others":                         {"INSERT INTO city VALUES(2,'Ulm'); INSERT INTO customer VALUES(5,'Eve',2,5)", "", "2|Ulm\n5|Eve|2|5", ""},
		"gone already":                   {"DELETE FROM deal; DELETE FROM customer", "", "", ""},
		"changed":                        {"UPDATE deal SET what='other' WHERE id=10", "row id=10 of deal has changed since", "1|Bonn\n1|Anna|1|\n10|1|other", ""},
		"referred to":                    {"INSERT INTO deal VALUES(13,2,'since')", "row id=2 of customer: rows of deal refer to it since", "1|Bonn\n1|Anna|1|\n2|Bob|1|1\n13|2|since", ""},
		"referred to, without an action": {"INSERT INTO customer VALUES(5,'Eve',1,NULL)", "row id=1 of city: rows of customer refer to it since", "1|Bonn\n5|Eve|1|", "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := now + "." + strings.ReplaceAll(name, " ", "-")
			copyFile(t, now, db)
			copyFile(t, now+".left", db+".left")
			testdb.ShellQuery(t, db, v.since)
			dump := testdb.ShellQuery(t, db, content)
			undone, p, err := undo(t, before, db, Options{})
			if v.conflict == "" {
				if got := testdb.ShellQuery(t, undone, content); err != nil || got != v.skip || p.Conflicting != 0 {
					t.Errorf("%+v, %v, now:\n%s", p, err, got)
				}
				return
			}
			if !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), v.conflict) {
				t.Errorf("%v, want %q", err, v.conflict)
			}
			if got := testdb.ShellQuery(t, undone, content); got != dump {
				t.Errorf("it was changed:\n%s", got)
			}
			undone, p, err = undo(t, before, db, Options{OnConflict: Skip})
			if got := testdb.ShellQuery(t, undone, content); err != nil || got != v.skip || p.Skipped == 0 {
				t.Errorf("skip: %+v, %v, now:\n%s", p, err, got)
			}
			undone, p, err = undo(t, before, db, Options{OnConflict: Replace})
			if got := testdb.ShellQuery(t, undone, content); (err != nil) != (v.replace == "refused") || err == nil && got != "" {
				t.Errorf("replace: %+v, %v, now:\n%s", p, err, got)
			}
		})
	}
}

// Lost otherwise: rows that a table has no place for any more, or the reason.
func TestUndoOfAnotherTable(t *testing.T) {
	t.Parallel()
	then, before := states(t, "CREATE TABLE p(id INTEGER PRIMARY KEY, a, b); INSERT INTO p VALUES(1,2,3),(2,3,4)", "DELETE FROM p WHERE id=1; UPDATE p SET a=9")
	now := before + ".now"
	copyFile(t, before, now)
	if _, _, err := bring(t, then, now, Options{Table: "p", Where: "1", OnConflict: Replace}); err != nil {
		t.Fatal(err)
	}
	for change, want := range map[string]string{
		"ALTER TABLE p ADD COLUMN c DEFAULT 7": "2|9|4|7", "ALTER TABLE p DROP COLUMN b": "no b any more", "DROP TABLE p": "no table p now",
		"CREATE TABLE q(a, b, id PRIMARY KEY, x); INSERT INTO q SELECT a, b, id, 1 FROM p; DROP TABLE p; ALTER TABLE q RENAME TO p": "9|4|2|1",
	} {
		db := now + ".db"
		copyFile(t, now, db)
		copyFile(t, now+".left", db+".left")
		testdb.ShellQuery(t, db, change)
		undone, _, err := undo(t, before, db, Options{})
		got := ""
		if err == nil {
			got = testdb.ShellQuery(t, undone, "SELECT * FROM p")
		} else if errors.Is(err, ErrRefused) {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %q, %v", change, got, err)
		}
	}
}

// Lost otherwise: rows that a damaged record names.
func TestDamagedRecordsAreRefused(t *testing.T) {
	t.Parallel()
	then, now := states(t, tables, "DELETE FROM tag; DELETE FROM code")
	for _, table := range []string{"tag", "code"} {
		if _, _, err := bring(t, then, now, Options{Table: table, Missing: true}); err != nil {
			t.Fatal(err)
		}
		record, err := os.ReadFile(now + ".left")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ReadLeft(bytes.NewReader(record)); err != nil {
			t.Fatal(err)
		}
		for i := range record {
			damaged := bytes.Clone(record)
			damaged[i] ^= 4
			if l, err := ReadLeft(bytes.NewReader(damaged)); !errors.Is(err, ErrNoLeft) {
				t.Fatalf("byte %d of %s: %+v, %v", i, record, l, err)
			}
			if _, err := ReadLeft(bytes.NewReader(record[:i])); !errors.Is(err, ErrNoLeft) && i < len(record)-1 {
				t.Fatalf("%d bytes of %s: %v", i, record, err)
			}
		}
	}
}

// Lost if this fails: rows that came since and refer to one that an undo removes, in another spelling or type than that has.
func TestUndoKeepsWhatRefersInOtherWords(t *testing.T) {
	t.Parallel()
	for what, tables := range map[string]string{
		"collation":   "CREATE TABLE p(k TEXT PRIMARY KEY COLLATE NOCASE, v); CREATE TABLE c(id INTEGER PRIMARY KEY, p TEXT REFERENCES p ON DELETE CASCADE); INSERT INTO p VALUES('abc',1)",
		"no affinity": "CREATE TABLE p(k INTEGER PRIMARY KEY, v); CREATE TABLE c(id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE); INSERT INTO p VALUES(1,1)",
		"text":        "CREATE TABLE p(k NUMERIC UNIQUE, id INTEGER PRIMARY KEY); CREATE TABLE c(id INTEGER PRIMARY KEY, p TEXT REFERENCES p(k) ON DELETE CASCADE); INSERT INTO p VALUES(1,1)",
		"itself":      "CREATE TABLE p(k TEXT PRIMARY KEY COLLATE NOCASE, id REFERENCES p ON DELETE CASCADE); CREATE VIEW c AS SELECT k, id FROM p WHERE k<>id; INSERT INTO p VALUES('abc','abc')",
	} {
		t.Run(what, func(t *testing.T) {
			then, now := states(t, tables, "DELETE FROM p")
			before := now + ".before"
			copyFile(t, now, before)
			if p, _, err := bring(t, then, now, Options{Table: "p", Missing: true}); err != nil || p.Inserted != 1 {
				t.Fatalf("%+v, %v", p, err)
			}
			since := "INSERT INTO c VALUES(7, " + map[string]string{"collation": "'ABC'", "no affinity": "'1'", "text": "'01'"}[what] + ")"
			if what == "itself" {
				since = "INSERT INTO p VALUES('since', 'ABC')"
			}
			testdb.ShellQuery(t, now, "PRAGMA foreign_keys=1; "+since)
			for _, policy := range []Policy{Fail, Skip} {
				undone, p, err := undo(t, before, now, Options{OnConflict: policy})
				if policy == Fail && !errors.Is(err, ErrConflict) || policy == Skip && (err != nil || p.Skipped != 1) {
					t.Errorf("%s: %+v, %v", policy, p, err)
				}
				if got := testdb.ShellQuery(t, undone, "SELECT count(*) FROM c"); got != "1" {
					t.Errorf("%s: %s rows refer to it", policy, got)
				}
			}
		})
	}
}
