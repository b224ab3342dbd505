package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/capture"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/points"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// captor captures a database as a service does, and keeps what it was at each point.
type captor struct {
	t      testing.TB
	m      *snapshot.Manager
	log    *changes.Log
	chain  *capture.Chain
	images map[string][]byte
	ids    []string // of the points, oldest first
}

// startCaptures begins the change log of the base's timeline.
func startCaptures(t testing.TB, m *snapshot.Manager, base snapshot.Backup) *captor {
	t.Helper()
	r, err := archive.Open(m.ArchivePath(base))
	must(t, err)
	defer r.Close()
	c := &captor{t: t, m: m, images: map[string][]byte{}}
	c.log, err = changes.Open(points.Directory(m.Dir(), base.Timeline.Number), changes.Head{
		Timeline: base.Timeline.Number, Database: "data.db", Base: base.ID, PageSize: base.PageSize, PageSeed: r.Seed().String()})
	must(t, err)
	c.chain, err = capture.Open(t.Context(), m.Database(), capture.Base{Archive: r, At: base.CreatedAt}, c.log)
	must(t, err)
	t.Cleanup(c.stop)
	return c
}

func (c *captor) stop() {
	if err := errors.Join(c.chain.Rest(), c.log.Close()); err != nil {
		c.t.Error(err)
	}
}

// capture takes what was committed since, and returns the id of the newest point.
func (c *captor) capture() string {
	c.t.Helper()
	out, err := c.chain.Capture(c.t.Context(), time.Now)
	must(c.t, err)
	if out.Way != capture.Nothing {
		id := catalog.PointID(c.log.Head().Timeline, out.Capture.Seq)
		c.ids, c.images[id] = append(c.ids, id), liveImage(c.t, c.m.Database())
	}
	if len(c.ids) == 0 {
		return ""
	}
	return c.ids[len(c.ids)-1]
}

// liveImage is the database as SQLite shows it now.
func liveImage(t testing.TB, path string) []byte {
	t.Helper()
	tx, err := pages.Begin(t.Context(), path, livedb.Options{})
	must(t, err)
	defer tx.Close()
	var b bytes.Buffer
	must(t, tx.CopyTo(t.Context(), &b, nil))
	return b.Bytes()
}

// isImage compares the database with an image but for what a restore over it changes on purpose, in page
// 1: the counters, and the write version of the file format.
func isImage(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d bytes, not %d", what, len(got), len(want))
		return
	}
	got, want = bytes.Clone(got), bytes.Clone(want)
	for _, b := range [][]byte{got, want} {
		clear(b[18:20])
		clear(b[24:32])
		clear(b[40:44])
		clear(b[92:100])
	}
	for at := 0; at < len(got); at += 512 {
		if !bytes.Equal(got[at:at+512], want[at:at+512]) {
			t.Errorf("%s: the image differs at %d", what, at)
			return
		}
	}
}

// Every point of a random run gives back what the database was at it: written to a file, byte for byte, and
// over the database next to open connections.
func TestEveryPointIsRestored(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "data.db")
			writeFile(t, path, nil)
			app := testdb.StartChurn(t, path, 2, "PRAGMA journal_mode="+mode)
			app.Exec(0, testdb.ChurnSchema)
			rng := rand.New(rand.NewPCG(14, uint64(len(mode))))
			b := benchOn(t, path)
			base := b.auto()
			c := startCaptures(t, b.m, base)
			for i := range 40 {
				app.Work(rng)
				c.capture()
				if i%9 == 8 {
					must(t, c.log.Seal())
				}
			}
			list, next, err := b.m.Points(t.Context(), snapshot.PointsQuery{})
			must(t, err)
			var listed []string
			for _, p := range list {
				if p.Kind == snapshot.PointChange {
					listed = append(listed, p.ID)
				}
			}
			slices.Reverse(listed)
			if !slices.Equal(listed, c.ids) || next != "" || list[len(list)-1].ID != base.ID {
				t.Fatalf("listed %v, captured %v", listed, c.ids)
			}
			for _, id := range c.ids {
				to := filepath.Join(t.TempDir(), "restored.db")
				done, err := b.m.Restore(t.Context(), id, snapshot.RestoreOptions{To: to})
				if err != nil || done.Restored != id {
					t.Fatalf("%s: %+v, %v", id, done, err)
				}
				if !bytes.Equal(readFile(t, to), c.images[id]) {
					t.Fatalf("%s: the file is not what was captured", id)
				}
			}
			rng.Shuffle(len(c.ids), func(i, j int) { c.ids[i], c.ids[j] = c.ids[j], c.ids[i] })
			for _, id := range c.ids[:8] {
				app.Exec(0, "INSERT INTO t(a, b) VALUES(1, 'gone again')")
				before := liveImage(t, path)
				done, err := b.m.Restore(t.Context(), id, snapshot.RestoreOptions{})
				if err != nil || done.Method != snapshot.Online || done.SafetyBackup == nil {
					t.Fatalf("%s: %+v, %v", id, done, err)
				}
				isImage(t, "restored "+id, liveImage(t, path), c.images[id])
				if got := stored(t, b.m, *done.SafetyBackup); !bytes.Equal(got, before) {
					t.Errorf("%s: the safety backup is not what was replaced", id)
				}
				var n int
				must(t, testdb.Open(t, path).QueryRow("SELECT count(*) FROM t").Scan(&n))
			}
			t.Logf("%d points", len(listed))
		})
	}
}

// stored is the image inside a backup.
func stored(t testing.TB, m *snapshot.Manager, id string) []byte {
	t.Helper()
	b, err := m.Find(id)
	must(t, err)
	r, err := archive.Open(m.ArchivePath(b))
	must(t, err)
	defer r.Close()
	var image bytes.Buffer
	must(t, r.CopyTo(t.Context(), &image, archive.CopyOptions{}))
	return image.Bytes()
}

// captured is a bench with some points that follow a backup, in WAL mode.
func captured(t *testing.T, n int) (*bench, *captor, snapshot.Backup) {
	t.Helper()
	b := newBench(t, "wal")
	base := b.auto()
	c := startCaptures(t, b.m, base)
	for i := range n {
		b.mark(fmt.Sprintf("mark %d", i+1))
		c.capture()
	}
	return b, c, base
}

// What a restore of a point leaves behind is what one of a backup does: the state, a new timeline, and an undo.
func TestAPointIsRestoredLikeABackup(t *testing.T) {
	t.Parallel()
	for _, offline := range []bool{false, true} {
		t.Run(fmt.Sprintf("offline %v", offline), func(t *testing.T) {
			t.Parallel()
			b, c, base := captured(t, 5)
			id := c.ids[2]
			plan, err := b.m.PlanRestore(t.Context(), id)
			if err != nil || plan.Backup.ID != id || plan.LosesSince == nil || !plan.SafetyBackup {
				t.Fatalf("%+v, %v", plan, err)
			}
			must(t, b.m.PlanHolds(plan))
			c.stop() // the connection between looks
			done, err := b.m.Restore(t.Context(), id, snapshot.RestoreOptions{Offline: offline, Plan: &plan})
			if err != nil || done.Restored != id || (done.Method == snapshot.Swap) != offline {
				t.Fatalf("%+v, %v", done, err)
			}
			if got := b.marked(); got != "mark 3" {
				t.Errorf("restored %q", got)
			}
			state, err := b.m.State()
			must(t, err)
			now := state.Timeline
			if now == nil || now.Number != base.Timeline.Number+1 || now.Cause != catalog.Restored || now.From != base.ID || now.Point != id {
				t.Errorf("the timeline is %+v", now)
			}
			if last := state.LastRestore; last == nil || last.ID != id || last.Base != base.ID || last.Safety != *done.SafetyBackup {
				t.Errorf("the last restore is %+v", last)
			}
			if ev := b.rec.of(snapshot.EventRestored); len(ev) != 1 || !strings.Contains(ev[0].Message, id) || ev[0].Backup != id {
				t.Errorf("events: %+v", ev)
			}
			undo, err := b.m.Replaced()
			must(t, err)
			if _, err := b.m.Restore(t.Context(), undo.ID, snapshot.RestoreOptions{}); err != nil || b.marked() != "mark 5" {
				t.Errorf("undone: %q, %v", b.marked(), err)
			}
			// The points of the timeline before are still there.
			if _, err := b.m.Restore(t.Context(), c.ids[0], snapshot.RestoreOptions{}); err != nil || b.marked() != "mark 1" {
				t.Errorf("restored again: %q, %v", b.marked(), err)
			}
		})
	}
}

// A point is read and drilled as a backup is, and is nothing that can be deleted, pinned or noted.
func TestAPointIsReadLikeABackup(t *testing.T) {
	t.Parallel()
	b, c, _ := captured(t, 3)
	id := c.ids[1]
	if got := b.markIn(id); got != "mark 2" {
		t.Errorf("in it: %q", got)
	}
	tables, err := b.m.Tables(t.Context(), id)
	if err != nil || len(tables) == 0 {
		t.Errorf("tables: %v, %v", tables, err)
	}
	out, err := b.m.Drill(t.Context(), id)
	if err != nil || out.ID != id || out.Verdict != "healthy" {
		t.Errorf("drill: %+v, %v", out, err)
	}
	if state, err := b.m.State(); err != nil || state.LastDrill == nil || state.LastDrill.ID != id {
		t.Errorf("%+v, %v", state.LastDrill, err)
	}
	if e, err := b.m.Verify(t.Context(), id, snapshot.LevelFull); err != nil || e.ID != id || e.Verification.State != catalog.Verified || e.Verification.Level != "full" {
		t.Errorf("verify: %+v, %v", e.Verification, err)
	}
	for what, err := range map[string]error{
		"delete": b.m.Delete(t.Context(), []string{id}, true), "pin": last(b.m.SetPinned(t.Context(), id, true)),
		"note": last(b.m.SetNote(t.Context(), id, "x")), "none": last(b.m.Find("1.99")), "other timeline": last(b.m.Find("7.1")),
	} {
		if !errors.Is(err, snapshot.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A time finds the newest point at or before it; where it came twice, both.
func TestPointAt(t *testing.T) {
	t.Parallel()
	b, c, base := captured(t, 3)
	list, _, err := b.m.Points(t.Context(), snapshot.PointsQuery{})
	must(t, err)
	for i, p := range list {
		for _, d := range []time.Duration{0, time.Nanosecond} {
			if got, err := b.m.PointAt(t.Context(), p.At.Add(d)); err != nil || got.ID != p.ID {
				t.Errorf("%d at %s: %s, %v", i, p.At.Add(d), got.ID, err)
			}
		}
	}
	if p, err := b.m.PointAt(t.Context(), base.CreatedAt.Add(-time.Second)); !errors.Is(err, snapshot.ErrNotFound) {
		t.Errorf("before all: %s, %v", p.ID, err)
	}
	if _, err := b.m.PointAt(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Error(err)
	}
	// The clock is set back by an hour.
	b.mark("set back")
	out, err := c.chain.Capture(t.Context(), func() time.Time { return base.CreatedAt.Add(-time.Hour) })
	must(t, err)
	var twice *snapshot.PointsAmbiguous
	_, err = b.m.PointAt(t.Context(), list[0].At)
	if err != nil {
		t.Errorf("after all that is dated later: %v", err)
	}
	b.mark("on time again")
	out, err = c.chain.Capture(t.Context(), func() time.Time { return list[0].At.Add(time.Minute) })
	must(t, err)
	_, err = b.m.PointAt(t.Context(), list[1].At)
	if !errors.As(err, &twice) || len(twice.Points) != 2 || twice.Points[0].ID != list[1].ID || twice.Points[1].ID != catalog.PointID(1, out.Capture.Seq-1) {
		t.Errorf("%v", err)
	}
}

// Pages of the list go on where the one before ended, within the bounds.
func TestPointsArePaged(t *testing.T) {
	t.Parallel()
	b, c, base := captured(t, 5)
	all, _, err := b.m.Points(t.Context(), snapshot.PointsQuery{})
	must(t, err)
	var got []string
	for q := (snapshot.PointsQuery{Limit: 2}); ; {
		page, next, err := b.m.Points(t.Context(), q)
		must(t, err)
		for _, p := range page {
			got = append(got, p.ID)
		}
		if q.Cursor = next; next == "" {
			break
		}
	}
	if want := append([]string{base.ID}, c.ids...); len(got) != 6 || !slices.Equal(reversed(got), want) {
		t.Errorf("%v", got)
	}
	some, next, err := b.m.Points(t.Context(), snapshot.PointsQuery{From: all[3].At, To: all[1].At})
	if err != nil || next != "" || len(some) != 3 || some[0].ID != all[1].ID || some[2].ID != all[3].ID {
		t.Errorf("%v, %q, %v", some, next, err)
	}
	if _, _, err := b.m.Points(t.Context(), snapshot.PointsQuery{Cursor: "9.9"}); !errors.Is(err, snapshot.ErrNotFound) {
		t.Error(err)
	}
}

func reversed(s []string) []string {
	s = slices.Clone(s)
	slices.Reverse(s)
	return s
}

// What ends a restore of a point early leaves everything as it was.
func TestARestoreOfAPointIsCancelled(t *testing.T) {
	t.Parallel()
	b, c, _ := captured(t, 3)
	before, files := liveImage(t, b.m.Database()), b.stored()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.m.Restore(ctx, c.ids[0], snapshot.RestoreOptions{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if !bytes.Equal(liveImage(t, b.m.Database()), before) || b.stored() != files {
		t.Error("something was changed")
	}
}
