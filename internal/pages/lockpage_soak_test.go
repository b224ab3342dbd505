//go:build soak

package pages

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"example.com/snapd/internal/livedb"
)

// Past 1 GiB is the page with the lock bytes, which SQLite never stores and
// refuses to read: an image that trips over it is shifted or cut from there on.
// Writes about 4 GiB to the temporary directory; run by "make soak".
func TestPastTheLockBytePage(t *testing.T) {
	for _, size := range []int{65536, 4096} {
		db := filepath.Join(t.TempDir(), "data.db")
		shell(t, db, fmt.Sprintf(`PRAGMA page_size=%d; PRAGMA journal_mode=wal; PRAGMA synchronous=off; CREATE TABLE t(a);
			INSERT INTO t VALUES(zeroblob(536000000)); INSERT INTO t VALUES(zeroblob(536000000));
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000) INSERT INTO t SELECT randomblob(5000) FROM n;`, size))
		// compare takes the image of db and holds it against a file's bytes.
		compare := func(file string, headToo bool, atLeast int64) {
			t.Helper()
			s, err := Begin(t.Context(), db, livedb.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			w := &comparing{r: bufio.NewReaderSize(f, 1<<20), what: file, skip: !headToo}
			start := time.Now()
			if err := s.CopyTo(t.Context(), w, nil); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d-byte pages: %d bytes in %v", size, s.Info().Bytes(), time.Since(start))
			if n, _ := w.r.Discard(1); n != 0 || s.Info().Bytes() < atLeast {
				t.Errorf("%s: %d bytes in the image, more in the file: %v", file, s.Info().Bytes(), n)
			}
		}
		compare(db, true, pendingByte)
		// Shrunk to before the lock page and restored to beyond it, and the other way round.
		image := filepath.Join(t.TempDir(), "image.db")
		small := filepath.Join(t.TempDir(), "small.db")
		save(t, db, image)
		shell(t, db, "PRAGMA synchronous=off; DELETE FROM t WHERE length(a)>10000; VACUUM")
		save(t, db, small)
		for _, from := range []string{image, small, image} {
			f, err := os.Open(from)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			fi, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			tx, err := BeginWrite(t.Context(), db, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			if _, err := replaceTx(t.Context(), tx, f, size, fi.Size()/int64(size)); err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := shell(t, db, "PRAGMA quick_check"); got != "ok" {
				t.Fatal(got)
			}
			atLeast := int64(pendingByte)
			if from == small {
				atLeast = 0
			}
			compare(db, true, atLeast)
			compare(from, false, atLeast)
		}
	}
}

func save(t *testing.T, db, to string) {
	t.Helper()
	s, err := Begin(t.Context(), db, livedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := s.CopyTo(t.Context(), f, nil); err != nil {
		t.Fatal(err)
	}
}

// comparing is a writer that wants exactly the bytes of r.
type comparing struct {
	r    *bufio.Reader
	skip bool // the database header differs by design
	what string
	buf  []byte
	off  int64
}

func (c *comparing) Write(p []byte) (int, error) {
	if cap(c.buf) < len(p) {
		c.buf = make([]byte, len(p))
	}
	want := c.buf[:len(p)]
	if _, err := io.ReadFull(c.r, want); err != nil {
		return 0, fmt.Errorf("%s: the file ends at %d: %w", c.what, c.off, err)
	}
	if c.skip && c.off == 0 {
		copy(want[:hdrSize], p)
	}
	if string(want) != string(p) {
		return 0, fmt.Errorf("%s differs from the file between bytes %d and %d", c.what, c.off, c.off+int64(len(p)))
	}
	c.off += int64(len(p))
	return len(p), nil
}
