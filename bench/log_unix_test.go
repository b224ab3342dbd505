//go:build unix

package bench

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/capture"
	"example.com/snapd/internal/changes"
	"example.com/snapd/snapshot"
)

// BenchmarkLog says of 1,000 recovery points which rows each changed, against the one before it.
func BenchmarkLog(b *testing.B) {
	const points = 1000
	m, _ := crm(b, "wal")
	base, err := m.Backup(b.Context(), snapshot.Manual("base"))
	if err != nil {
		b.Fatal(err)
	}
	state, err := m.State()
	if err != nil {
		b.Fatal(err)
	}
	r, err := archive.Open(m.ArchivePath(base))
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	log, err := changes.Open(filepath.Join(m.Dir(), "changes", "1"), changes.Head{Timeline: 1, Database: "crm.db", Base: base.ID, PageSize: base.PageSize, PageSeed: state.PageSeed})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	chain, err := capture.Open(b.Context(), m.Database(), capture.Base{Archive: r, At: base.CreatedAt}, log)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = chain.Rest() }()
	db, err := sql.Open("sqlite", m.Database())
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for i := range points {
		if _, err := db.Exec("UPDATE activities SET subject=subject||'!' WHERE id = 1 + ? % (SELECT max(id) FROM activities)", i*7919); err != nil {
			b.Fatal(err)
		}
		if _, err := chain.Capture(b.Context(), time.Now); err != nil {
			b.Fatal(err)
		}
		if i%300 == 299 {
			if err := log.Seal(); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ResetTimer()
	for b.Loop() {
		page, _, err := m.Log(b.Context(), snapshot.LogQuery{})
		if err != nil || len(page) < points-1 || page[0].Tables[0].Changed != 1 {
			b.Fatalf("%d points, %v", len(page), err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N)/points, "ms/point")
}
