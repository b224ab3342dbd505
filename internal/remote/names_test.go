package remote

import (
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/store"
)

// Lost: a copy whose name does not say any more which backup it is.
func TestNames(t *testing.T) {
	t.Parallel()
	at := time.Date(2031, 10, 31, 12, 0, 5, 0, time.UTC)
	for want, n := range map[string]Name{
		"snapd.json":             {Kind: Description},
		"writers/000000003.json": {Kind: Writer, Number: 3},
		"backups/000000057_data_backup_AUTO_20311031_120005.db.zst":     {Kind: Backup, Number: 57, ID: "data_backup_AUTO_20311031_120005"},
		"backups/1234567890_data_2.db.zst.age":                          {Kind: Backup, Number: 1234567890, ID: "data_2", Sealed: true},
		"backups/000000001_.2e.2ea.20.c3.bc.2f.db.zst":                  {Kind: Backup, Number: 1, ID: "..a ü/"},
		"changes/2/000004711-000005822_20311031_120005.chg.zst":         {Kind: Segment, Timeline: 2, First: 4711, Last: 5822, At: at},
		"changes/10/000000001-1234567890_20311031_120005.chg.zst.age":   {Kind: Segment, Timeline: 10, First: 1, Last: 1234567890, At: at, Sealed: true},
		"catalog/000000012.json.zst":                                    {Kind: Catalog, Number: 12},
		"catalog/000000012.json.zst.age":                                {Kind: Catalog, Number: 12, Sealed: true},
		"backups/000000001_" + strings.Repeat("x", 179) + ".db.zst.age": {Kind: Backup, Number: 1, ID: strings.Repeat("x", 179), Sealed: true},
		"backups/9223372036854775807_a-b.db.zst":                        {Kind: Backup, Number: maxNumber, ID: "a-b"},
	} {
		if got := n.String(); got != want {
			t.Errorf("%+v is %s, want %s", n, got, want)
		}
		if err := n.Check(); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		if back, ok := Parse(want); !ok || back != n {
			t.Errorf("%s is %+v, %v; want %+v", want, back, ok, n)
		}
	}
	if err := (Name{Kind: Backup, Number: 1, ID: strings.Repeat("ü", 60)}).Check(); err == nil {
		t.Error("a name that no file system takes passes")
	}
	n, ok := ParseSegmentFile(2, "000004711-000005822_20311031_120005.chg.zst")
	if !ok || n.Timeline != 2 || n.Last != 5822 {
		t.Errorf("a segment's file: %+v, %v", n, ok)
	}
}

func TestNamesOfOthers(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "/", "snapd.json.age", "snapd.json/", "backups/", "backups/1_a.db.zst", "backups/000000000_a.db.zst", "backups/000000001_.db.zst",
		"backups/000000001_a.b.db.zst", "backups/000000001_.61.db.zst", "backups/000000001_.C3.db.zst", "backups/000000001_a.db.zst.age.age",
		"backups/x/000000001_a.db.zst", "catalog/12.json.zst", "catalog/000000000.json.zst", "writers/000000001.json.age",
		"changes/02/000000001-000000002_20311031_120005.chg.zst", "changes/2/000000003-000000002_20311031_120005.chg.zst",
		"changes/2/000000001-000000002_20311331_120005.chg.zst", "changes/2/open.chg", "changes/000000001-000000002_20311031_120005.chg.zst",
		"backups/9223372036854775808_a.db.zst", "backups/+00000001_a.db.zst",
	} {
		if n, ok := Parse(s); ok {
			t.Errorf("%q is taken for %+v", s, n)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add("backups/000000001_.2e.2ea.20.c3.bc.db.zst.age", "..a ü", uint64(7))
	f.Add("changes/2/000004711-000005822_20311031_120005.chg.zst", "data", uint64(1))
	f.Fuzz(func(t *testing.T, name, id string, seq uint64) {
		if n, ok := Parse(name); ok && (n.String() != name || store.CheckName(name) != nil) {
			t.Errorf("%q is %+v, which is %q", name, n, n.String())
		}
		n := Name{Kind: Backup, Number: seq%maxNumber + 1, ID: id, Sealed: seq%2 == 0}
		if id == "" || n.Check() != nil {
			return
		}
		if back, ok := Parse(n.String()); !ok || back != n {
			t.Errorf("%+v is %q, which is %+v", n, n.String(), back)
		}
	})
}
