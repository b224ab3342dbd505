package snapshot_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost: an application's start, when nothing has been backed up yet; or the
// promise that Open creates nothing.
func TestOpenTouchesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	if _, err := os.Stat(b.m.Dir()); !os.IsNotExist(err) {
		t.Errorf("Open made the backup directory: %v", err)
	}
	if b.m.Dir() != filepath.Join(filepath.Dir(b.m.Database()), "backups") {
		t.Errorf("default directory %s", b.m.Dir())
	}
	b.several(2)
	before, app := b.stored(), b.appFiles()
	b.reopen()
	if b.stored() != before || b.appFiles() != app {
		t.Errorf("Open changed something:\n%s\nbefore:\n%s", b.stored(), before)
	}
}

// Lost: time, searching for a typing error in a configuration.
func TestOpenRefusesBadConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := filepath.Join(dir, "data.db")
	makeDatabase(t, db, "delete")
	for name, c := range map[string]snapshot.Config{
		"no database":             {},
		"a directory as database": {Database: dir},
		"a directory not there":   {Database: filepath.Join(dir, "no", "data.db")},
		"a file as directory":     {Database: db, Dir: db},
		"cron":                    {Database: db, Cron: "every day"},
		"on-missing":              {Database: db, OnMissing: "panic"},
		"compression":             {Database: db, Compression: "zip"},
		"a device":                {Database: os.DevNull},
	} {
		m, err := snapshot.Open(t.Context(), c)
		if err == nil || m != nil || !strings.HasPrefix(err.Error(), "open: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := snapshot.Open(t.Context(), snapshot.Config{Database: dir})
	if err == nil || snapshot.Hint(err) == "" || !strings.Contains(err.Error(), dir) {
		t.Errorf("a directory: %v (hint %q)", err, snapshot.Hint(err))
	}
}

// Lost: what a text file held, or the message that it is none.
func TestTextFileAsDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "letter.txt")
	text := []byte(strings.Repeat("Dear customer, this is no database.\n", 300))
	writeFile(t, path, text)
	b := benchOn(t, path)
	if _, err := b.m.Backup(t.Context(), snapshot.Manual("")); !errors.Is(err, snapshot.ErrCorrupt) || !strings.Contains(err.Error(), "begins with text") {
		t.Errorf("backup: %v", err)
	}
	if rec, err := b.m.Recover(t.Context()); !errors.Is(err, snapshot.ErrNoUsableBackup) || rec.Verdict != integrity.NotADatabase {
		t.Errorf("recover: %+v %v", rec, err)
	}
	if !bytes.Equal(readFile(t, path), text) {
		t.Error("the file was changed")
	}
}

// Lost: all backups, with the list of them.
func TestOpenRebuildsDamagedCatalog(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, path string){
		"cut in half": func(t *testing.T, path string) { testdb.CutAt(t, path, size(t, path)/2) },
		"emptied":     func(t *testing.T, path string) { testdb.CutAt(t, path, 0) },
		"noise":       func(t *testing.T, path string) { testdb.Overwrite(t, path, 0, []byte("\x00\xffnoise")) },
		"gone": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "wal")
			b.several(2)
			b.backup(snapshot.Request{Kind: catalog.Manual, Trigger: catalog.TriggerManual, Note: "kept", Pin: true})
			ids := b.ids()
			path := filepath.Join(b.m.Dir(), "catalog.json")
			damage(t, path)
			var damaged []byte
			if name != "gone" {
				damaged = readFile(t, path)
			}
			b.rec.forget()
			b.reopen()
			if got := b.ids(); !slices.Equal(got, ids) {
				t.Errorf("after the rebuild %v, had %v", got, ids)
			}
			aside := glob(t, b.m.Dir(), "catalog.json.damaged-*")
			if name != "gone" && (len(aside) != 1 || !bytes.Equal(readFile(t, filepath.Join(b.m.Dir(), aside[0])), damaged)) {
				t.Errorf("the damaged catalog was not kept: %v", aside)
			}
			if len(b.rec.of(snapshot.EventReconciled)) == 0 {
				t.Error("the rebuild is not reported")
			}
			e, err := b.m.Find(ids[0])
			if err != nil || e.Verification.State != catalog.Unverified || e.Note != "kept" || !e.Pinned {
				t.Errorf("the manual backup is now %+v %v", e, err)
			}
			next := b.manual()
			if next.Seq <= e.Seq {
				t.Errorf("seq %d after %d", next.Seq, e.Seq)
			}
		})
	}
}

// Lost: archives that were copied back, or the knowledge that some are gone.
func TestOpenSeesWhatIsThere(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	made := b.several(3)
	away := readFile(t, b.m.ArchivePath(made[0]))
	if err := b.m.Delete(t.Context(), []string{made[0].ID}, false); err != nil {
		t.Fatal(err)
	}
	writeFile(t, b.m.ArchivePath(made[0]), away)
	if err := os.Remove(b.m.ArchivePath(made[2])); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(b.m.Dir(), "holiday.db.zst"), []byte("not one of ours"))
	b.reopen()
	if got, want := b.ids(), []string{made[1].ID, made[0].ID}; !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
	if e, err := b.m.Find(made[0].ID); err != nil || e.Verification.State != catalog.Unverified || e.ImageBLAKE3 != made[0].ImageBLAKE3 {
		t.Errorf("the archive that appeared: %+v %v", e, err)
	}
	if b.latest() != made[1].File {
		t.Errorf("latest is %s", b.latest())
	}
	if len(glob(t, b.m.Dir(), "holiday.db.zst")) != 1 {
		t.Error("a foreign file was removed")
	}
	if events := b.rec.of(snapshot.EventReconciled); len(events) < 3 {
		t.Errorf("reported: %+v", events)
	}
}

// Lost: disk space, to what crashes left; or files that are none of ours.
func TestOpenSweepsDebris(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	e := b.manual()
	app := filepath.Dir(b.m.Database())
	debris := []string{
		filepath.Join(b.m.Dir(), durable.TempPrefix+"data_backup_AUTO_20250101_000000.db.zst-0123456789abcdef"),
		filepath.Join(b.m.Dir(), durable.TempPrefix+"spool-0123456789abcdef-journal"),
		filepath.Join(app, durable.TempPrefix+"data.db-0123456789abcdef"),
	}
	others := []string{
		filepath.Join(app, durable.TempPrefix+"other.db-0123456789abcdef"),
		filepath.Join(app, "data.db.tmp"), filepath.Join(b.m.Dir(), "notes.txt"),
	}
	for _, name := range append(debris, others...) {
		writeFile(t, name, []byte("x"))
	}
	b.reopen()
	for _, name := range debris {
		if _, err := os.Stat(name); !os.IsNotExist(err) {
			t.Errorf("not swept: %s", name)
		}
	}
	for _, name := range others {
		if _, err := os.Stat(name); err != nil {
			t.Errorf("swept, and not ours: %v", err)
		}
	}
	if got := b.ids(); !slices.Equal(got, []string{e.ID}) {
		t.Errorf("listed %v", got)
	}
}

// Lost: a catalog of a newer version, overwritten by an older program.
func TestNewerCatalog(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	b.manual()
	path := filepath.Join(b.m.Dir(), "catalog.json")
	text := bytes.Replace(readFile(t, path), []byte(`"version":1`), []byte(`"version":99,"later":true`), 1)
	writeFile(t, path, text)
	before := b.stored()
	_, err := snapshot.Open(t.Context(), b.cfg)
	if !errors.Is(err, catalogfile.ErrVersion) || snapshot.Code(err) != "newer_version" || !strings.Contains(err.Error(), "upgrade") {
		t.Errorf("open: %v (code %s)", err, snapshot.Code(err))
	}
	if _, err := b.m.Backup(t.Context(), snapshot.Manual("")); snapshot.Code(err) != "newer_version" {
		t.Errorf("backup by a running program: %v (code %s)", err, snapshot.Code(err))
	}
	if got := drop(b.stored(), "catalog.json"); !bytes.Equal(readFile(t, path), text) || got != drop(before, "catalog.json") {
		t.Errorf("something was changed:\n%s\nbefore:\n%s", b.stored(), before)
	}
}

// Lost: a good archive of a newer version, called damaged and pruned.
func TestNewerArchive(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	b.mark("older")
	older := b.auto()
	b.mark("newer")
	newer := b.auto()
	raise(t, b.m.ArchivePath(newer))
	b.mark("now")
	before := b.appFiles()
	if _, err := b.m.Restore(t.Context(), newer.ID, snapshot.RestoreOptions{}); !errors.Is(err, snapshot.ErrVersion) || snapshot.Code(err) != "newer_version" {
		t.Errorf("restore: %v (code %s)", err, snapshot.Code(err))
	}
	if _, err := b.m.Verify(t.Context(), newer.ID, 0); !errors.Is(err, snapshot.ErrVersion) {
		t.Errorf("verify: %v", err)
	}
	if _, err := b.m.OpenBackup(t.Context(), newer.ID); !errors.Is(err, snapshot.ErrVersion) {
		t.Errorf("look: %v", err)
	}
	if b.appFiles() != before {
		t.Error("the database was touched")
	}
	b.damage()
	b.recovers(older.ID)
	if e, err := b.m.Find(newer.ID); err != nil || e.Verification.State == catalog.Failed {
		t.Errorf("marked failed: %+v %v", e.Verification, err)
	}
	if err := os.Remove(filepath.Join(b.m.Dir(), "catalog.json")); err != nil {
		t.Fatal(err)
	}
	b.rec.forget()
	b.reopen()
	events := b.rec.of(snapshot.EventReconciled)
	if !slices.ContainsFunc(events, func(e snapshot.Event) bool {
		return strings.Contains(e.Message, newer.File) && strings.Contains(e.Message, "newer")
	}) {
		t.Errorf("an archive that cannot be listed is not reported: %+v", events)
	}
	if len(glob(t, b.m.Dir(), newer.File)) != 1 {
		t.Error("it was removed")
	}
}

// raise makes an archive claim a newer version, as its trailer lays down
// (docs/archive-format.md): BLAKE3 of JSON, length and version; length; version; magic.
func raise(t *testing.T, path string) {
	t.Helper()
	raw := readFile(t, path)
	end := bytes.LastIndex(raw, []byte("SNAPDARC"))
	if end < 40 {
		t.Fatal("no trailer")
	}
	binary.LittleEndian.PutUint32(raw[end-4:], archive.FormatVersion+1)
	length := int(binary.LittleEndian.Uint32(raw[end-8:]))
	h := archive.NewImageHash()
	h.Write(raw[end-40-length : end-40])
	h.Write(raw[end-8 : end])
	copy(raw[end-40:], h.Sum(nil))
	writeFile(t, path, raw)
}

// Lost: the news of what happens, to a host that asked for it.
func TestEventsAndLogTellTheSame(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	b := newBench(t, "wal", func(c *snapshot.Config) { c.Logger = textLogger(&log) })
	e := b.manual()
	b.damage()
	b.recovers(e.ID)
	for _, words := range []string{"database backed up to " + e.File, "database integrity check failed", "the damaged database was kept as corrupted_",
		"database recovered from backup " + e.ID} {
		if !strings.Contains(log.String(), words) {
			t.Errorf("no log line %q in:\n%s", words, log.String())
		}
	}
	for _, ev := range b.rec.of(snapshot.EventBackedUp, snapshot.EventRestored) {
		if time.Since(ev.At) > patience || ev.At.Location() != time.UTC || ev.Backup != e.ID || ev.Path == "" {
			t.Errorf("event %+v", ev)
		}
	}
}
