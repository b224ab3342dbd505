//go:build unix

package bench

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/capture"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/samplecrm"
)

// captureSeed is that of the page digests.
const captureSeed = archive.Seed(7)

// chainOf is a change log on a backup of the database as it is now.
func chainOf(b testing.TB, path string) *capture.Chain {
	b.Helper()
	chain, _ := chainIn(b, path, filepath.Join(b.TempDir(), "1"))
	return chain
}

// chainIn is chainOf in a directory, with the log.
func chainIn(b testing.TB, path, dir string) (*capture.Chain, *changes.Log) {
	b.Helper()
	const seed = captureSeed
	f, err := os.Create(filepath.Join(b.TempDir(), "base"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	s, err := pages.Begin(b.Context(), path, livedb.Options{})
	if err != nil {
		b.Fatal(err)
	}
	w, err := archive.NewWriter(f, archive.WriterOptions{PageSize: s.Info().PageSize, Workers: 2, Seed: seed})
	if err == nil {
		err = s.CopyTo(b.Context(), w, nil)
	}
	if err == nil {
		_, err = w.Finish(archive.Facts{})
	}
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		b.Fatal(err)
	}
	fi, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	base, err := archive.NewReader(f, fi.Size())
	if err != nil {
		b.Fatal(err)
	}
	log, err := changes.Open(dir, changes.Head{
		Timeline: 1, Database: "crm.db", PageSize: base.Info().PageSize, PageSeed: seed.String(),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { log.Close() })
	chain, err := capture.Open(b.Context(), path, capture.Base{Archive: base, At: time.Now()}, log)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { chain.Rest() })
	return chain, log
}

// BenchmarkCompare measures a look that reads every page, where the log does not say what changed:
// MB of database per second, and for how many ms of a second writers wait.
func BenchmarkCompare(b *testing.B) {
	for _, mode := range []string{"wal", "delete"} {
		b.Run(mode, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "crm.db")
			if err := samplecrm.Create(b.Context(), path, samplecrm.Options{Bytes: size(b), Seed: 1, JournalMode: mode}); err != nil {
				b.Fatal(err)
			}
			chain := chainOf(b, path)
			fi, err := os.Stat(path)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(fi.Size())
			var locked time.Duration
			cpu := cpuTime()
			for b.Loop() {
				chain.Distrust()
				out, err := chain.Capture(b.Context(), time.Now)
				if err != nil || out.Way != capture.Nothing {
					b.Fatalf("%+v, %v", out, err)
				}
				locked += out.Locked
			}
			b.ReportMetric((cpuTime()-cpu).Seconds()*float64(1<<30)/float64(fi.Size())/float64(b.N), "cpu-s/GiB")
			b.ReportMetric(float64(locked.Milliseconds())/float64(b.N), "locked-ms/op")
		})
	}
}
