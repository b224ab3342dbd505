package samplecrm_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"example.com/snapd/internal/samplecrm"
)

// Benchmarks and bug reports compare runs: a seed that gave another file each
// time would make them worthless.
func TestCreateIsDeterministicAndHitsItsSize(t *testing.T) {
	for _, o := range []samplecrm.Options{
		{Seed: 1},
		{Bytes: 3 << 20, Seed: 1},
		{Bytes: 3 << 20, Seed: 2, JournalMode: "delete"},
		{Bytes: 5 << 20, Seed: 1, PageSize: 512},
		{Bytes: 5 << 20, Seed: 1, PageSize: 65536},
	} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			dir := t.TempDir()
			a, b := create(t, filepath.Join(dir, "a.db"), o), create(t, filepath.Join(dir, "b?#%.db"), o)
			if string(a) != string(b) {
				t.Error("two files made with equal options differ")
			}
			if o.Seed == 1 {
				o.Seed = 99
				if string(create(t, filepath.Join(dir, "c.db"), o)) == string(a) {
					t.Error("another seed made the same file")
				}
			}
			if over := int64(len(a)) - o.Bytes; o.Bytes > 0 && (over < 0 || over >= 128<<10) {
				t.Errorf("%d bytes for a target of %d", len(a), o.Bytes)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) > 3 {
				t.Errorf("files left next to the databases: %v %v", entries, err)
			}
		})
	}
}

func create(t *testing.T, path string, o samplecrm.Options) []byte {
	t.Helper()
	if err := samplecrm.Create(t.Context(), path, o); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Every test of the product asks this database whether it is whole: it has to be
// so before and after the writer's work, or those tests judge nothing.
func TestWriterKeepsEveryRule(t *testing.T) {
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			ctx := t.Context()
			path := filepath.Join(t.TempDir(), "crm.db")
			if err := samplecrm.Create(ctx, path, samplecrm.Options{Bytes: 1 << 20, JournalMode: mode}); err != nil {
				t.Fatal(err)
			}
			db, err := samplecrm.Open(path, "")
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			ask := func(query string) (s string) {
				t.Helper()
				if err := db.QueryRowContext(ctx, query).Scan(&s); err != nil {
					t.Fatalf("%s: %v", query, err)
				}
				return s
			}
			if got := ask("PRAGMA journal_mode"); got != mode {
				t.Fatalf("journal mode %s", got)
			}
			before := map[string]string{}
			for _, table := range []string{"notes", "activities", "attachments", "deal_stages", "transfers"} {
				before[table] = ask("SELECT count(*) FROM " + table)
			}
			w := samplecrm.NewWriter(db, 7)
			for range 300 {
				if err := w.Step(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if w.Commits() != 300 {
				t.Errorf("%d commits counted after 300 steps", w.Commits())
			}
			for table, was := range before {
				if ask("SELECT count(*) FROM "+table) == was {
					t.Errorf("300 steps left %s as it was", table)
				}
			}
			if _, err := db.ExecContext(ctx, "INSERT INTO notes_search(notes_search, rank) VALUES('integrity-check', 1)"); err != nil {
				t.Errorf("full-text index and notes disagree: %v", err)
			}
			if sum, err := samplecrm.Sum(ctx, db); err != nil || sum != samplecrm.ExpectedSum {
				t.Errorf("sum %d, want %d: %v", sum, samplecrm.ExpectedSum, err)
			}
			for query, want := range map[string]string{
				"PRAGMA integrity_check":                        "ok",
				"SELECT count(*) FROM pragma_foreign_key_check": "0",
				"SELECT count(*) > 0 FROM pipeline":             "1",
			} {
				if got := ask(query); got != want {
					t.Errorf("%s: %s, want %s", query, got, want)
				}
			}
		})
	}
}

// A large database takes several transactions; what falls between two of them,
// as notes once did that no search found, shows only here.
func TestLargeDatabasesAreWhole(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "crm.db")
	if err := samplecrm.Create(ctx, path, samplecrm.Options{Bytes: 72 << 20, JournalMode: "delete"}); err != nil {
		t.Fatal(err)
	}
	db, err := samplecrm.Open(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "INSERT INTO notes_search(notes_search, rank) VALUES('integrity-check', 1)"); err != nil {
		t.Errorf("full-text index and notes disagree: %v", err)
	}
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity_check: %s %v", verdict, err)
	}
	if sum, err := samplecrm.Sum(ctx, db); err != nil || sum != samplecrm.ExpectedSum {
		t.Errorf("sum %d, want %d: %v", sum, samplecrm.ExpectedSum, err)
	}
}

// Run is what the demo and soaks leave running: it has to end with its context,
// without an error, and not before.
func TestRunEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "crm.db")
	if err := samplecrm.Create(t.Context(), path, samplecrm.Options{}); err != nil {
		t.Fatal(err)
	}
	db, err := samplecrm.Open(path, "wal")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, rate := range []float64{0, 1000} {
		ctx, cancel := context.WithCancel(t.Context())
		w := samplecrm.NewWriter(db, 1)
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx, rate) }()
		for w.Commits() < 10 {
			select {
			case err := <-ended:
				t.Fatalf("rate %v: ended by itself: %v", rate, err)
			default:
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("rate %v: %v", rate, err)
		}
	}
	db.Close()
	if err := samplecrm.NewWriter(db, 1).Run(t.Context(), 0); err == nil {
		t.Error("a writer on a closed pool ended without an error")
	}
}

// A mistyped path must not cost a user a database.
func TestCreateRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mine.db")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := samplecrm.Create(t.Context(), path, samplecrm.Options{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over an existing file: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("the existing file became %q, %v", b, err)
	}
	fresh := filepath.Join(dir, "fresh.db")
	for _, o := range []samplecrm.Options{{PageSize: 1000}, {PageSize: 131072}, {JournalMode: "paper"}} {
		if err := samplecrm.Create(t.Context(), fresh, o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := samplecrm.Create(ended, fresh, samplecrm.Options{Bytes: 1 << 40}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := os.Stat(fresh); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused or cancelled Create left its file: %v", err)
	}
}

func BenchmarkCreate(b *testing.B) {
	const size = 64 << 20
	b.SetBytes(size)
	for b.Loop() {
		path := filepath.Join(b.TempDir(), "crm.db")
		if err := samplecrm.Create(b.Context(), path, samplecrm.Options{Bytes: size}); err != nil {
			b.Fatal(err)
		}
	}
}
