package snapshot_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"example.com/snapd/internal/store/seal"
	"example.com/snapd/internal/store/storetest"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost: the database, with its machine; the configuration is all that is left. Recover has the last captured state
// back from the remote, and what is made from then on comes after what is there.
func TestRecoverFromARemote(t *testing.T) {
	t.Parallel()
	for _, sealed := range []bool{false, true} {
		t.Run(fmt.Sprintf("sealed %v", sealed), func(t *testing.T) {
			t.Parallel()
			_, url := place(t)
			recoverFrom(t, url, sealed)
		})
	}
}

// Lost: the same, where the remote is object storage.
func TestRecoverFromObjectStorage(t *testing.T) {
	gateway := storetest.StartGateway(t)
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(name, storetest.Env(name))
	}
	recoverFrom(t, gateway.URL(t, gateway.Address), true)
}

func recoverFrom(t *testing.T, url string, sealed bool) {
	key, err := seal.Generate(false)
	if err != nil {
		t.Fatal(err)
	}
	to := snapshot.Remote{Name: "nas", URL: url}
	if sealed {
		to.Recipients = []string{key.Recipient}
	}
	c := newCounted(t, "wal", func(cfg *snapshot.Config) { cfg.Remotes = []snapshot.Remote{to} })
	stop := c.running()
	c.sent("nas")
	c.commit(2)
	last := c.captures()
	want := filepath.Join(t.TempDir(), "want.db")
	if _, err := c.m.Restore(t.Context(), last, snapshot.RestoreOptions{To: want}); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	greatest := uint64(0)
	all, err := c.m.Backups()
	for _, b := range all {
		greatest = max(greatest, b.Seq)
	}
	if err != nil || greatest == 0 {
		t.Fatal(err)
	}
	if err := c.app.Close(); err != nil {
		t.Fatal(err)
	}
	database := c.m.Database()
	for _, gone := range []string{c.m.Dir(), database, database + "-wal", database + "-shm"} {
		if err := os.RemoveAll(gone); err != nil {
			t.Fatal(err)
		}
	}
	open := func(to snapshot.Remote) *snapshot.Manager {
		m, err := snapshot.Open(t.Context(), snapshot.Config{Database: database, Dir: c.m.Dir(), Remotes: []snapshot.Remote{to}})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if sealed {
		rec, err := open(to).Recover(t.Context())
		if !errors.Is(err, snapshot.ErrNoUsableBackup) || rec.Action != snapshot.ActionNone {
			t.Errorf("without the key: %+v, %v", rec, err)
		}
		if _, err := os.Lstat(database); err == nil {
			t.Error("without the key there is a database")
		}
		to.Identity = filepath.Join(t.TempDir(), "key.txt")
		if err := os.WriteFile(to.Identity, []byte(key.Identity+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := open(to)
	p, err := m.PlanRecovery(t.Context())
	if err != nil || p.Action != snapshot.ActionRestored || len(p.Options) != 1 || p.Options[0].Remote == nil || *p.Options[0].Remote != "nas" {
		t.Fatalf("%+v, %v", p, err)
	}
	rec, err := m.Recover(t.Context())
	if err != nil || rec.Action != snapshot.ActionRestored || rec.Remote == nil || *rec.Remote != "nas" || *rec.Restored != *p.Options[0].Backup {
		t.Fatalf("%+v, %v", rec, err)
	}
	if !bytes.Equal(readFile(t, database), readFile(t, want)) {
		t.Error("the database is another state")
	}
	s, err := m.Status(t.Context())
	if err != nil || s.LastRestore == nil || len(s.Recovered) != 1 || s.Recovered[0].LosesSince == nil {
		t.Errorf("%+v, %v", s, err)
	}
	b, err := m.Backup(t.Context(), snapshot.Manual("after"))
	if err != nil || b.Seq <= greatest || b.Timeline.Number < 2 {
		t.Errorf("the next backup has number %d on timeline %d, %v; %d is there", b.Seq, b.Timeline.Number, err, greatest)
	}
}

// Lost: the rows that nothing but the damaged file has, where no one hears of them because the backup was at a remote.
func TestRecoverFromARemoteCountsRows(t *testing.T) {
	t.Parallel()
	_, url := place(t)
	path := filepath.Join(t.TempDir(), "data.db")
	writeFile(t, path, nil)
	b := benchOn(t, path)
	b.cfg.Remotes = []snapshot.Remote{{Name: "nas", URL: url}}
	b.reopen()
	b.exec(`PRAGMA page_size=4096; CREATE TABLE t(id INTEGER PRIMARY KEY, c TEXT UNIQUE); CREATE TABLE other(a);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<40) INSERT INTO t SELECT i, 'c'||i FROM n`)
	b.auto()
	if _, err := b.m.SyncRemote(t.Context(), "nas"); err != nil {
		t.Fatal(err)
	}
	b.exec("INSERT INTO other VALUES(1),(2),(3),(4),(5)")
	damaged := readFile(t, path)
	copy(damaged[rootOf(t, path, "t")*4096-4096:], bytes.Repeat([]byte{7}, 4096))
	clear(damaged[rootOf(t, path, "sqlite_autoindex_t_1")*4096-4096:][:4096])
	writeFile(t, path, damaged)
	testdb.Damaged(t, path)
	if err := os.RemoveAll(b.m.Dir()); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	rec, err := b.m.Recover(t.Context())
	if err != nil || rec.Remote == nil || rec.Unrestored == nil || *rec.Unrestored != 5 {
		t.Errorf("%+v, %v", rec, err)
	}
}
