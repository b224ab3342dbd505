package catalogfile_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/snapshot"
)

// protected is a database with two backups, between which it changed.
type protected struct {
	m       *snapshot.Manager
	dir     string
	backups [2]snapshot.Backup
	stored  [2][]byte // their archives
	images  [2][]byte
}

func newProtected(t *testing.T) *protected {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "data.db")
	if err := samplecrm.Create(t.Context(), path, samplecrm.Options{Seed: 1, PageSize: 512, JournalMode: "delete"}); err != nil {
		t.Fatal(err)
	}
	p := &protected{dir: dir}
	var err error
	if p.m, err = snapshot.Open(t.Context(), snapshot.Config{Database: path}); err != nil {
		t.Fatal(err)
	}
	for i := range p.backups {
		db, err := samplecrm.Open(path, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "UPDATE notes SET body = body || ' again'"); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if p.backups[i], err = p.m.Backup(t.Context(), snapshot.Manual("")); err != nil {
			t.Fatal(err)
		}
		p.stored[i] = readFile(t, p.m.ArchivePath(p.backups[i]))
		p.images[i] = readFile(t, path)
	}
	return p
}

// prove tries every use of the second backup with that file as its archive. It
// must be called corrupt by Verify; restoring and looking inside may fail, or give what it held.
func (p *protected) prove(t *testing.T, what string, stored []byte) {
	t.Helper()
	id := p.backups[1].ID
	write(t, p.m.ArchivePath(p.backups[1]), stored)
	to := filepath.Join(p.dir, "restored.db")
	_, err := p.m.Restore(t.Context(), id, snapshot.RestoreOptions{To: to})
	if err == nil {
		if !bytes.Equal(readFile(t, to), p.images[1]) {
			t.Errorf("%s: a wrong image was restored", what)
		}
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := p.look(t, id); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	b, err := p.m.Verify(t.Context(), id, integrity.LevelQuick)
	if !errors.Is(err, snapshot.ErrCorrupt) || b.Usable() {
		t.Errorf("%s: verified as %+v, %v", what, b.Verification, err)
	}
}

var errOther = errors.New("a query gives what the backup does not hold")

// look reads every page of a backup in place; read is false when it cannot be.
func (p *protected) look(t *testing.T, id string) (read bool, err error) {
	db, err := p.m.OpenBackup(t.Context(), id)
	if err != nil {
		return false, nil
	}
	defer db.Close()
	var image []byte
	rows, err := db.QueryContext(t.Context(), "SELECT data FROM sqlite_dbpage ORDER BY pgno")
	if err != nil {
		return false, nil
	}
	defer rows.Close()
	for rows.Next() {
		var page []byte
		if err := rows.Scan(&page); err != nil {
			return false, nil
		}
		image = append(image, page...)
	}
	if rows.Err() != nil {
		return false, nil
	}
	if !bytes.Equal(image, p.images[1]) {
		return true, errOther
	}
	return true, nil
}

// Lost: a restored or queried database that never was, out of a backup that
// rotted, was cut, or is another one under its name.
func TestDamagedBackupsGiveNothingWrong(t *testing.T) {
	t.Parallel()
	p := newProtected(t)
	good := p.stored[1]
	for n := range 48 {
		at := len(good) * n / 48
		if n%2 == 1 {
			at = len(good) - 1 - n*n // where the digests, the facts and the seek table are
		}
		b := bytes.Clone(good)
		b[at] ^= 1 << (n % 8)
		p.prove(t, "a flipped bit", b)
		if n%8 == 0 {
			p.prove(t, "cut", good[:at])
		}
	}
	p.prove(t, "another backup's archive", p.stored[0])

	// Proven again once the file is right again, and rebuilt from it.
	write(t, p.m.ArchivePath(p.backups[1]), good)
	if b, err := p.m.Verify(t.Context(), p.backups[1].ID, integrity.LevelQuick); err != nil || !b.Usable() {
		t.Errorf("the good archive: %+v, %v", b, err)
	}
	if read, err := p.look(t, p.backups[1].ID); !read || err != nil {
		t.Errorf("read in place: %v, %v", read, err)
	}
}

// Lost: the same, once the catalog was rebuilt and takes the damaged archive's word.
func TestRebuiltFromDamagedArchives(t *testing.T) {
	t.Parallel()
	p := newProtected(t)
	good := p.stored[1]
	for n := range 24 {
		at := len(good) - 1 - len(good)*n*n/(24*24)
		b := bytes.Clone(good)
		b[at] ^= 1 << (n % 8)
		write(t, p.m.ArchivePath(p.backups[1]), b)
		if err := os.Remove(filepath.Join(p.m.Dir(), "catalog.json")); err != nil {
			t.Fatal(err)
		}
		if _, err := p.m.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
		e, err := p.m.Find(p.backups[1].ID)
		if errors.Is(err, snapshot.ErrNotFound) {
			continue // what cannot be opened is not listed
		}
		if err != nil || e.Usable() || e.ImageBLAKE3 != p.backups[1].ImageBLAKE3 || e.Seq != p.backups[1].Seq {
			t.Errorf("byte %d of %d: %+v, %v", at, len(good), e, err)
		}
		if b, err := p.m.Verify(t.Context(), e.ID, integrity.LevelQuick); !errors.Is(err, snapshot.ErrCorrupt) || b.Usable() {
			t.Errorf("byte %d of %d: verified as %+v, %v", at, len(good), b.Verification, err)
		}
	}
}
