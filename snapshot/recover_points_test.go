package snapshot_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/capture"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/points"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// captures begins a change log on the backup, as a service does; capture looks at the database, and returns the id of the newest point.
func (b *bench) captures(base snapshot.Backup) (capturing func() string) {
	b.t.Helper()
	r, err := archive.Open(b.m.ArchivePath(base))
	must(b.t, err)
	defer r.Close()
	log, err := changes.Open(points.Directory(b.m.Dir(), base.Timeline.Number), changes.Head{
		Timeline: base.Timeline.Number, Database: "data.db", Base: base.ID, PageSize: base.PageSize, PageSeed: r.Seed().String()})
	must(b.t, err)
	chain, err := capture.Open(b.t.Context(), b.m.Database(), capture.Base{Archive: r, At: base.CreatedAt}, log)
	must(b.t, err)
	b.t.Cleanup(func() { must(b.t, errors.Join(chain.Rest(), log.Close())) })
	return func() string {
		b.t.Helper()
		_, err := chain.Capture(b.t.Context(), time.Now)
		must(b.t, errors.Join(err, chain.Rest()))
		last, _, err := log.Last()
		must(b.t, err)
		return catalog.PointID(base.Timeline.Number, last.Seq)
	}
}

// rots has the disk change the file, without a change of its time stamp, after the backup was made.
func (b *bench) rots(id string, damage func()) {
	b.t.Helper()
	damage()
	b.takenOf(id, time.Hour)
}

// fresh has the newest backup be of the file as it is, written just before: its time stamps alone prove nothing.
func (b *bench) fresh() {
	b.t.Helper()
	latest, err := b.m.Find("latest")
	must(b.t, err)
	b.takenOf(latest.ID, 0)
}

// takenOf has a backup be taken of the file as it is, so long ago.
func (b *bench) takenOf(id string, ago time.Duration) {
	b.t.Helper()
	now, err := livedb.TakeFingerprint(b.m.Database())
	must(b.t, err)
	b.edit(id, func(e *snapshot.Backup) {
		o := catalogfile.OriginOf(*e)
		o.Fingerprint = now
		o.TakenAt = now.TakenAt.Add(ago)
		e.Source, err = json.Marshal(o)
		must(b.t, err)
	})
}

// heals fails the test unless Recover puts so many pages back, and loses nothing.
func (b *bench) heals(from string, pages int64) {
	b.t.Helper()
	p := b.plan()
	if len(p.Options) == 0 || p.Action != snapshot.ActionRepaired || p.Err != nil {
		b.t.Fatalf("plan: %s, %q, %s, %v", p.Action, p.Reason, ways(p), p.Err)
	}
	if o := p.Options[0]; !o.Chosen || !o.Proven || o.Backup == nil || *o.Backup != from || o.RowsLost == nil || *o.RowsLost != 0 || !strings.HasPrefix(o.Loses, "nothing: ") {
		b.t.Errorf("plan: %+v", o)
	}
	if !strings.Contains(p.Reason, "nothing was committed since "+from) {
		b.t.Errorf("reason %q", p.Reason)
	}
	rec := b.repairs()
	if !rec.Repair.Healed || rec.Repair.PutBack != pages || rec.Quarantined == nil {
		b.t.Errorf("%d pages put back, want %d: %+v", rec.Repair.PutBack, pages, rec)
	}
	if len(b.status().Recovered) != 0 {
		b.t.Errorf("something was lost: %+v", b.status().Recovered)
	}
}

// Lost: rows, or work since the backup, where the disk changed pages that every copy of is stored.
func TestRecoverHealsRot(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		for name, damage := range map[string]func(t *testing.T, db string){
			"a page of a table is zero":    func(t *testing.T, db string) { testdb.ZeroPage(t, db, 4) },
			"the root of an index is zero": loseIndexRoot,
			"the schema is gone":           func(t *testing.T, db string) { testdb.Overwrite(t, db, 100, make([]byte, 300)) },
			"a page is another's":          func(t *testing.T, db string) { testdb.SwapPages(t, db, 2, 4) },
		} {
			t.Run(mode+"/"+name, func(t *testing.T) {
				b := newBench(t, mode)
				b.mark("older")
				b.manual()
				b.mark("newest")
				e := b.auto()
				before := readFile(t, b.m.Database())
				b.rots(e.ID, func() { damage(t, b.m.Database()) })
				pages := int64(1)
				if strings.HasSuffix(name, "another's") {
					pages = 2
				}
				b.heals(e.ID, pages)
				if string(readFile(t, b.m.Database())) != string(before) {
					t.Error("the file is not what it was before the disk changed it")
				}
			})
		}
	}
}

// Lost: commits, to an image that is older than they are.
func TestRecoverHealsOnlyWhatIsProvenUnchanged(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	e := b.auto()
	b.mark("committed since")
	loseIndexRoot(t, b.m.Database())
	if rec := b.repairs(); rec.Repair.Healed || b.marked() != "committed since" {
		t.Errorf("%+v; %s is %q", rec.Repair, e.ID, b.marked())
	}
}

// Lost: a damaged backup of the very state, which heals nothing, and the way out that there is.
func TestRecoverHealsByASoundImageOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	e := b.auto()
	b.rots(e.ID, func() { loseIndexRoot(t, b.m.Database()) })
	b.damageArchive(e)
	if rec := b.repairs(); rec.Repair.Healed {
		t.Errorf("%+v", rec.Repair)
	}
}

// Lost: the commits of the last hours, where every page of them is in the change log, and the log of the database ends
// where it did at the last capture.
func TestRecoverHealsRotFromTheChangeLog(t *testing.T) {
	t.Parallel()
	for name, since := range map[string]string{"captured": "", "and one commit more": "UPDATE accounts SET name = 'not captured' WHERE id = 1",
		"and one commit more, left as zeros by the disk": "UPDATE accounts SET name = 'not captured' WHERE id = 1"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "wal")
			base := b.auto()
			capturing := b.captures(base)
			app := startPython(t, b.m.Database(), "5")
			app.ask("UPDATE accounts SET name = 'captured' WHERE id = 1")
			point := capturing()
			end := int64(len(readFile(t, b.m.Database()+"-wal")))
			if since != "" {
				app.ask(since)
			}
			app.kill()
			if strings.Contains(name, "zeros") {
				wal := b.m.Database() + "-wal"
				testdb.Overwrite(t, wal, end, make([]byte, len(readFile(t, wal))-int(end)))
			}
			b.damage()
			if since == "" {
				b.heals(point, 1)
			} else if rec := b.recovers(point); rec.LosesSince.Before(base.CreatedAt) {
				t.Errorf("%+v", rec)
			}
			if got := b.marked(); got != "captured" {
				t.Errorf("mark %q", got)
			}
		})
	}
}

// Lost: half a day, to the newest backup, where a point of the change log is seconds old.
func TestRecoverPrefersTheNewestPoint(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		for name, damage := range map[string]func(*bench){"damaged": (*bench).damage, "missing": (*bench).remove} {
			t.Run(mode+"/"+name, func(t *testing.T) {
				b := newBench(t, mode)
				capturing := b.captures(b.auto())
				var point string
				for n := range 3 {
					b.mark(fmt.Sprintf("captured %d", n))
					point = capturing()
				}
				at := time.Now()
				b.mark("not captured")
				damage(b)
				if s := b.status(); s.Recovery == nil || len(s.Recovery.Options) == 0 || *s.Recovery.Options[len(s.Recovery.Options)-1].Backup != point {
					t.Errorf("status: %+v", s.Recovery)
				}
				p := b.plan()
				if p.Action != snapshot.ActionRestored || *p.Options[0].Backup != point || p.Options[0].LosesSince == nil || !strings.Contains(p.Reason, "newest recovery point") {
					t.Fatalf("plan %s, %q, %s", p.Action, p.Reason, ways(p))
				}
				if since := *p.Options[0].LosesSince; since.After(at) || at.Sub(since) > time.Minute {
					t.Errorf("loses since %s", since)
				}
				b.recovers(point)
				if got := b.marked(); got != "captured 2" {
					t.Errorf("mark %q", got)
				}
				if len(b.status().Recovered) != 1 {
					t.Errorf("%+v", b.status().Recovered)
				}
				b.auto()
			})
		}
	}
}

// Lost: a sound state, to points that were captured of a database that was damaged already.
func TestRecoverPassesDamagedPointsOver(t *testing.T) {
	t.Parallel()
	for _, after := range []int{1, 2, 5} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			b := newBench(t, "delete")
			capturing := b.captures(b.auto())
			b.mark("older")
			capturing()
			b.mark("sound")
			sound := capturing()
			b.damage()
			for n := range after {
				b.mark(fmt.Sprintf("after the damage %d", n))
				capturing()
			}
			p := b.plan()
			if p.Action != snapshot.ActionRestored || *p.Options[0].Backup != sound || !strings.Contains(p.Reason, fmt.Sprintf("%d newer recovery points are not sound", after)) {
				t.Errorf("plan %s of %s, %q", p.Action, *p.Options[0].Backup, p.Reason)
			}
			b.recovers(sound)
			if got := b.marked(); got != "sound" {
				t.Errorf("mark %q", got)
			}
		})
	}
}

// Lost: the database, where the change log cannot be read; the backup that it builds on is still there.
func TestRecoverGoesOnWithoutTheChangeLog(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	base := b.auto()
	capturing := b.captures(base)
	b.mark("captured")
	capturing()
	b.damage()
	testdb.FlipByte(t, filepath.Join(points.Directory(b.m.Dir(), base.Timeline.Number), "open.chg"), 40)
	b.recovers(base.ID)
}

// Lost: every commit since the backup, where the catalog was lost, too: a backup whose proof is not known any more is one that
// recovery proves itself, and so are the points that it leads to.
func TestRecoverTakesPointsWhereTheCatalogIsLost(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	base := b.auto()
	capturing := b.captures(base)
	app := startPython(t, b.m.Database(), "5")
	app.ask("UPDATE accounts SET name = 'captured' WHERE id = 1")
	point := capturing()
	app.ask("UPDATE accounts SET name = 'not captured' WHERE id = 1")
	app.kill()
	b.damage()
	if err := os.Remove(filepath.Join(b.m.Dir(), "catalog.json")); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	if p := b.plan(); len(p.Options) == 0 || p.Options[0].Backup == nil || *p.Options[0].Backup != point {
		t.Errorf("plan: %s", ways(p))
	}
	rec, err := b.m.Recover(t.Context())
	if err != nil || rec.Restored == nil || *rec.Restored != point || b.marked() != "captured" {
		t.Errorf("%+v, %v: marked %q, want point %s", rec, err, b.marked(), point)
	}
}

// Lost: the way past a change log that cannot be read, which a recovery does not choose by itself.
func TestRecoverNamesTheWayPastAnUnreadableChangeLog(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	b.auto()
	b.damage()
	writeFile(t, filepath.Join(b.m.Dir(), "changes"), []byte("no directory"))
	_, err := b.m.Recover(t.Context())
	if err == nil || !strings.Contains(snapshot.Hint(err), "restore latest") {
		t.Errorf("%v; hint %q", err, snapshot.Hint(err))
	}
	b.restores("latest", snapshot.RestoreOptions{})
}
