package snapshot_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// patience bounds waits for things that happen by themselves.
const patience = 30 * time.Second

// bench is a sample database with a Manager on it, and all events seen so far.
type bench struct {
	t   testing.TB
	cfg snapshot.Config
	m   *snapshot.Manager
	rec *recorder
}

// newBench makes a small database in the given journal mode, in a directory
// of its own, and opens a Manager on it. edit may change the Config.
func newBench(t testing.TB, mode string, edit ...func(*snapshot.Config)) *bench {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data.db")
	makeDatabase(t, path, mode)
	return benchOn(t, path, edit...)
}

// makeDatabase makes a sample CRM of some 220 KB.
func makeDatabase(t testing.TB, path, mode string) {
	t.Helper()
	testdb.MakeCRM(t, path, samplecrm.Options{Seed: 1, JournalMode: mode})
	testdb.CheckAtEnd(t, path)
}

// benchOn opens a Manager on the file at path.
func benchOn(t testing.TB, path string, edit ...func(*snapshot.Config)) *bench {
	t.Helper()
	b := &bench{t: t, rec: &recorder{}}
	b.cfg = snapshot.Config{Database: path, LockWait: 5 * time.Second, OnEvent: b.rec.note,
		Continuous: -1} // captures wait for the system's notices, which the clock of a bubble does not
	for _, e := range edit {
		e(&b.cfg)
	}
	b.reopen()
	return b
}

// reopen opens the Manager again, as the next process would.
func (b *bench) reopen() {
	b.t.Helper()
	m, err := snapshot.Open(b.t.Context(), b.cfg)
	if err != nil {
		b.t.Fatalf("open: %v", err)
	}
	b.m = m
}

func (b *bench) backup(req snapshot.Request) snapshot.Backup {
	b.t.Helper()
	e, err := b.m.Backup(b.t.Context(), req)
	if err != nil {
		b.t.Fatalf("backup: %v", err)
	}
	return e
}

func (b *bench) manual() snapshot.Backup {
	b.t.Helper()
	return b.backup(snapshot.Manual(""))
}

func (b *bench) auto() snapshot.Backup {
	b.t.Helper()
	return b.backup(snapshot.Auto(catalog.TriggerSchedule))
}

// exec runs a statement as the application would, on a connection of its own.
func (b *bench) exec(query string) {
	b.t.Helper()
	execOn(b.t, b.m.Database(), query)
}

func execOn(t testing.TB, path, query string) {
	t.Helper()
	db, err := samplecrm.Open(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// mark makes a change that says which one it is; marked reads the last one.
func (b *bench) mark(text string) {
	b.t.Helper()
	b.exec("UPDATE accounts SET name = '" + text + "' WHERE id = 1")
}

func (b *bench) marked() string {
	b.t.Helper()
	return markOf(b.t, b.m.Database())
}

func markOf(t testing.TB, path string) (name string) {
	t.Helper()
	db, err := samplecrm.Open(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow("SELECT name FROM accounts WHERE id = 1").Scan(&name); err != nil {
		t.Errorf("read the mark: %v", err)
	}
	return name
}

// markIn reads the mark inside a backup.
func (b *bench) markIn(id string) (name string) {
	b.t.Helper()
	db, err := b.m.OpenBackup(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow("SELECT name FROM accounts WHERE id = 1").Scan(&name); err != nil {
		b.t.Errorf("read the mark in %s: %v", id, err)
	}
	return name
}

// damage zeroes a page of the database, which SQLite still opens.
func (b *bench) damage() {
	b.t.Helper()
	testdb.ZeroPage(b.t, b.m.Database(), 4)
}

// damageArchive flips a byte of stored image data.
func (b *bench) damageArchive(e snapshot.Backup) {
	b.t.Helper()
	testdb.FlipByte(b.t, b.m.ArchivePath(e), e.ArchiveBytes/3)
}

func (b *bench) ids() []string {
	b.t.Helper()
	all, err := b.m.Backups()
	if err != nil {
		b.t.Fatal(err)
	}
	out := []string{}
	for _, e := range all {
		out = append(out, e.ID)
	}
	return out
}

// latest is where the link to the newest verified backup points, "" without one.
func (b *bench) latest() string {
	to, err := os.Readlink(filepath.Join(b.m.Dir(), "data_latest.db.zst"))
	if err != nil && !os.IsNotExist(err) {
		b.t.Fatal(err)
	}
	return to
}

func (b *bench) status() snapshot.Status {
	b.t.Helper()
	s, err := b.m.Status(b.t.Context())
	if err != nil {
		b.t.Fatalf("status: %v", err)
	}
	return s
}

// appFiles lists the database's directory without the backup directory.
func (b *bench) appFiles() string {
	b.t.Helper()
	return drop(testdb.DirListing(b.t, filepath.Dir(b.m.Database())), "backups")
}

// stored lists the backup directory without its lock files, which say who
// works there and since when, and without the log of what was done.
func (b *bench) stored() string {
	b.t.Helper()
	if _, err := os.Stat(b.m.Dir()); os.IsNotExist(err) {
		return ""
	}
	return drop(testdb.DirListing(b.t, b.m.Dir()), ".snapd.lock", ".snapd-serve.lock", ".catalog.lock", ".snapd-activity.lock", "activity.")
}

// archives lists only the archives and the link, not the catalog.
func (b *bench) archives() string {
	b.t.Helper()
	return drop(b.stored(), "catalog.json")
}

func drop(listing string, names ...string) string {
	lines := slices.DeleteFunc(strings.SplitAfter(listing, "\n"), func(line string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(line, n) })
	})
	return strings.Join(lines, "")
}

// glob returns the base names in dir that match.
func glob(t testing.TB, dir, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	for i := range paths {
		paths[i] = filepath.Base(paths[i])
	}
	return paths
}

// noDebris fails the test when temporary files of ours are left anywhere.
func (b *bench) noDebris() {
	b.t.Helper()
	for _, dir := range []string{filepath.Dir(b.m.Database()), b.m.Dir()} {
		for _, pattern := range []string{".snapd-tmp-*", ".*.snapd-restore"} {
			if left := glob(b.t, dir, pattern); len(left) > 0 {
				b.t.Errorf("left behind in %s: %v", dir, left)
			}
		}
	}
}

// recorder keeps every event but progress.
type recorder struct {
	mu   sync.Mutex
	all  []snapshot.Event
	read int           // events that wait has passed
	more chan struct{} // closed when another one comes, if wait is waiting
}

func (r *recorder) note(e snapshot.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Type == snapshot.EventProgress {
		return
	}
	r.all = append(r.all, e)
	if r.more != nil {
		close(r.more)
		r.more = nil
	}
}

// of returns the events of a type so far.
func (r *recorder) of(types ...snapshot.EventType) []snapshot.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.all), func(e snapshot.Event) bool { return !slices.Contains(types, e.Type) })
}

// forget drops what was seen so far.
func (r *recorder) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all, r.read = nil, 0
}

// wait returns the next event, after the one it returned last, that match likes.
func (r *recorder) wait(t testing.TB, what string, match func(snapshot.Event) bool) snapshot.Event {
	t.Helper()
	end := time.After(patience)
	for {
		r.mu.Lock()
		for r.read < len(r.all) {
			e := r.all[r.read]
			r.read++
			if match(e) {
				r.mu.Unlock()
				return e
			}
		}
		if r.more == nil {
			r.more = make(chan struct{})
		}
		more := r.more
		r.mu.Unlock()
		select {
		case <-more:
		case <-end:
			t.Fatalf("no event in %v: %s; seen: %v", patience, what, r.of(snapshot.EventBackedUp, snapshot.EventUnchanged, snapshot.EventFailed, snapshot.EventWarning))
		}
	}
}

// later runs fn in a synctest bubble whose clock begins in the year 2100: time
// passes as soon as everything waits for it, and every file is so old that its
// time stamps are proof.
func later(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2100, 1, 1, 12, 0, 0, 0, time.UTC)))
		fn(t)
	})
}

// stockImage is what the stock program makes of an archive.
func stockImage(t testing.TB, path string) []byte {
	t.Helper()
	zstd := testdb.RequireTool(t, "zstd")
	path, err := filepath.EvalSymlinks(path) // zstd wants --force for a link
	if err != nil {
		t.Fatal(err)
	}
	var complaint bytes.Buffer
	cmd := exec.Command(zstd, "-dcq", "--", path)
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("zstd -d %s: %v: %s", path, err, complaint.Bytes())
	}
	return out
}

func imageHash(image []byte) string {
	h := archive.NewImageHash()
	h.Write(image)
	return hex.EncodeToString(h.Sum(nil))
}

// wantKeys compares the members of v's JSON form with exactly keys.
func wantKeys(t testing.TB, v any, keys ...string) map[string]any {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(maps.Keys(m))
	slices.Sort(keys)
	if !slices.Equal(got, keys) {
		t.Errorf("JSON members %v, want %v", got, keys)
	}
	return m
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path) // only where this process has no connection open
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func size(t testing.TB, path string) int64 {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

// sleepHours lets time pass in a bubble.
func sleepHours(n int) { time.Sleep(time.Duration(n) * time.Hour) }

func minutes(n int) time.Duration { return time.Duration(n) * time.Minute }

// packArchive stores any image as an archive of the directory whose digests are right.
func packArchive(t testing.TB, path string, image []byte, seq uint64) {
	t.Helper()
	packArchiveOf(t, path, image, archive.Facts{Seq: seq})
}

func packArchiveOf(t testing.TB, path string, image []byte, f archive.Facts) {
	t.Helper()
	f.Database, f.Kind, f.Trigger, f.CreatedAt = "data", "manual", "manual", time.Now()
	o := archive.WriterOptions{PageSize: 4096}
	for _, name := range glob(t, filepath.Dir(path), "*"+archive.Ext) { // as if the directory had made it
		if r, err := archive.Open(filepath.Join(filepath.Dir(path), filepath.Base(name))); err == nil {
			o.Seed = r.Seed()
			r.Close()
		}
	}
	var out bytes.Buffer
	w, err := archive.NewWriter(&out, o)
	if err == nil {
		_, err = w.Write(image)
	}
	if err == nil {
		_, err = w.Finish(f)
	}
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, out.Bytes())
}

func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// last is the error of a call that also returns something else.
func last(_ any, err error) error { return err }
