package catalogfile_test

import (
	"bytes"
	"context"
	"crypto/rand"
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
	"example.com/snapd/internal/catalogfile"
)

var start = time.Date(2025, 10, 31, 12, 0, 0, 0, time.UTC)

// open opens the catalog of data.db in dir.
func open(t testing.TB, dir string) *catalogfile.Catalog {
	t.Helper()
	c, err := catalogfile.Open(dir, "data")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func entries(t testing.TB, c *catalogfile.Catalog) []catalog.Entry {
	t.Helper()
	list, err := c.Entries()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func update(t testing.TB, c *catalogfile.Catalog, fn func(tx *catalogfile.Tx) error) {
	t.Helper()
	if err := c.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, c *catalogfile.Catalog, id string) catalog.Entry {
	t.Helper()
	e, err := c.Get(id)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// storeArchive writes an archive of one random page under id.
func storeArchive(t testing.TB, dir, id string, facts archive.Facts) archive.Info {
	t.Helper()
	return storeArchiveOf(t, dir, id, 0, facts)
}

// storeArchiveOf makes the archive of a directory whose page digests have that seed.
func storeArchiveOf(t testing.TB, dir, id string, seed archive.Seed, facts archive.Facts) archive.Info {
	t.Helper()
	if facts.Database == "" {
		facts.Database = "data.db"
	}
	var buf bytes.Buffer
	w, err := archive.NewWriter(&buf, archive.WriterOptions{PageSize: 512, Workers: 1, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	page := make([]byte, 512)
	rand.Read(page)
	if _, err := w.Write(page); err != nil {
		t.Fatal(err)
	}
	info, err := w.Finish(facts)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, id+archive.Ext), buf.Bytes())
	return info
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// backup stores an archive and its entry the way a backup does.
func backup(t testing.TB, c *catalogfile.Catalog, kind catalog.Kind, state catalog.VerifyState, at time.Time) catalog.Entry {
	t.Helper()
	id, _, err := c.NewFile(kind, at)
	if err != nil {
		t.Fatal(err)
	}
	var seq uint64
	update(t, c, func(tx *catalogfile.Tx) error { seq = tx.NextSeq(); return nil })
	trigger := catalog.TriggerSchedule
	if kind == catalog.Manual {
		trigger = catalog.TriggerManual
	}
	info := storeArchive(t, c.Dir(), id, archive.Facts{Seq: seq, Kind: string(kind), Trigger: string(trigger), CreatedAt: at})
	e := catalogfile.NewEntry(id, info)
	e.Verification = catalog.Verification{State: state, Level: "quick", At: &at}
	update(t, c, func(tx *catalogfile.Tx) error { return tx.Put(e) })
	return e
}

func ids(list []catalog.Entry) string {
	var out []string
	for _, e := range list {
		out = append(out, e.ID)
	}
	return strings.Join(out, " ")
}

// Lost if this fails: backups that one process made, seen by another, in order.
func TestOtherProcessesSeeChanges(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	for i := range 5 {
		e := backup(t, a, catalog.Auto, catalog.Verified, start.Add(time.Duration(i)*time.Hour))
		if got := get(t, b, "latest"); got.ID != e.ID {
			t.Fatalf("latest seen by the other: %s, want %s", got.ID, e.ID)
		}
		// The same size and time stamp tick as the version before.
		update(t, b, func(tx *catalogfile.Tx) error { e.Note = fmt.Sprint("note ", i); return tx.Put(e) })
		if got := get(t, a, e.ID); got.Note != e.Note {
			t.Fatalf("note %q, want %q", got.Note, e.Note)
		}
	}
	if a, b := ids(entries(t, a)), ids(entries(t, b)); a != b || !strings.HasPrefix(a, "data_backup_AUTO_20251031_160000 ") {
		t.Fatalf("lists differ or are not newest first:\n%s\n%s", a, b)
	}
}

// Lost: the JSON of a backup, which scripts read.
func TestEntryJSON(t *testing.T) {
	c := open(t, t.TempDir())
	e := backup(t, c, catalog.Auto, catalog.Verified, start)
	e.Source = json.RawMessage(`{"ino":1}`)
	e.ImageBLAKE3, e.ArchiveBytes = "ab", 7
	update(t, c, func(tx *catalogfile.Tx) error { return tx.Put(e) })
	got, err := json.Marshal(get(t, c, e.ID).Public())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"data_backup_AUTO_20251031_120000","file":"data_backup_AUTO_20251031_120000.db.zst","seq":1,"kind":"auto",` +
		`"trigger":"schedule","created_at":"2025-10-31T12:00:00Z","database_bytes":512,"archive_bytes":7,"page_size":512,"page_count":1,` +
		`"image_blake3":"ab","verification":{"state":"verified","level":"quick","at":"2025-10-31T12:00:00Z","detail":""},` +
		`"pinned":false,"note":"","duration_ms":0,"timeline":{"number":0}}`
	if string(got) != want {
		t.Errorf("entry\n%s\nwant\n%s", got, want)
	}
	if raw := get(t, open(t, c.Dir()), e.ID).Source; string(raw) != `{"ino":1}` {
		t.Errorf("source %s was not kept", raw)
	}
	unverified, _ := json.Marshal(catalog.Verification{State: catalog.Unverified})
	if string(unverified) != `{"state":"unverified","level":"","at":null,"detail":""}` {
		t.Errorf("unverified: %s", unverified)
	}
}

// Lost: a file outside the directory, opened by way of an id.
func TestIDsAreNoPaths(t *testing.T) {
	c := open(t, t.TempDir())
	backup(t, c, catalog.Auto, catalog.Failed, start)
	for _, id := range []string{
		"", ".", "..", "../data", "/etc/passwd", `..\data`, "a/b", "a\x00b", strings.Repeat("a", 300), "\xff",
		"data_latest", "data_backup_AUTO_20251031_120000.db.zst", "catalog.json", "latest",
	} {
		if id == "data_backup_AUTO_20251031_120000.db.zst" {
			// Get takes a file name; see TestNamesOfBackups.
		} else if e, err := c.Get(id); !errors.Is(err, catalogfile.ErrNotFound) {
			t.Errorf("Get(%.20q) = %v, %v", id, e.ID, err)
		}
		if err := c.Delete(t.Context(), id); !errors.Is(err, catalogfile.ErrNotFound) {
			t.Errorf("Delete(%.20q): %v", id, err)
		}
		if err := c.Update(t.Context(), func(tx *catalogfile.Tx) error { return tx.Remove(id) }); !errors.Is(err, catalogfile.ErrNotFound) {
			t.Errorf("Remove(%.20q): %v", id, err)
		}
		e := catalog.Entry{ID: id, File: id + archive.Ext, Kind: catalog.Auto}
		if err := c.Update(t.Context(), func(tx *catalogfile.Tx) error { return tx.Put(e) }); err == nil && id != "catalog.json" && !strings.HasSuffix(id, ".db.zst") {
			t.Errorf("Put(%.20q) was taken", id)
		}
	}
	if _, err := c.Get("latest"); !errors.Is(err, catalogfile.ErrNoVerified) {
		t.Errorf("latest without a verified backup: %v", err)
	}
}

// Lost: a second backup of the same second would overwrite the first.
// Lost: a backup named as a person has it at hand; or, worse, another one than was meant.
func TestNamesOfBackups(t *testing.T) {
	c := open(t, t.TempDir())
	first := backup(t, c, catalog.Auto, catalog.Verified, start)
	second := backup(t, c, catalog.Auto, catalog.Verified, start) // the same second: _2
	manual := backup(t, c, catalog.Manual, catalog.Verified, start)
	for name, want := range map[string]string{
		first.ID: first.ID, first.File: first.ID, second.ID: second.ID, second.File: second.ID,
		"data_backup_M": manual.ID, manual.ID[:len(manual.ID)-1]: manual.ID, "latest": manual.ID,
	} {
		if e, err := c.Get(name); err != nil || e.ID != want {
			t.Errorf("Get(%q) = %q, %v; want %q", name, e.ID, err, want)
		}
	}
	for _, name := range []string{"data", "data_backup_A", first.ID[:len(first.ID)-2]} {
		e, err := c.Get(name)
		if !errors.Is(err, catalogfile.ErrAmbiguous) || !errors.Is(err, catalogfile.ErrNotFound) {
			t.Fatalf("Get(%q) = %q, %v", name, e.ID, err)
		}
		if !strings.Contains(err.Error(), second.ID) || !strings.Contains(err.Error(), first.ID) {
			t.Errorf("Get(%q) names no candidates: %v", name, err)
		}
	}
	if err := c.Delete(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{first.ID, first.File} { // not the beginning of second's
		if e, err := c.Get(name); !errors.Is(err, catalogfile.ErrNotFound) {
			t.Errorf("Get(%q) = %q, %v after it was deleted", name, e.ID, err)
		}
	}
	for range 9 {
		backup(t, c, catalog.Auto, catalog.Verified, start)
	}
	if _, err := c.Get("data_backup_A"); err == nil || !strings.HasSuffix(err.Error(), " and 5 more") {
		t.Errorf("many candidates: %v", err)
	}
}

func TestNewFile(t *testing.T) {
	dir := t.TempDir()
	c, err := catalogfile.Open(dir, "кли ент?#%")
	if err != nil {
		t.Fatal(err)
	}
	want := func(kind catalog.Kind, want string) string {
		t.Helper()
		id, path, err := c.NewFile(kind, start.In(time.FixedZone("", 3600)))
		if err != nil || id != want || path != filepath.Join(dir, want+".db.zst") {
			t.Fatalf("NewFile = %q, %q, %v; want %q", id, path, err, want)
		}
		return path
	}
	write(t, want(catalog.Auto, "кли ент?#%_backup_AUTO_20251031_120000"), nil)
	id := filepath.Base(strings.TrimSuffix(want(catalog.Auto, "кли ент?#%_backup_AUTO_20251031_120000_2"), archive.Ext))
	update(t, c, func(tx *catalogfile.Tx) error {
		return tx.Put(catalog.Entry{ID: id, File: id + archive.Ext, Kind: catalog.Auto})
	})
	want(catalog.Auto, "кли ент?#%_backup_AUTO_20251031_120000_3")
	want(catalog.Manual, "кли ент?#%_backup_MANUAL_20251031_120000")
	for _, base := range []string{"", ".", "..", "a/b", `a\b`, "a\x00", "\xff", strings.Repeat("x", 200), ".snapd-tmp-x"} {
		if _, err := catalogfile.Open(dir, base); !errors.Is(err, catalogfile.ErrBase) {
			t.Errorf("base %.20q: %v", base, err)
		}
	}
}

// Lost: a number given twice, and with it the order of the backups.
func TestSeqIsNeverReused(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	backup(t, c, catalog.Auto, catalog.Verified, start)
	last := backup(t, c, catalog.Auto, catalog.Verified, start)
	if err := c.Delete(t.Context(), last.ID); err != nil {
		t.Fatal(err)
	}
	if e := backup(t, open(t, dir), catalog.Auto, catalog.Verified, start); e.Seq != 3 {
		t.Fatalf("seq after a deletion: %d, want 3", e.Seq)
	}
	if err := c.Delete(t.Context(), get(t, c, "latest").ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := backup(t, c, catalog.Auto, catalog.Verified, start); e.Seq != 4 {
		t.Fatalf("seq after a rebuild: %d, want 4", e.Seq)
	}
	taken := catalog.Entry{ID: "x", File: "x.db.zst", Seq: 1, Kind: catalog.Auto}
	update(t, c, func(tx *catalogfile.Tx) error { return tx.Put(taken) })
	if e := get(t, c, "x"); e.Seq != 5 {
		t.Fatalf("an entry with a taken number got %d, want 5", e.Seq)
	}
}

// Lost: half a change, or a write although nothing changed.
func TestUpdateIsAllOrNothing(t *testing.T) {
	c := open(t, t.TempDir())
	e := backup(t, c, catalog.Auto, catalog.Verified, start)
	before := readFile(t, filepath.Join(c.Dir(), "catalog.json"))
	info, _ := os.Stat(filepath.Join(c.Dir(), "catalog.json"))
	boom := errors.New("boom")
	err := c.Update(t.Context(), func(tx *catalogfile.Tx) error {
		tx.State().Failed(catalog.TriggerSchedule, start, "busy", "locked")
		if err := tx.Remove(e.ID); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	update(t, c, func(tx *catalogfile.Tx) error { return tx.Put(e) })
	after, _ := os.Stat(filepath.Join(c.Dir(), "catalog.json"))
	if !bytes.Equal(before, readFile(t, filepath.Join(c.Dir(), "catalog.json"))) || !os.SameFile(info, after) {
		t.Fatal("the catalog was written, or changed")
	}
	if s, err := c.State(); err != nil || len(s.LastFailure) != 0 {
		t.Fatalf("state of a failed update: %+v, %v", s, err)
	}
}

// Lost: what status and metrics report about the past, over a restart.
func TestStatePersists(t *testing.T) {
	dir := t.TempDir()
	next := start.Add(12 * time.Hour)
	update(t, open(t, dir), func(tx *catalogfile.Tx) error {
		s := tx.State()
		s.Succeeded(catalog.TriggerSchedule, start)
		s.Failed(catalog.TriggerStartup, start, "no_space", "disk full: \xff"+strings.Repeat("x", 10000))
		s.LastCheck = &catalog.CheckOutcome{At: start, Level: "quick", Verdict: "healthy"}
		s.LastDrill = &catalog.DrillOutcome{ID: "x", At: start, Verdict: "healthy", DurationMS: 5}
		s.NextRun = &next
		return nil
	})
	s, err := open(t, dir).State()
	if err != nil {
		t.Fatal(err)
	}
	f := s.LastFailure[catalog.TriggerStartup]
	if !s.LastSuccess[catalog.TriggerSchedule].At.Equal(start) || f.Code != "no_space" || len(f.Message) > 5000 ||
		s.LastCheck.Verdict != "healthy" || s.LastDrill.DurationMS != 5 || !s.NextRun.Equal(next) {
		t.Fatalf("state: %+v", s)
	}
}

// Lost: a page of the list that repeats or skips backups while others come and go.
func TestPage(t *testing.T) {
	c := open(t, t.TempDir())
	update(t, c, func(tx *catalogfile.Tx) error {
		for i := range 20 {
			kind := catalog.Auto
			if i%4 == 0 {
				kind = catalog.Manual
			}
			id := fmt.Sprintf("b%02d", i)
			if err := tx.Put(catalog.Entry{ID: id, File: id + archive.Ext, Kind: kind}); err != nil {
				return err
			}
		}
		return nil
	})
	var got []catalog.Entry
	cursor := ""
	for n := 0; ; n++ {
		page, err := c.Page(catalogfile.Query{Kind: catalog.Auto, Cursor: cursor, Limit: 4})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page.Backups...)
		if page.Next == "" {
			break
		}
		cursor = page.Next
		update(t, c, func(tx *catalogfile.Tx) error { // one comes, the last shown one goes
			id := fmt.Sprintf("new%d", n)
			if err := tx.Put(catalog.Entry{ID: id, File: id + archive.Ext, Kind: catalog.Auto}); err != nil {
				return err
			}
			return tx.Remove(page.Backups[len(page.Backups)-1].ID)
		})
	}
	if want := "b19 b18 b17 b15 b14 b13 b11 b10 b09 b07 b06 b05 b03 b02 b01"; ids(got) != want {
		t.Fatalf("pages: %s\nwant   %s", ids(got), want)
	}
	for _, bad := range []string{"x", "cw", "-", strings.Repeat("A", 100), "czE4NDQ2NzQ0MDczNzA5NTUxNjE2"} {
		if _, err := c.Page(catalogfile.Query{Cursor: bad}); !errors.Is(err, catalogfile.ErrCursor) {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}
}

// Lost: the one backup that a user looks for, among thousands.
func TestPageChooses(t *testing.T) {
	c := open(t, t.TempDir())
	noon := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	update(t, c, func(tx *catalogfile.Tx) error {
		for i, note := range []string{"", "Before the IMPORT of contacts", "import", "before the move"} {
			id := fmt.Sprintf("b%d", i)
			e := catalog.Entry{ID: id, File: id + archive.Ext, Kind: catalog.Manual, Note: note, CreatedAt: noon.Add(time.Duration(i) * time.Hour)}
			if err := tx.Put(e); err != nil {
				return err
			}
		}
		return nil
	})
	for _, q := range []struct {
		catalogfile.Query
		want string
	}{
		{catalogfile.Query{}, "b3 b2 b1 b0 of 4"},
		{catalogfile.Query{Text: " before "}, "b3 b1 of 2"},
		{catalogfile.Query{Text: "import BEFORE"}, "b1 of 1"},
		{catalogfile.Query{Text: "B2"}, "b2 of 1"},
		{catalogfile.Query{Text: "100%"}, " of 0"},
		{catalogfile.Query{Kind: catalog.Auto, Text: "before"}, " of 0"},
		{catalogfile.Query{From: noon.Add(time.Hour), To: noon.Add(2 * time.Hour)}, "b2 b1 of 2"},
		{catalogfile.Query{From: noon.Add(time.Hour), Limit: 1}, "b3 of 3"},
	} {
		page, err := c.Page(q.Query)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%s of %d", ids(page.Backups), page.Total); got != q.want || (page.Next != "") != (len(page.Backups) < page.Total) {
			t.Errorf("%+v: %q, want %q; next %q", q.Query, got, q.want, page.Next)
		}
	}
}

// Lost: a listing must not create the directory, nor writing hide that it is missing.
func TestMissingDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "backups")
	c := open(t, dir)
	if list := entries(t, c); len(list) != 0 {
		t.Fatal(list)
	}
	if ch, err := c.Reconcile(t.Context(), nil); err != nil || !ch.Empty() {
		t.Fatalf("%v %v", ch.Lines(), err)
	}
	if err := c.Update(t.Context(), func(*catalogfile.Tx) error { return nil }); !errors.Is(err, catalogfile.ErrNoDirectory) {
		t.Fatal(err)
	}
	if _, err := c.LockOperation(context.Background(), true, "x"); !errors.Is(err, catalogfile.ErrNoDirectory) {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("the directory was created")
	}
}
