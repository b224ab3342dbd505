package snapshot_test

import (
	"bytes"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost: the check of a backup whose pages are not those that an anchor has checked; or, where they are, the time of a second check.
func TestABackupOfAStateThatWasChecked(t *testing.T) {
	t.Parallel()
	var later atomic.Int64 // hours
	c := newCounted(t, "wal", func(cfg *snapshot.Config) {
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load()) * time.Hour) }
	})
	anchored := func(point string) {
		t.Helper()
		later.Add(2)
		must(t, c.m.Reload(c.cfg))
		c.rec.wait(t, "an anchor of "+point, func(e snapshot.Event) bool { return e.Type == snapshot.EventAnchored && e.Point == point })
	}
	checkedBefore := func(point string) bool {
		t.Helper()
		b := c.manual()
		ev := c.rec.wait(t, "a backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp && e.Backup == b.ID })
		if b.Point != point || !b.Usable() || b.Verification.Level != "quick" {
			t.Errorf("backup of %s: %+v", point, b)
		}
		return strings.Contains(ev.Reason, "its pages are those of "+point+", which was checked")
	}
	r := c.run()
	first := c.rec.wait(t, "the start-up backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp }).Backup
	c.commit(2)
	point := c.captures()
	anchored(point)
	if !checkedBefore(point) {
		t.Error("it was checked twice")
	}
	c.commit(1)
	if point = c.captures(); checkedBefore(point) {
		t.Error("what no anchor has seen was not checked")
	}
	c.commit(1)
	point = c.captures()
	anchored(point)
	var body string
	if err := c.app.QueryRow("SELECT body FROM notes ORDER BY id LIMIT 1").Scan(&body); err != nil {
		t.Fatal(err)
	}
	base, err := c.m.Find(first)
	must(t, err)
	at := bytes.Index(stockImage(t, c.m.ArchivePath(base)), []byte(body)) / 4096 * 4096
	testdb.Damaged(t, c.m.Database())
	testdb.Overwrite(t, c.m.Database(), int64(at), []byte{0xff}) // the kind of the page
	if _, err := c.m.Backup(t.Context(), snapshot.Manual("")); !errors.Is(err, snapshot.ErrCorrupt) {
		t.Errorf("a backup of a page that rotted after the anchor: %v", err)
	}
	if err := r.wait(t); !errors.Is(err, snapshot.ErrCorrupt) {
		t.Error(err)
	}
}
