//go:build soak

package pages

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"example.com/snapd/internal/livedb"
)

// The place of SQLite's lock bytes is no page, and SQLite reads zeros there.
// Read from the file it would give the same state another digest. Writes 2 GiB.
func TestSpoolPastTheLockBytePage(t *testing.T) {
	t.Parallel()
	for _, size := range []string{"65536", "1024"} {
		db := filepath.Join(t.TempDir(), "data.db")
		shell(t, db, "PRAGMA page_size="+size+"; PRAGMA journal_mode=off; CREATE TABLE t(a); INSERT INTO t VALUES(zeroblob(540000000)); INSERT INTO t VALUES(zeroblob(540000000))")
		f, err := os.OpenFile(db, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("no page"), pendingByte); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		s, err := Begin(t.Context(), db, livedb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if s.ImageFile(t.Context()) == nil || s.Info().Bytes() < pendingByte {
			t.Fatal("nothing is proven")
		}
		h := sha256.New()
		if err := s.Spool(t.Context(), h, nil); err != nil {
			t.Fatal(err)
		}
		image := sha256.New()
		if err := s.CopyTo(t.Context(), image, nil); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(h.Sum(nil), image.Sum(nil)) {
			t.Errorf("pages of %s bytes: the file differs from the image", size)
		}
	}
}
