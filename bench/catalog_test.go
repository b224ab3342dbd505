package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"testing"
	"time"

	"example.com/snapd/bench/internal/measure"
	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/snapshot"
)

// crowd is how many backups the catalog of these benchmarks holds: 13 years of two a day.
const crowd = 10_000

// crowded makes a small CRM database with a crowd of backups, and a Manager for it. The
// newest one is real. The archives of the others are files with holes, of the size that
// their entries say: only a verification looks at more.
func crowded(b testing.TB) *snapshot.Manager {
	b.Helper()
	db := filepath.Join(b.TempDir(), "crm.db")
	if err := samplecrm.Create(b.Context(), db, samplecrm.Options{Bytes: 1 << 20, Seed: 1, JournalMode: "wal"}); err != nil {
		b.Fatal(err)
	}
	m, err := snapshot.Open(b.Context(), snapshot.Config{Database: db})
	if err != nil {
		b.Fatal(err)
	}
	if err := os.Mkdir(m.Dir(), 0o700); err != nil {
		b.Fatal(err)
	}
	at := time.Date(2012, 10, 31, 12, 0, 0, 0, time.UTC)
	var all []catalog.Entry
	for i := range crowd - 1 {
		made := at.Add(time.Duration(i) * 12 * time.Hour)
		proven := made.Add(2345 * time.Millisecond)
		id := made.Format("crm_backup_MANUAL_20060102_150405")
		all = append(all, catalog.Entry{
			ID: id, File: id + archive.Ext, Kind: catalog.Manual, Trigger: catalog.TriggerManual, CreatedAt: made,
			DatabaseBytes: 1 << 30, ArchiveBytes: 350<<10 + int64(i), PageSize: 4096, PageCount: 1 << 18,
			ImageBLAKE3:  fmt.Sprintf("%064x", i*7919),
			Verification: catalog.Verification{State: catalog.Verified, Level: "quick", At: &proven},
			Note:         "before the import of the week", DurationMS: 2345,
			Source: json.RawMessage(`{"main":{"size":1073741824,"mtime":"2025-11-01T12:00:00.123456789Z","change_counter":4711},"wal":{"size":0,"salts":"0011223344556677"}}`),
		})
	}
	for _, e := range all {
		file, err := os.Create(filepath.Join(m.Dir(), e.File))
		if err != nil {
			b.Fatal(err)
		}
		if err := file.Truncate(e.ArchiveBytes); err != nil {
			b.Fatal(err)
		}
		if err := file.Close(); err != nil {
			b.Fatal(err)
		}
	}
	cat, err := catalogfile.Open(m.Dir(), "crm")
	if err != nil {
		b.Fatal(err)
	}
	if err := cat.Update(b.Context(), func(tx *catalogfile.Tx) error {
		for _, e := range all {
			if err := tx.Put(e); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	if _, err := m.Backup(b.Context(), snapshot.Manual("the newest")); err != nil {
		b.Fatal(err)
	}
	// Shortly after a change the catalog is read again, to be sure.
	if err := os.Chtimes(filepath.Join(m.Dir(), "catalog.json"), time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		b.Fatal(err)
	}
	return m
}

// program builds snapd.
func program(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "snapd")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", path, "example.com/snapd/cmd/snapd").CombinedOutput(); err != nil {
		b.Fatalf("build snapd: %v\n%s", err, out)
	}
	return path
}

// BenchmarkProcess10000 is how long a user waits for the program: from its start to
// the last byte of its answer. Next to list and status there is version, which asks nothing of
// the catalog, and pin, which changes an entry durably. Peak memory is that process's.
func BenchmarkProcess10000(b *testing.B) {
	m, snapd := crowded(b), program(b)
	for _, command := range []string{"version", "list", "status", "pin"} {
		b.Run(command, func(b *testing.B) {
			var peaks []int64
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				args := []string{command, "--json", "--db", m.Database()}
				if command == "pin" {
					args[0] = []string{"pin", "unpin"}[i%2]
					args = append(args, "latest")
				}
				debug.FreeOSMemory() // a child counts what its parent holds as it starts
				known := forgetPeak()
				b.StartTimer()
				cost, out, err := measure.Run(exec.CommandContext(b.Context(), snapd, args...))
				b.StopTimer()
				if err != nil || !json.Valid(out) {
					b.Fatalf("%.200s, %v", out, err)
				}
				b.StartTimer()
				if known {
					peaks = append(peaks, cost.PeakBytes)
				}
			}
			if len(peaks) > 0 {
				b.ReportMetric(float64(measure.Median(peaks))/1e6, "peak-MB")
			}
		})
	}
}

// BenchmarkAdd10000 adds one more entry, durably: in a process that has the catalog, as
// the service does after a backup, and in one that has to read it first.
func BenchmarkAdd10000(b *testing.B) {
	m := crowded(b)
	for _, known := range []bool{true, false} {
		b.Run(map[bool]string{true: "running", false: "opened"}[known], func(b *testing.B) {
			cat, err := catalogfile.Open(m.Dir(), "crm")
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if !known {
					if cat, err = catalogfile.Open(m.Dir(), "crm"); err != nil {
						b.Fatal(err)
					}
				}
				id := fmt.Sprintf("crm_backup_AUTO_20260101_120000_%s_%d", b.Name()[len("BenchmarkAdd10000/"):], i)
				if err := cat.Update(b.Context(), func(tx *catalogfile.Tx) error {
					return tx.Put(catalog.Entry{ID: id, File: id + archive.Ext, Kind: catalog.Auto, Trigger: catalog.TriggerSchedule})
				}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkStatus10000 is what a service answers while it runs, and a page that is open
// asks for again and again: at rest, and right after the service changed the catalog.
func BenchmarkStatus10000(b *testing.B) {
	m := crowded(b)
	newest, err := m.Find("latest")
	if err != nil {
		b.Fatal(err)
	}
	for _, resting := range []bool{true, false} {
		b.Run(map[bool]string{true: "resting", false: "changed"}[resting], func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if !resting {
					b.StopTimer()
					if _, err := m.SetNote(b.Context(), newest.ID, fmt.Sprint(i)); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				s, err := m.Status(b.Context())
				if err != nil || s.State != snapshot.Protected {
					b.Fatalf("%+v, %v", s, err)
				}
			}
		})
	}
}
