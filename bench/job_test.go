package bench

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/zeebo/blake3"
	"github.com/zeebo/xxh3"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/snapshot"
)

// crm makes a CRM database and a Manager for it.
func crm(b *testing.B, journal string) (*snapshot.Manager, int64) {
	b.Helper()
	db := filepath.Join(b.TempDir(), "crm.db")
	if err := samplecrm.Create(b.Context(), db, samplecrm.Options{Bytes: size(b), Seed: 1, JournalMode: journal}); err != nil {
		b.Fatal(err)
	}
	m, err := snapshot.Open(b.Context(), snapshot.Config{Database: db, Logger: nil})
	if err != nil {
		b.Fatal(err)
	}
	st, err := os.Stat(db)
	if err != nil {
		b.Fatal(err)
	}
	return m, st.Size()
}

// BenchmarkBackup is a backup with its proof, to durable storage, in MB of database per second.
func BenchmarkBackup(b *testing.B) {
	for _, journal := range []string{"wal", "delete"} {
		b.Run(journal, func(b *testing.B) {
			m, bytes := crm(b, journal)
			b.SetBytes(bytes)
			b.ReportAllocs()
			for b.Loop() {
				made, err := m.Backup(b.Context(), snapshot.Manual(""))
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(made.DatabaseBytes)/float64(made.ArchiveBytes), "ratio")
				b.StopTimer()
				if err := m.Delete(b.Context(), []string{made.ID}, true); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkBackupOfWhatChanged is the next backup, with its proof, of a database where one
// page of a thousand changed since the last one, all over the file.
func BenchmarkBackupOfWhatChanged(b *testing.B) {
	for _, kind := range []string{"auto", "manual"} {
		b.Run(kind, func(b *testing.B) {
			m, bytes := crm(b, "wal")
			b.SetBytes(bytes)
			last, err := m.Backup(b.Context(), snapshot.Manual(""))
			if err != nil {
				b.Fatal(err)
			}
			req := snapshot.Manual("")
			if kind == "auto" {
				req = snapshot.Auto(catalog.TriggerSchedule)
			}
			for b.Loop() {
				b.StopTimer()
				touchPages(b, m.Database(), bytes/4096/1000)
				b.StartTimer()
				made, err := m.Backup(b.Context(), req)
				if err != nil || made.Base != last.ID {
					b.Fatal(made.Base, err)
				}
				b.StopTimer()
				if err := m.Delete(b.Context(), []string{last.ID}, true); err != nil {
					b.Fatal(err)
				}
				last = made
				b.StartTimer()
			}
		})
	}
}

// touchPages changes so many rows, which are as many pages, at equal distances.
func touchPages(b *testing.B, path string, n int64) {
	b.Helper()
	db, err := samplecrm.Open(path, "")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	_, err = db.ExecContext(b.Context(), `WITH RECURSIVE last(id) AS (SELECT max(id) FROM activities), nth(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM nth WHERE i < ?)
		UPDATE activities SET kind = CASE kind WHEN 'call' THEN 'task' ELSE 'call' END WHERE id IN (SELECT i * (SELECT id FROM last) / ? FROM nth)`, n, n+1)
	if err != nil {
		b.Fatal(err)
	}
}

// stored makes one backup.
func stored(b *testing.B) (*snapshot.Manager, snapshot.Backup) {
	b.Helper()
	m, bytes := crm(b, "wal")
	made, err := m.Backup(b.Context(), snapshot.Manual(""))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(bytes)
	b.ReportAllocs()
	return m, made
}

// BenchmarkVerify proves a stored backup again: its digests, and a check of the image inside.
func BenchmarkVerify(b *testing.B) {
	for _, level := range []integrity.Level{integrity.LevelQuick, integrity.LevelFull} {
		b.Run(level.String(), func(b *testing.B) {
			m, made := stored(b)
			for b.Loop() {
				if _, err := m.Verify(b.Context(), made.ID, level); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDigestsOfStored reads a stored backup and proves its digests only.
func BenchmarkDigestsOfStored(b *testing.B) {
	m, made := stored(b)
	for b.Loop() {
		r, err := archive.Open(m.ArchivePath(made))
		if err != nil {
			b.Fatal(err)
		}
		if err := r.Verify(b.Context(), archive.CopyOptions{}); err != nil {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRestore restores to a durable file, and over the live database, in which
// few pages differ.
func BenchmarkRestore(b *testing.B) {
	b.Run("file", func(b *testing.B) {
		m, made := stored(b)
		to := filepath.Join(b.TempDir(), "out.db")
		for b.Loop() {
			if _, err := m.Restore(b.Context(), made.ID, snapshot.RestoreOptions{To: to, Overwrite: true}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("online", func(b *testing.B) {
		m, made := stored(b)
		application(b, m.Database())
		for b.Loop() {
			done, err := m.Restore(b.Context(), made.ID, snapshot.RestoreOptions{})
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if err := m.Delete(b.Context(), []string{*done.SafetyBackup}, true); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
}

// BenchmarkCopy is what every backup is made of: reading the pages, compressing
// frames that are in memory, and the digests.
func BenchmarkCopy(b *testing.B) {
	m, bytes := crm(b, "wal")
	image := make([]byte, min(bytes, 64<<20))
	f, err := os.Open(m.Database())
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(f, image); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil { // no process has it open: there are no locks to lose
		b.Fatal(err)
	}
	b.Run("pages", func(b *testing.B) {
		b.SetBytes(bytes)
		for b.Loop() {
			s, err := pages.Begin(b.Context(), m.Database(), livedb.Options{})
			if err != nil {
				b.Fatal(err)
			}
			if err := s.CopyTo(b.Context(), io.Discard, nil); err != nil {
				b.Fatal(err)
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("archive", func(b *testing.B) { // all of a backup but its proof
		b.SetBytes(bytes)
		for b.Loop() {
			copyToArchive(b, m.Database())
		}
	})
	for _, workers := range []int{1, runtime.GOMAXPROCS(0)} {
		b.Run("compress/"+map[bool]string{true: "one", false: "all"}[workers == 1], func(b *testing.B) {
			b.SetBytes(int64(len(image)))
			for b.Loop() {
				w, err := archive.NewWriter(io.Discard, archive.WriterOptions{PageSize: 4096, Workers: workers})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := w.Write(image); err != nil {
					b.Fatal(err)
				}
				if _, err := w.Finish(archive.Facts{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("blake3", func(b *testing.B) {
		b.SetBytes(int64(len(image)))
		for b.Loop() {
			h := blake3.New()
			for at := 0; at < len(image); at += 1 << 20 {
				h.Write(image[at:min(at+1<<20, len(image))])
			}
			h.Sum(nil)
		}
	})
	b.Run("xxh3 by page", func(b *testing.B) {
		b.SetBytes(int64(len(image)))
		for b.Loop() {
			var sum uint64
			for at := 0; at+4096 <= len(image); at += 4096 {
				sum += xxh3.Hash(image[at : at+4096])
			}
			_ = sum
		}
	})
}

// copyToArchive stores the database as a durable archive, and removes it.
func copyToArchive(b *testing.B, db string) {
	s, err := pages.Begin(b.Context(), db, livedb.Options{})
	if err != nil {
		b.Fatal(err)
	}
	f, err := durable.Create(filepath.Join(b.TempDir(), "a"+archive.Ext), 0o600)
	if err != nil {
		b.Fatal(err)
	}
	w, err := archive.NewWriter(f, archive.WriterOptions{PageSize: s.Info().PageSize})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Abort()
	if err := s.CopyTo(b.Context(), w, nil); err != nil {
		b.Fatal(err)
	}
	if _, err := w.Finish(archive.Facts{}); err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Discard(), s.Close()); err != nil {
		b.Fatal(err)
	}
}
