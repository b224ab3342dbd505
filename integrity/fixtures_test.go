package integrity

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/sqlite"
)

//go:generate go test ./internal/fixtures -run Reproducible -update

const corpus = "../testdata/corrupt"

// want is a parsed NAME.want.
type want struct{ verdict, level, code string }

func readWant(t *testing.T, path string) want {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for line := range strings.Lines(string(b)) {
		k, v, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			t.Fatalf("%s: %q", path, line)
		}
		m[k] = strings.TrimSpace(v)
	}
	return want{m["verdict"], m["level"], m["code"]}
}

// stage copies a fixture with its sidecars to a directory of its own.
func stage(t *testing.T, db string) string {
	t.Helper()
	dir := t.TempDir()
	for _, suffix := range []string{"", "-wal", "-journal"} {
		b, err := os.ReadFile(db + suffix)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, filepath.Base(db)+suffix)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		age(t, name)
	}
	age(t, dir)
	return filepath.Join(dir, filepath.Base(db))
}

// age sets time stamps into the past, so that any write shows.
func age(t *testing.T, path string) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
}

// traces is everything about a directory that a check may not change.
func traces(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := filepath.Walk(dir, func(path string, fi os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		m[path] = fi.ModTime().String() + fi.Mode().String()
		if !fi.IsDir() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			m[path] += string(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Every class of damage is seen at its level or below, by name, and no lower
// level is claimed; nothing near the file changes. A miss means that recovery keeps a
// broken database; a false alarm, that it throws away a sound one.
func TestFixtures(t *testing.T) {
	t.Parallel()
	all, err := filepath.Glob(filepath.Join(corpus, "*.want"))
	if err != nil || len(all) == 0 {
		t.Fatalf("%d fixtures, %v", len(all), err)
	}
	for _, file := range all {
		name := strings.TrimSuffix(filepath.Base(file), ".want")
		t.Run(name, func(t *testing.T) {
			w := readWant(t, file)
			path := stage(t, strings.TrimSuffix(file, ".want")+".db")
			before := traces(t, filepath.Dir(path))
			scratch := t.TempDir()
			for level := LevelHeader; level <= LevelFull; level++ {
				rep, err := Check(t.Context(), path, Options{Level: level, ScratchDir: scratch})
				if err != nil {
					t.Fatalf("%v: %v", level, err)
				}
				judgeReport(t, rep, w)
			}
			if after := traces(t, filepath.Dir(path)); !maps.Equal(before, after) {
				t.Errorf("the check left traces: %v before, %v after", slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
			}
			if left := traces(t, scratch); len(left) != 1 {
				t.Errorf("left in the scratch directory: %v", slices.Sorted(maps.Keys(left)))
			}
		})
	}
}

func judgeReport(t *testing.T, rep Report, w want) {
	t.Helper()
	expect := want{verdict: string(Healthy)}
	var lowest Level
	if w.level != "" {
		var err error
		if lowest, err = ParseLevel(w.level); err != nil {
			t.Fatal(err)
		}
	}
	if w.level == "" || rep.Level >= lowest {
		expect = w
	}
	if string(rep.Verdict) != expect.verdict {
		t.Errorf("%v: verdict %s, want %s: %v", rep.Level, rep.Verdict, expect.verdict, rep.Findings)
		return
	}
	if expect.code != "" && !slices.ContainsFunc(rep.Findings, func(f Finding) bool { return string(f.Code) == expect.code }) {
		t.Errorf("%v: no finding %s: %v", rep.Level, expect.code, rep.Findings)
	}
	if w.verdict == string(Healthy) && expect.code == "" && len(rep.Findings) != 0 {
		t.Errorf("%v: findings about a sound file: %v", rep.Level, rep.Findings)
	}
	if rep.Damaged() != (rep.FailedAt != nil) {
		t.Errorf("%v: verdict %s and failed_at %v", rep.Level, rep.Verdict, rep.FailedAt)
	}
	if rep.FailedAt != nil && expect.level != "" && rep.FailedAt.String() != expect.level {
		t.Errorf("%v: failed at %v, want %s: %v", rep.Level, rep.FailedAt, expect.level, rep.Findings)
	}
}

// A private copy gets the same verdict as the original, and so does the SQL part
// inside a caller's transaction: a backup is verified by these.
func TestFixturesCopy(t *testing.T) {
	t.Parallel()
	all, err := filepath.Glob(filepath.Join(corpus, "*.want"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		w := readWant(t, file)
		path := stage(t, strings.TrimSuffix(file, ".want")+".db")
		if w.code == string(CodeWALForeign) {
			continue // it is of two databases, and which one is meant is for Check
		}
		rep, err := CheckCopy(context.Background(), path, Options{Level: LevelFull})
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if string(rep.Verdict) != w.verdict {
			t.Errorf("%s: copy is %s, want %s: %v", file, rep.Verdict, w.verdict, rep.Findings)
		}
		if w.level == "header" || w.verdict == string(Empty) {
			continue // that is seen in the files only
		}
		conn, err := begin(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		rep, err = CheckTx(t.Context(), conn, Options{Level: LevelFull})
		if err != nil || string(rep.Verdict) != w.verdict {
			t.Errorf("%s: in a transaction: %s, want %s: %v, %v", file, rep.Verdict, w.verdict, rep.Findings, err)
		}
		if err := conn.Close(); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
