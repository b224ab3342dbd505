package snapshot_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/points"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Nothing is offered that cannot be proven, and what cannot be read changes nothing.
func TestPointsWithoutProof(t *testing.T) {
	t.Parallel()
	ids := func(b *bench) (all []string) {
		list, _, err := b.m.Points(t.Context(), snapshot.PointsQuery{})
		must(t, err)
		for _, p := range list {
			all = append(all, p.ID)
		}
		return all
	}
	segment := func(t *testing.T, b *bench) string {
		t.Helper()
		return filepath.Join(points.Directory(b.m.Dir(), 1), glob(t, points.Directory(b.m.Dir(), 1), "*.chg*")[0])
	}
	refused := func(t *testing.T, b *bench, id string, want error) {
		t.Helper()
		files, before := b.ids(), liveImage(t, b.m.Database())
		for _, o := range []snapshot.RestoreOptions{{}, {To: filepath.Join(t.TempDir(), "x.db")}} {
			if _, err := b.m.Restore(t.Context(), id, o); !errors.Is(err, want) {
				t.Errorf("restore %s: %v", id, err)
			}
			want = snapshot.ErrNotFound // what was found damaged is not offered again
			if _, err := os.Stat(o.To); o.To != "" && err == nil {
				t.Error("a file was written")
			}
		}
		if !bytes.Equal(liveImage(t, b.m.Database()), before) || !slices.Equal(b.ids(), files) {
			t.Error("something was changed")
		}
	}
	t.Run("base deleted", func(t *testing.T) {
		t.Parallel()
		b, c, base := captured(t, 3)
		b.mark("no capture has it")
		b.manual()
		must(t, b.m.Delete(t.Context(), []string{base.ID}, true))
		if got := ids(b); slices.Contains(got, c.ids[2]) || len(got) != 1 {
			t.Errorf("offered: %v", got)
		}
		refused(t, b, c.ids[2], snapshot.ErrNotFound)
	})
	t.Run("base damaged", func(t *testing.T) {
		t.Parallel()
		b, c, base := captured(t, 3)
		b.damageArchive(base)
		refused(t, b, c.ids[2], snapshot.ErrCorrupt)
		if e, err := b.m.Find(base.ID); err != nil || e.Verification.State != catalog.Failed {
			t.Errorf("the base is %s, %v", e.Verification.State, err)
		}
		if got := ids(b); len(got) != 0 {
			t.Errorf("offered: %v", got)
		}
	})
	t.Run("another base", func(t *testing.T) {
		t.Parallel()
		b, c, base := captured(t, 3)
		b.mark("no capture has it")
		other := b.manual()
		writeFile(t, b.m.ArchivePath(base), readFile(t, b.m.ArchivePath(other)))
		refused(t, b, c.ids[2], snapshot.ErrNotFound)
	})
	t.Run("log damaged", func(t *testing.T) {
		t.Parallel()
		b, c, base := captured(t, 3)
		must(t, c.log.Seal())
		name := segment(t, b)
		whole := readFile(t, name)
		for at := len(whole) / 5; at < len(whole); at += len(whole) / 5 {
			bad := bytes.Clone(whole)
			bad[at] ^= 1
			writeFile(t, name, bad)
			to := filepath.Join(t.TempDir(), "restored.db")
			_, err := b.m.Restore(t.Context(), c.ids[2], snapshot.RestoreOptions{To: to})
			if err == nil && !bytes.Equal(readFile(t, to), c.images[c.ids[2]]) {
				t.Errorf("damaged at %d of %d: another image was restored", at, len(whole))
			}
			if err != nil && !errors.Is(err, snapshot.ErrCorrupt) && !errors.Is(err, snapshot.ErrNotFound) {
				t.Errorf("damaged at %d: %v", at, err)
			}
		}
		if e, err := b.m.Find(base.ID); err != nil || !e.Usable() {
			t.Errorf("the base is %s, %v: it is sound", e.Verification.State, err)
		}
	})
	t.Run("segment missing", func(t *testing.T) {
		t.Parallel()
		b, c, base := captured(t, 2)
		must(t, c.log.Seal())
		name := segment(t, b)
		b.mark("after")
		c.capture()
		must(t, os.Remove(name))
		if got := ids(b); !slices.Equal(got, []string{base.ID}) {
			t.Errorf("offered: %v", got)
		}
		refused(t, b, c.ids[2], snapshot.ErrNotFound)
	})
}

// A point is read over the nearest base that can be used: where one is damaged, over the one before.
func TestTheNextOlderBase(t *testing.T) {
	t.Parallel()
	b, c, base := captured(t, 2)
	near := b.auto()
	r, err := archive.Open(b.m.ArchivePath(near))
	must(t, err)
	if got := r.Shape().Sum.Digits(); got == "" {
		t.Fatal(got)
	}
	r.Close()
	b.placeAt(near.ID, c.ids[1])
	b.mark("mark 3")
	id := c.capture()
	restored := func() {
		t.Helper()
		to := filepath.Join(t.TempDir(), "restored.db")
		if _, err := b.m.Restore(t.Context(), id, snapshot.RestoreOptions{To: to}); err != nil || !bytes.Equal(readFile(t, to), c.images[id]) {
			t.Fatalf("%v", err)
		}
	}
	restored()
	list, _, err := b.m.Points(t.Context(), snapshot.PointsQuery{})
	must(t, err)
	var got []string
	for _, p := range list {
		got = append(got, fmt.Sprint(p.ID, " ", p.Kind, " ", p.State))
	}
	if want := []string{id + " change sealed", c.ids[1] + " backup verified", c.ids[0] + " change sealed", base.ID + " backup verified"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if e, err := b.m.Find(c.ids[1]); err != nil || e.ID != near.ID {
		t.Errorf("the backup at a point: %s, %v", e.ID, err)
	}
	for what, at := range map[string]int64{"its frames": near.ArchiveBytes / 3, "its metadata": near.ArchiveBytes - 100} {
		must(t, snapshot.UpdateEntry(b.m, near.ID, func(e *snapshot.Backup) { e.Verification.State = catalog.Verified }))
		testdb.FlipByte(t, b.m.ArchivePath(near), at)
		restored()
		if w := b.rec.of(snapshot.EventWarning); len(w) == 0 || !strings.Contains(w[len(w)-1].Message, near.ID) {
			t.Errorf("%s: warnings: %v", what, w)
		}
		if e, err := b.m.Find(near.ID); err != nil || e.Usable() {
			t.Errorf("%s: the damaged base is %s, %v", what, e.Verification.State, err)
		}
		testdb.FlipByte(t, b.m.ArchivePath(near), at)
		b.rec.forget()
	}
}

// placeAt has the catalog say that a backup is the image at a point, as an anchor does.
func (b *bench) placeAt(id, point string) {
	b.t.Helper()
	must(b.t, snapshot.UpdateEntry(b.m, id, func(e *snapshot.Backup) { e.Point = point }))
}
