package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// restores fails the test unless the backup was restored over the database.
func (b *bench) restores(id string, o snapshot.RestoreOptions) snapshot.RestoreResult {
	b.t.Helper()
	res, err := b.m.Restore(b.t.Context(), id, o)
	if err != nil {
		b.t.Fatalf("restore %s: %v", id, err)
	}
	if res.To != b.m.Database() || res.DurationMS < 0 || res.Reason == "" {
		b.t.Errorf("result %+v", res)
	}
	b.sound()
	b.noDebris()
	return res
}

// Lost: yesterday's data when it is wanted back; or today's, when that was a mistake.
func TestRestoreAndUndo(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete", "truncate", "persist"} {
		for _, offline := range []bool{false, true} {
			method := map[bool]snapshot.Method{false: snapshot.Online, true: snapshot.Swap}[offline]
			t.Run(mode+"/"+string(method), func(t *testing.T) {
				b := newBench(t, mode)
				b.mark("yesterday")
				old := b.manual()
				b.exec("CREATE TABLE today(x); INSERT INTO today VALUES(randomblob(300000)); UPDATE accounts SET name = 'today' WHERE id = 1")
				res := b.restores(old.ID, snapshot.RestoreOptions{Offline: offline})
				if res.Restored != old.ID || res.Method != method || res.SafetyBackup == nil {
					t.Fatalf("result %+v", res)
				}
				wantKeys(t, res, "restored", "to", "method", "reason", "safety_backup", "duration_ms")
				if got := b.marked(); got != "yesterday" {
					t.Errorf("mark %q", got)
				}
				checkSafety(t, b, *res.SafetyBackup)
				undo := b.restores(*res.SafetyBackup, snapshot.RestoreOptions{Offline: offline})
				if got := b.marked(); got != "today" || undo.SafetyBackup == nil || b.markIn(*undo.SafetyBackup) != "yesterday" {
					t.Errorf("undone to %q, by %+v", got, undo)
				}
				b.exec("SELECT x FROM today")
				if n := len(b.rec.of(snapshot.EventRestored)); n != 2 {
					t.Errorf("%d restored events", n)
				}
			})
		}
	}
}

// checkSafety holds the backup of what a restore replaced to what it promises.
func checkSafety(t *testing.T, b *bench, id string) {
	t.Helper()
	e, err := b.m.Find(id)
	if err != nil {
		t.Fatal(err)
	}
	if e.Kind != catalog.Auto || e.Trigger != catalog.TriggerPreRestore || !e.Pinned || e.Verification.State != catalog.Verified {
		t.Errorf("safety backup %+v", e)
	}
	if got := b.markIn(id); got != "today" {
		t.Errorf("the safety backup has mark %q", got)
	}
}

// Lost: mode and owner of the application's file, or its journal mode.
func TestRestoreKeepsTheFilesWays(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		for _, offline := range []bool{false, true} {
			b := newBench(t, mode)
			e := b.manual()
			other := map[string]string{"wal": "delete", "delete": "wal"}[mode]
			b.exec("PRAGMA journal_mode=" + other)
			if err := os.Chmod(b.m.Database(), 0o664); err != nil {
				t.Fatal(err)
			}
			b.restores(e.ID, snapshot.RestoreOptions{Offline: offline})
			if st, err := os.Stat(b.m.Database()); err != nil || st.Mode().Perm() != 0o664 {
				t.Errorf("offline %v: mode %v %v", offline, st.Mode(), err)
			}
			// A swapped file is the backup's, byte for byte; online the live mode stays.
			want := map[bool]string{false: other, true: mode}[offline]
			if got := testdb.ShellQuery(t, b.m.Database(), "PRAGMA journal_mode"); got != want {
				t.Errorf("offline %v: journal mode %s, want %s", offline, got, want)
			}
		}
	}
}

// Lost: a backup of another page size, which no transaction can put in place.
func TestRestoreAnotherPageSize(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	b.mark("yesterday")
	old := b.manual()
	b.exec("UPDATE accounts SET name = 'today' WHERE id = 1")
	b.exec("PRAGMA page_size=8192; VACUUM")
	if testdb.PageSize(t, b.m.Database()) != 8192 {
		t.Fatal("the page size did not change: this test shows nothing")
	}
	res := b.restores("latest", snapshot.RestoreOptions{})
	if res.Restored != old.ID || res.Method != snapshot.Swap || res.SafetyBackup == nil || res.Quarantined != "" || res.Reason != "page size 8192 live, 4096 in the backup" {
		t.Fatalf("result %+v", res)
	}
	if testdb.PageSize(t, b.m.Database()) != 4096 || b.marked() != "yesterday" {
		t.Errorf("page size %d, mark %q", testdb.PageSize(t, b.m.Database()), b.marked())
	}
	checkSafety(t, b, *res.SafetyBackup)
}

// Lost: what a restore over a damaged or missing database replaces.
func TestRestoreOverDamaged(t *testing.T) {
	t.Parallel()
	for name, d := range damages {
		for _, mode := range []string{"wal", "delete"} {
			t.Run(mode+"/"+name, func(t *testing.T) {
				b := newBench(t, mode)
				b.mark("saved")
				good := b.manual()
				d.do(t, b.m.Database())
				broken := readFile(t, b.m.Database())
				res := b.restores(good.ID, snapshot.RestoreOptions{})
				if res.Method != snapshot.Swap || b.marked() != "saved" || !strings.HasPrefix(res.Reason, "the database is damaged") {
					t.Errorf("result %+v, mark %q", res, b.marked())
				}
				checkQuarantine(t, b, snapshot.Recovery{Quarantined: &res.Quarantined, Verdict: d.verdict}, broken)
				if res.SafetyBackup != nil {
					t.Errorf("a backup %s of a damaged database", *res.SafetyBackup)
				}
				if b.latest() != good.File {
					t.Errorf("latest is %s", b.latest())
				}
				if s := b.status(); s.State != snapshot.Protected {
					t.Errorf("status %+v", s)
				}
			})
		}
	}
	t.Run("missing", func(t *testing.T) {
		b := newBench(t, "wal")
		b.mark("saved")
		good := b.manual()
		if err := os.Remove(b.m.Database()); err != nil {
			t.Fatal(err)
		}
		res := b.restores(good.ID, snapshot.RestoreOptions{})
		if res.Method != snapshot.Swap || res.SafetyBackup != nil || res.Quarantined != "" || b.marked() != "saved" || res.Reason != "there is no database" {
			t.Errorf("result %+v, mark %q", res, b.marked())
		}
	})
}

// Lost: the database, to a damaged backup.
func TestRestoreOfDamagedBackup(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		for _, o := range []snapshot.RestoreOptions{{}, {Offline: true}, {To: "out.db"}} {
			t.Run(mode, func(t *testing.T) {
				b := newBench(t, mode)
				older := b.auto()
				b.mark("newer")
				bad := b.auto()
				b.damageArchive(bad)
				b.mark("now")
				before := b.appFiles()
				if o.To != "" {
					o.To = filepath.Join(t.TempDir(), o.To)
				}
				_, err := b.m.Restore(t.Context(), bad.ID, o)
				if !errors.Is(err, snapshot.ErrCorrupt) || snapshot.Code(err) != "corrupt" || !strings.Contains(err.Error(), bad.ID) {
					t.Errorf("got %v (code %s)", err, snapshot.Code(err))
				}
				if after := b.appFiles(); after != before {
					t.Errorf("the database was touched:\n%s\nbefore:\n%s", after, before)
				}
				if o.To != "" && len(glob(t, filepath.Dir(o.To), "*")) > 0 {
					t.Errorf("left behind: %v", glob(t, filepath.Dir(o.To), "*"))
				}
				b.noDebris()
				// It has been proven bad: it must not count as protection any longer.
				if e, err := b.m.Find(bad.ID); err != nil || e.Verification.State != catalog.Failed || b.latest() != older.File {
					t.Errorf("the damaged backup still counts: %+v %v, latest %s", e.Verification, err, b.latest())
				}
			})
		}
	}
}

// Lost: the database, to a backup without a proof.
func TestRestoreProvesUnverifiedBackup(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	b.mark("saved")
	good := b.manual()
	const bad = "data_backup_MANUAL_20300101_000000"
	image := readFile(t, b.m.Database())
	clear(image[3*4096 : 4*4096])
	packArchive(t, filepath.Join(b.m.Dir(), bad+".db.zst"), image, good.Seq+1)
	if _, err := b.m.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.mark("now")
	before := b.appFiles()
	if _, err := b.m.Restore(t.Context(), bad, snapshot.RestoreOptions{}); !errors.Is(err, snapshot.ErrCorrupt) {
		t.Errorf("restore of an unproven image: %v", err)
	}
	if b.appFiles() != before {
		t.Error("the database was touched")
	}
	b.restores(good.ID, snapshot.RestoreOptions{})
	if e, err := b.m.Find(good.ID); err != nil || e.Verification.State != catalog.Verified || b.marked() != "saved" {
		t.Errorf("after the proof: %+v %v, mark %q", e.Verification, err, b.marked())
	}
}

// Lost: files outside the backup directory, to an id that is a path.
func TestUnknownIDs(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	e := b.manual()
	secret := filepath.Join(filepath.Dir(b.m.Dir()), "secret.db.zst")
	writeFile(t, secret, readFile(t, b.m.ArchivePath(e)))
	before := b.stored()
	for _, id := range []string{"", ".", "..", "../secret", "../../etc/passwd", "/etc/passwd", e.ID + "x", e.File + "x", "./" + e.ID, "backups/" + e.ID, "a\x00b", strings.Repeat("x", 5000)} {
		calls := map[string]error{
			"delete": b.m.Delete(t.Context(), []string{id}, true),
		}
		_, calls["restore"] = b.m.Restore(t.Context(), id, snapshot.RestoreOptions{To: filepath.Join(t.TempDir(), "out")})
		_, calls["find"] = b.m.Find(id)
		_, calls["verify"] = b.m.Verify(t.Context(), id, 0)
		_, calls["open"] = b.m.OpenBackup(t.Context(), id)
		_, calls["pin"] = b.m.SetPinned(t.Context(), id, true)
		_, calls["note"] = b.m.SetNote(t.Context(), id, "x")
		for what, err := range calls {
			if !errors.Is(err, snapshot.ErrNotFound) || snapshot.Code(err) != "not_found" {
				t.Errorf("%s %.40q: %v", what, id, err)
			}
		}
	}
	if b.stored() != before {
		t.Error("the backup directory was touched")
	}
	empty := newBench(t, "wal")
	if _, err := empty.m.Restore(t.Context(), "latest", snapshot.RestoreOptions{}); !errors.Is(err, snapshot.ErrNotFound) {
		t.Errorf("latest of nothing: %v", err)
	}
}

// Lost: a file that is needed, overwritten by a restore to a path; or the
// restored file, damaged by sidecars next to it.
func TestRestoreToPath(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	e := b.manual()
	image := readFile(t, b.m.Database())
	b.mark("now")
	app, stored := b.appFiles(), b.stored()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	to := func(path string, overwrite bool) error {
		_, err := b.m.Restore(t.Context(), e.ID, snapshot.RestoreOptions{To: path, Overwrite: overwrite})
		return err
	}

	res, err := b.m.Restore(t.Context(), e.ID, snapshot.RestoreOptions{To: at("out.db")})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readFile(t, at("out.db")), image) {
		t.Error("the file is not the image")
	}
	if st, err := os.Stat(at("out.db")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v %v: a backup is private", st.Mode(), err)
	}
	if res.Method != snapshot.File || res.To != at("out.db") || res.SafetyBackup != nil || res.Restored != e.ID {
		t.Errorf("result %+v", res)
	}

	writeFile(t, at("taken"), []byte("precious"))
	refused(t, "an existing file", to(at("taken"), false))
	if got := readFile(t, at("taken")); string(got) != "precious" {
		t.Error("an existing file was overwritten")
	}
	if err := to(at("taken"), true); err != nil || !bytes.Equal(readFile(t, at("taken")), image) {
		t.Errorf("overwrite: %v", err)
	}
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		writeFile(t, at("side"+suffix+".db"+suffix), []byte("x"))
		refused(t, "next to a "+suffix, to(at("side"+suffix+".db"), true))
	}
	if err := os.Symlink(b.m.Database(), at("link")); err != nil {
		t.Fatal(err)
	}
	for what, path := range map[string]string{
		"the database itself": b.m.Database(), "a link to the database": at("link"), "a directory": dir,
		"the database's log": b.m.Database() + "-wal", "the database's journal": b.m.Database() + "-journal",
		"the catalog": filepath.Join(b.m.Dir(), "catalog.json"), "a backup": b.m.ArchivePath(e),
		"the latest link": filepath.Join(b.m.Dir(), "data_latest.db.zst"),
	} {
		refused(t, what, to(path, true))
	}
	if err := to(at("no/such/dir.db"), false); err == nil || errors.Is(err, fs.ErrExist) {
		t.Errorf("into a directory that is not there: %v", err)
	}
	if b.appFiles() != app || b.stored() != stored {
		t.Error("the database or its backups were touched")
	}
	if got := glob(t, dir, "*"); !slices.Equal(got, []string{"link", "out.db", "side-journal.db-journal", "side-shm.db-shm", "side-wal.db-wal", "taken"}) {
		t.Errorf("in the directory: %v", got)
	}
	if left := glob(t, dir, ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func refused(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, snapshot.ErrRefused) || snapshot.Code(err) != "refused" || snapshot.Hint(err) == "" {
		t.Errorf("%s: got %v (code %s, hint %q), want a refusal", what, err, snapshot.Code(err), snapshot.Hint(err))
	}
}

// Lost: a host's connection pool, left closed or left open at the wrong time.
func TestSwapHooks(t *testing.T) {
	t.Parallel()
	var calls []string
	var before, after error
	b := newBench(t, "wal", func(c *snapshot.Config) {
		c.BeforeSwap = func(context.Context) error { calls = append(calls, "before"); return before }
		c.AfterSwap = func(ctx context.Context) error {
			calls = append(calls, "after")
			return errors.Join(after, ctx.Err())
		}
	})
	b.mark("saved")
	e := b.manual()
	b.mark("now")
	try := func(o snapshot.RestoreOptions) error {
		calls = nil
		_, err := b.m.Restore(t.Context(), e.ID, o)
		return err
	}
	unchanged := func(what string) {
		t.Helper()
		if got := b.marked(); got != "now" {
			t.Errorf("%s: the database has mark %q", what, got)
		}
		b.noDebris()
	}
	sick := errors.New("the pool does not close")

	before = sick
	if err := try(snapshot.RestoreOptions{Offline: true}); !errors.Is(err, sick) || !slices.Equal(calls, []string{"before"}) {
		t.Errorf("BeforeSwap failed: %v, calls %v", err, calls)
	}
	unchanged("BeforeSwap failed")

	before = nil
	app, err := samplecrm.Open(b.m.Database(), "")
	if err == nil {
		err = app.Ping()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := try(snapshot.RestoreOptions{Offline: true}); !errors.Is(err, snapshot.ErrBusy) || !slices.Equal(calls, []string{"before", "after"}) {
		t.Errorf("in use: %v, calls %v", err, calls)
	}
	app.Close()
	unchanged("in use")

	after = sick
	if err := try(snapshot.RestoreOptions{Offline: true}); !errors.Is(err, sick) || !slices.Equal(calls, []string{"before", "after"}) {
		t.Errorf("AfterSwap failed: %v, calls %v", err, calls)
	}
	if b.marked() != "saved" { // the restore stands; the host gets the error of its pool
		t.Errorf("mark %q", b.marked())
	}

	after = nil
	b.mark("now")
	if err := try(snapshot.RestoreOptions{}); err != nil || len(calls) != 0 {
		t.Errorf("online: %v, calls %v", err, calls)
	}
	b.mark("now")
	if err := try(snapshot.RestoreOptions{Offline: true}); err != nil || !slices.Equal(calls, []string{"before", "after"}) || b.marked() != "saved" {
		t.Errorf("offline: %v, calls %v, mark %q", err, calls, b.marked())
	}
}

// Lost: the database, to a restore that the user stopped.
func TestCancelledRestoreChangesNothing(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		for offline, phases := range map[bool][]string{false: {"prove", "check", "compress", "write"}, true: {"unpack", "check", "compress"}} {
			for _, phase := range phases {
				t.Run(fmt.Sprintf("%s/offline %v/%s", mode, offline, phase), func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					armed := false
					b := newBench(t, mode, func(c *snapshot.Config) {
						c.OnEvent = func(e snapshot.Event) {
							if armed && string(e.Phase) == phase {
								cancel()
							}
						}
					})
					e := b.manual()
					b.mark("now")
					armed = true
					if _, err := b.m.Restore(ctx, e.ID, snapshot.RestoreOptions{Offline: offline}); !errors.Is(err, context.Canceled) {
						t.Fatalf("got %v", err)
					}
					if got := b.marked(); got != "now" {
						t.Errorf("mark %q", got)
					}
					b.sound()
					b.noDebris()
				})
			}
		}
	}
}

// Lost: which backup was meant by a time.
func TestAt(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "wal")
		first := b.manual()
		sleepHours(3)
		b.mark("x")
		second := b.manual()
		for _, c := range []struct {
			name string
			at   int // minutes after the first
			want string
		}{{"before all", -1, ""}, {"the first's own time", 0, first.ID}, {"between", 179, first.ID}, {"after all", 181, second.ID}} {
			got, err := b.m.PointAt(t.Context(), first.CreatedAt.Add(minutes(c.at)))
			if got.ID != c.want || (err == nil) != (c.want != "") || err != nil && !errors.Is(err, snapshot.ErrNotFound) {
				t.Errorf("%s: %q %v", c.name, got.ID, err)
			}
		}
	})
}
