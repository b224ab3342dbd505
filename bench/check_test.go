package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"example.com/snapd/bench/internal/measure"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/samplecrm"
)

// size is the size of the databases, from SNAPD_BENCH_BYTES.
func size(b *testing.B) int64 {
	s := measure.Size(64 << 20)
	if text := os.Getenv("SNAPD_BENCH_BYTES"); text != "" {
		if err := s.Set(text); err != nil {
			b.Fatalf("SNAPD_BENCH_BYTES: %v", err)
		}
	}
	return int64(s)
}

// BenchmarkCheck measures what each level costs, in MB of database per second, on a
// CRM database: in rollback mode, in WAL mode at rest, and in WAL mode with an
// application that has it open with commits in its log. Next to each level are
// the C shell's own checks of the same file. Peak memory is this process's.
func BenchmarkCheck(b *testing.B) {
	for _, mode := range []struct {
		name, journal string
		open          bool
	}{{"rollback", "delete", false}, {"wal", "wal", false}, {"wal-open", "wal", true}} {
		b.Run(mode.name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "crm.db")
			if err := samplecrm.Create(b.Context(), path, samplecrm.Options{Bytes: size(b), Seed: 1, JournalMode: mode.journal}); err != nil {
				b.Fatal(err)
			}
			if mode.open {
				application(b, path)
			}
			checks(b, path)
		})
	}
}

// application opens the database for as long as b runs, and leaves commits in
// its log.
func application(b *testing.B, path string) {
	db, err := samplecrm.Open(path, "")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	w := samplecrm.NewWriter(db, 1)
	for range 100 {
		if err := w.Step(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func checks(b *testing.B, path string) {
	st, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	for level := integrity.LevelHeader; level <= integrity.LevelFull; level++ {
		b.Run(level.String(), func(b *testing.B) {
			b.SetBytes(st.Size())
			known := forgetPeak()
			for b.Loop() {
				rep, err := integrity.Check(b.Context(), path, integrity.Options{Level: level, ScratchDir: filepath.Dir(path)})
				if err != nil || rep.Verdict != integrity.Healthy {
					b.Fatalf("%+v, %v", rep, err)
				}
			}
			if known {
				b.ReportMetric(float64(peak())/1e6, "peak-MB")
			}
		})
	}
	for _, pragma := range []string{"quick_check", "integrity_check"} {
		b.Run("plain-"+pragma, func(b *testing.B) { // the same engine, and nothing else
			b.SetBytes(st.Size())
			for b.Loop() {
				db, err := samplecrm.Open(path, "")
				if err != nil {
					b.Fatal(err)
				}
				var said string
				if err := db.QueryRowContext(b.Context(), "PRAGMA "+pragma).Scan(&said); err != nil || said != "ok" {
					b.Fatalf("%s: %q, %v", pragma, said, err)
				}
				if err := db.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("sqlite3-"+pragma, func(b *testing.B) {
			shell, err := exec.LookPath("sqlite3")
			if err != nil {
				b.Skip("NOT COMPARED: sqlite3 is not installed")
			}
			b.SetBytes(st.Size())
			for b.Loop() {
				cmd := exec.Command(shell, "-batch", path, "PRAGMA "+pragma)
				cmd.Env = append(os.Environ(), "HOME="+os.DevNull) // no ~/.sqliterc
				_, out, err := measure.Run(cmd)
				if err != nil || string(out) != "ok\n" {
					b.Fatalf("%s: %q, %v", pragma, out, err)
				}
			}
		})
	}
}
