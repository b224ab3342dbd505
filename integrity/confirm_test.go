package integrity

import (
	"errors"
	"os"
	"testing"

	"example.com/snapd/internal/testdb"
)

// Damage that is not there a second time is none: a disk or a memory gave wrong bytes once.
func TestConfirm(t *testing.T) {
	t.Parallel()
	path := makeDB(t, "x.db", "CREATE TABLE t(a); CREATE TABLE u(a); INSERT INTO t VALUES(1); INSERT INTO u VALUES(1)")
	testdb.Damaged(t, path)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damage := func(page int64) Report {
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
		if page > 0 {
			testdb.ZeroPage(t, path, page)
		}
		report, err := Check(t.Context(), path, Options{Level: LevelQuick})
		if err != nil || report.Damaged() != (page > 0) {
			t.Fatalf("%+v %v", report, err)
		}
		return report
	}
	for name, c := range map[string]struct {
		first, then int64 // page that is damaged, 0 for none
		confirmed   bool
	}{
		"the same": {2, 2, true}, "gone": {2, 0, false}, "another": {2, 3, false},
	} {
		report := damage(c.first)
		damage(c.then)
		err := Confirm(t.Context(), report, Options{Level: LevelQuick})
		var cannot *CheckError
		if (err == nil) != c.confirmed || err != nil && (!errors.As(err, &cannot) || cannot.Code != ErrCodeIO) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
