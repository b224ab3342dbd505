package snapshot_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost: good backups, to verified ones of a corrupt database; or what is left of
// such a database, to a restore. The fixtures are those of package integrity, where each is checked: here
// every combination of findings is met, and a part of the fixtures with the same ones.
func TestCorruptFixtures(t *testing.T) {
	t.Parallel()
	wants, err := filepath.Glob(filepath.Join("..", "testdata", "corrupt", "*.want"))
	if err != nil || len(wants) < 50 {
		t.Fatalf("%d fixtures, %v", len(wants), err)
	}
	template := filepath.Join(t.TempDir(), "template")
	must(t, os.Mkdir(template, 0o700))
	makeDatabase(t, filepath.Join(template, "data.db"), "delete")
	good := benchOn(t, filepath.Join(template, "data.db")).manual()
	findings := make([]string, len(wants))
	for i, want := range wants {
		findings[i] = string(readFile(t, want))
	}
	chosen := testdb.NewSample(6).Choose(t.Name(), findings)
	t.Logf("%d fixtures, %d of them restored over", len(wants), len(chosen))
	for _, i := range chosen {
		want := wants[i]
		fixture := strings.TrimSuffix(want, ".want") + ".db"
		t.Run(filepath.Base(fixture), func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "work")
			command(t, "cp", "-a", template, dir)
			checkFixture(t, filepath.Join(dir, "data.db"), good, fixture)
		})
	}
}

// checkFixture puts the fixture in the place of the database at path, which has one good backup.
func checkFixture(t *testing.T, path string, good snapshot.Backup, fixture string) {
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	laid := map[string][]byte{}
	for _, suffix := range []string{"", "-wal", "-journal"} {
		raw, err := os.ReadFile(fixture + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, path+suffix, raw)
		laid[suffix] = raw
	}
	b := benchOn(t, path)
	report, err := b.m.Check(t.Context(), integrity.LevelQuick)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Damaged() {
		return // what no quick check sees, no backup can refuse
	}
	if e, err := b.m.Backup(t.Context(), snapshot.Manual("")); !errors.Is(err, snapshot.ErrCorrupt) {
		t.Errorf("a backup (%s, %v) of what a check calls %s: %v", e.Verification.State, err, report.Verdict, report.Findings)
	}
	if b.latest() != good.File || len(b.ids()) != 1 {
		t.Errorf("latest %s of %v", b.latest(), b.ids())
	}
	res := b.restores(good.ID, snapshot.RestoreOptions{})
	for suffix, raw := range laid {
		if res.Quarantined == "" || !bytes.Equal(readFile(t, res.Quarantined+suffix), raw) {
			t.Errorf("the damaged database%s was not kept as it was (%q)", suffix, res.Quarantined)
		}
	}
}
