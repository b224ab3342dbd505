package bench

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"os/exec"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/inspect"
	"example.com/snapd/internal/rowdiff"
	"example.com/snapd/snapshot"
)

// BenchmarkDiff compares two states between which 1,000 rows changed: those that were added last, as most applications do, or
// rows all over the file. Next to it is sqldiff on the same states as files, where that is installed.
func BenchmarkDiff(b *testing.B) {
	for _, where := range []struct{ name, update string }{
		{"newest", "UPDATE activities SET subject=subject||'!' WHERE id IN (SELECT id FROM activities ORDER BY id DESC LIMIT 1000)"},
		{"everywhere", "UPDATE activities SET subject=subject||'!' WHERE id % (SELECT max(id)/1000 FROM activities) = 0"},
	} {
		b.Run(where.name, func(b *testing.B) {
			m, _ := crm(b, "wal")
			before, after := backupAround(b, m, where.update)
			files := [2]string{filepath.Join(b.TempDir(), "a.db"), filepath.Join(b.TempDir(), "b.db")}
			for i, backup := range []snapshot.Backup{before, after} {
				if _, err := m.Restore(b.Context(), backup.ID, snapshot.RestoreOptions{To: files[i]}); err != nil {
					b.Fatal(err)
				}
			}
			b.Run("backups", func(b *testing.B) {
				benchDiff(b, m, before.ID, after.ID)
				b.ReportMetric(shareRead(b, m, before, after), "%pages")
			})
			b.Run("live", func(b *testing.B) { benchDiff(b, m, before.ID, snapshot.Live) })
			b.Run("sqldiff", func(b *testing.B) {
				program, err := exec.LookPath("sqldiff")
				if err != nil {
					b.Skip("sqldiff is not installed")
				}
				for b.Loop() {
					if out, err := exec.Command(program, "--summary", files[0], files[1]).CombinedOutput(); err != nil {
						b.Fatalf("sqldiff: %v: %s", err, out)
					}
				}
			})
		})
	}
}

func benchDiff(b *testing.B, m *snapshot.Manager, from, to string) {
	for b.Loop() {
		r, err := m.Diff(b.Context(), from, to, snapshot.DiffOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if len(r.Tables) != 1 || r.Tables[0].Changed < 900 || r.Tables[0].Changed > 1100 {
			b.Fatal(fmt.Sprint("found ", r.Tables))
		}
	}
}

// counted is an image that knows which pages of it were read.
type counted struct {
	archive.Image
	read map[int64]bool
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	size := int64(c.Shape().PageSize)
	for page := off / size; page*size < off+int64(len(p)); page++ {
		c.read[page+1] = true
	}
	return c.Image.ReadAt(p, off)
}

func (c *counted) ReadPages(ctx context.Context, want iter.Seq2[int64, error], o archive.CopyOptions, fn func(int64, []byte) error) error {
	return c.Image.ReadPages(ctx, want, o, func(pgno int64, page []byte) error {
		c.read[pgno] = true
		return fn(pgno, page)
	})
}

// shareRead is how many of a hundred pages of both images a comparison reads.
func shareRead(b *testing.B, m *snapshot.Manager, backups ...snapshot.Backup) float64 {
	b.Helper()
	var images [2]*counted
	var sides [2]*rowdiff.Side
	total, read := int64(0), 0
	for i, backup := range backups {
		r, err := archive.Open(m.ArchivePath(backup))
		if err != nil {
			b.Fatal(err)
		}
		defer r.Close()
		images[i] = &counted{r, map[int64]bool{}}
		seen, err := inspect.New(images[i], r.Shape().Bytes(), backup.CreatedAt, func(error) {})
		if err != nil {
			b.Fatal(err)
		}
		defer seen.Close()
		conn, err := seen.Conn()
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		sides[i] = &rowdiff.Side{Conn: conn, Bytes: seen.Size(), Keep: seen.Keep}
		total += r.Shape().PageCount
	}
	d, err := rowdiff.New(b.Context(), sides[0], sides[1], b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	pages, err := rowdiff.ComparePages(b.Context(), images[0], images[1])
	if err == nil {
		if err = d.Narrow(b.Context(), pages); err == nil {
			_, err = d.Compare(b.Context(), rowdiff.Options{})
		}
	}
	if err != nil {
		b.Fatal(err)
	}
	for _, i := range images {
		read += len(i.read)
	}
	return 100 * float64(read) / float64(total)
}

// backupAround makes a backup, updates rows, and makes another one.
func backupAround(b *testing.B, m *snapshot.Manager, update string) (before, after snapshot.Backup) {
	b.Helper()
	before, err := m.Backup(b.Context(), snapshot.Manual("before"))
	if err != nil {
		b.Fatal(err)
	}
	db, err := sql.Open("sqlite", m.Database())
	if err == nil {
		_, err = db.Exec(update)
	}
	if err == nil {
		err = db.Close()
	}
	if err == nil {
		after, err = m.Backup(b.Context(), snapshot.Manual("after"))
	}
	if err != nil {
		b.Fatal(err)
	}
	return before, after
}

// BenchmarkLookUp reads one row by its key from a backup, opened again each time. Next to it is what one would do without: restore to a file,
// and ask sqlite3.
func BenchmarkLookUp(b *testing.B) {
	m, _ := crm(b, "wal")
	backup, err := m.Backup(b.Context(), snapshot.Manual("a"))
	if err != nil {
		b.Fatal(err)
	}
	const query = "SELECT * FROM activities WHERE id=4711"
	b.Run("backup", func(b *testing.B) {
		for b.Loop() {
			r, err := m.Query(b.Context(), backup.ID, query, snapshot.QueryOptions{})
			if err != nil || len(r.Rows) != 1 {
				b.Fatal(len(r.Rows), err)
			}
		}
	})
	b.Run("restore and sqlite3", func(b *testing.B) {
		program, err := exec.LookPath("sqlite3")
		if err != nil {
			b.Skip("sqlite3 is not installed")
		}
		file := filepath.Join(b.TempDir(), "a.db")
		for b.Loop() {
			if _, err := m.Restore(b.Context(), backup.ID, snapshot.RestoreOptions{To: file, Overwrite: true}); err != nil {
				b.Fatal(err)
			}
			if out, err := exec.Command(program, file, query).CombinedOutput(); err != nil || len(out) == 0 {
				b.Fatalf("sqlite3: %v: %s", err, out)
			}
		}
	})
}
