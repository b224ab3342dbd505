package points

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Lost if this fails: the alarm of a change log that grows, and whether that is of today.
func TestUse(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	if u, err := Use(dir, now); err != nil || u != (Usage{}) {
		t.Fatalf("without a log: %+v, %v", u, err)
	}
	for name, bytes := range map[string]int{
		"1/000000001-000000009_20251031_120000.chg.zst": 1,
		"1/000000010-000000019_20261120_120000.chg.zst": 20,
		"2/000000001-000000009_20261125_060000.chg.zst": 300,
		"2/000000010-000000019_20261125_115959.chg.zst": 4000,
		"2/000000020-000000029_2026.chg.zst":            50000, // by when it was written
		"2/open.chg":                                    600000,
		"x/000000001-000000009_20251031_120000.chg.zst": 7000000, // of no timeline
	} {
		path := filepath.Join(Folder(dir), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, bytes), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now, now); err != nil {
			t.Fatal(err)
		}
	}
	if u, err := Use(dir, now); err != nil || u != (Usage{Hour: 654000, Day: 300, Week: 20, Older: 1}) {
		t.Errorf("%+v, %v", u, err)
	}
}
