package catalogfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
)

const (
	elsewhere archive.Seed = 1 // the seed of another directory's archives; this one's is 0
	highest                = 1<<53 - 1
)

// withForeign makes a directory with two backups of its own, and next to them an archive that
// another directory made and that claims to be the newest.
func withForeign(t *testing.T, seq uint64) (c *catalogfile.Catalog, own [2]catalog.Entry) {
	t.Helper()
	c = open(t, t.TempDir())
	update(t, c, func(tx *catalogfile.Tx) error { tx.State().PageSeed = archive.Seed(0).String(); return nil })
	for i := range own {
		own[i] = backup(t, c, catalog.Auto, catalog.Verified, start.Add(time.Duration(i)*time.Hour))
	}
	storeArchiveOf(t, c.Dir(), "foreign", elsewhere, archive.Facts{Seq: seq, Kind: "auto", Pinned: true, CreatedAt: start.AddDate(1, 0, 0)})
	return c, own
}

// setState gives the backup that verification state.
func setState(t *testing.T, c *catalogfile.Catalog, id string, state catalog.VerifyState) {
	t.Helper()
	update(t, c, func(tx *catalogfile.Tx) error {
		e, err := tx.Get(id)
		e.Verification.State = state
		return errors.Join(err, tx.Put(e))
	})
}

// Lost: all further backups, or the order of those there are, to one file that was put into
// the directory: the numbers came to their end, and the newest backup was that file.
func TestArchiveFromElsewhereIsAClaim(t *testing.T) {
	for name, notice := range map[string]func(t *testing.T, c *catalogfile.Catalog) catalog.Changes{
		"reconcile": reconcile,
		"rebuild": func(t *testing.T, c *catalogfile.Catalog) catalog.Changes {
			ch, err := c.Rebuild(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return ch
		},
		"lost catalog": func(t *testing.T, c *catalogfile.Catalog) catalog.Changes {
			if err := os.Remove(filepath.Join(c.Dir(), "catalog.json")); err != nil {
				t.Fatal(err)
			}
			return reconcile(t, open(t, c.Dir()))
		},
		"damaged catalog": func(t *testing.T, c *catalogfile.Catalog) catalog.Changes {
			write(t, filepath.Join(c.Dir(), "catalog.json"), []byte(`{"version":1`))
			return reconcile(t, open(t, c.Dir()))
		},
	} {
		for _, seq := range []uint64{0, 1, 2, 3, highest - 1, highest, 1<<64 - 1} {
			c, own := withForeign(t, seq)
			ch := notice(t, c)
			c = open(t, c.Dir())
			if got := ids(entries(t, c)); got != own[1].ID+" "+own[0].ID+" foreign" {
				t.Fatalf("%s, %d: order %s", name, seq, got)
			}
			e := get(t, c, "foreign")
			if e.Kind != catalog.Manual || e.Pinned && name != "damaged catalog" || !e.Adopted || e.Verification.State != catalog.Unverified {
				t.Errorf("%s, %d: the claims stand: %+v", name, seq, e)
			}
			if text := strings.Join(ch.Lines(), "\n"); !strings.Contains(text, "foreign") || !strings.Contains(text, "another backup directory") {
				t.Errorf("%s, %d: not reported: %s", name, seq, text)
			}
			for range 3 {
				next := backup(t, c, catalog.Auto, catalog.Verified, start)
				if got := get(t, c, "latest").ID; got != next.ID {
					t.Fatalf("%s, %d: latest is %s, not the new %s", name, seq, got, next.ID)
				}
			}
		}
	}
}

// Lost: the database, to another one's state that was taken for the newest backup because
// the directory's own are all bad.
func TestArchiveFromElsewhereCountsOncePinned(t *testing.T) {
	c, own := withForeign(t, highest-1)
	reconcile(t, c)
	setState(t, c, "foreign", catalog.Verified)
	if got := get(t, c, "latest").ID; got != own[1].ID {
		t.Fatalf("latest is %s", got)
	}
	setState(t, c, own[0].ID, catalog.Failed)
	setState(t, c, own[1].ID, catalog.Failed)
	if e, err := c.Get("latest"); !errors.Is(err, catalogfile.ErrNoVerified) {
		t.Fatalf("latest is %s, %v", e.ID, err)
	}
	if err := c.LinkLatest(); err != nil || linkedTo(t, c.Dir()) != "" {
		t.Fatalf("the link points to %s, %v", linkedTo(t, c.Dir()), err)
	}
	update(t, c, func(tx *catalogfile.Tx) error {
		e, err := tx.Get("foreign")
		e.Pinned = true
		return errors.Join(err, tx.Put(e))
	})
	if got := get(t, open(t, c.Dir()), "latest").ID; got != "foreign" {
		t.Fatalf("accepted, and latest is %s", got)
	}
	if _, err := c.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := get(t, c, "foreign"); !e.Adopted || !e.Pinned {
		t.Fatalf("rebuilt: %+v", e)
	}
}

// Lost: all further backups, to a number in a directory that knows no seed yet.
func TestNumbersCannotRunOut(t *testing.T) {
	dir := t.TempDir()
	for i, seq := range []uint64{highest, highest - 1, 1<<52 + 1, 1 << 52} {
		storeArchiveOf(t, dir, string(rune('a'+i)), elsewhere, archive.Facts{Seq: seq, Kind: "auto", CreatedAt: start})
	}
	c := open(t, dir)
	for range 3 {
		backup(t, c, catalog.Auto, catalog.Verified, start)
	}
	write(t, filepath.Join(dir, "catalog.json"), []byte(`{"version":1,"next_seq":9007199254740991,`))
	c = open(t, dir)
	for range 3 {
		backup(t, c, catalog.Auto, catalog.Verified, start)
	}
}
