//go:build unix

package bench

import (
	"io/fs"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"example.com/snapd/internal/capture"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/samplecrm"
)

// BenchmarkDay captures ten hours of work with the sample CRM, in which a commit comes every three seconds and each is a recovery
// point, and keeps them as a service does: sealed each five minutes, or each ten seconds as with a remote, and merged each hour. The
// clock of the log is the bench's, so that a day takes as long as its commits. Reported are the bytes that a commit takes on the disk at the end of
// the day, three days later (one point each five minutes stays) and nine days later (one an hour), the segments at the end of the day, and the
// longest time that one pass of merging took.
func BenchmarkDay(b *testing.B) {
	for name, sealEvery := range map[string]time.Duration{"local": 5 * time.Minute, "remote": 10 * time.Second} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				day(b, sealEvery)
			}
		})
	}
}

func day(b *testing.B, sealEvery time.Duration) {
	const (
		every      = 3 * time.Second
		length     = 10 * time.Hour
		thinEvery  = time.Hour
		mergeAfter = 10 * time.Minute // as package recorder has it
	)
	path := filepath.Join(b.TempDir(), "crm.db")
	if err := samplecrm.Create(b.Context(), path, samplecrm.Options{Bytes: size(b), Seed: 1, JournalMode: "wal"}); err != nil {
		b.Fatal(err)
	}
	dir := filepath.Join(b.TempDir(), strconv.Itoa(1))
	chain, log := chainIn(b, path, dir)
	db, err := samplecrm.Open(path, "")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	w := samplecrm.NewWriter(db, 1)
	begin := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	now, sealed, thinned := begin, begin, begin
	var longest time.Duration
	thin := func(after time.Duration) {
		began := time.Now()
		at := now.Add(after)
		if err := log.Thin(b.Context(), changes.Thinning{Before: at.Add(-mergeAfter), Keep: changes.DefaultTiers.Keep(at)}); err != nil {
			b.Fatal(err)
		}
		longest = max(longest, time.Since(began))
	}
	for ; now.Before(begin.Add(length)); now = now.Add(every) {
		if err := w.Step(b.Context()); err != nil {
			b.Fatal(err)
		}
		out, err := chain.Capture(b.Context(), func() time.Time { return now })
		if err != nil || out.Way == capture.Compared && out.Capture.Seq > 1 {
			b.Fatalf("%+v, %v", out, err)
		}
		if now.Sub(sealed) >= sealEvery {
			sealed = now
			if err := log.Seal(); err != nil {
				b.Fatal(err)
			}
		}
		if now.Sub(thinned) >= thinEvery {
			thinned = now
			thin(0)
		}
	}
	if err := log.Seal(); err != nil {
		b.Fatal(err)
	}
	stored := func() (bytes, files float64) {
		err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			fi, err := d.Info()
			if err == nil {
				bytes, files = bytes+float64(fi.Size()), files+1
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		return bytes, files
	}
	commits := float64(w.Commits())
	bytes, files := stored()
	b.ReportMetric(bytes/commits, "B/commit")
	b.ReportMetric(files, "segments")
	b.ReportMetric(float64(longest.Milliseconds()), "ms/merging")
	for _, later := range []struct {
		days int
		unit string
	}{{3, "B/commit-5m"}, {9, "B/commit-1h"}} {
		thin(time.Duration(later.days) * 24 * time.Hour)
		bytes, _ := stored()
		b.ReportMetric(bytes/commits, later.unit)
	}
}
