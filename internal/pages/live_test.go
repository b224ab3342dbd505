package pages

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/snapd/internal/livedb"
)

// A process that died leaves a WAL with commits in it, with or without its
// index. Those commits are in the backup, and the files stay as they were.
func TestOrphanWAL(t *testing.T) {
	t.Parallel()
	for _, keepIndex := range []bool{true, false} {
		t.Run(fmt.Sprintf("index=%v", keepIndex), func(t *testing.T) {
			dir := t.TempDir()
			db := filepath.Join(dir, "data.db")
			shell(t, db, "PRAGMA journal_mode=wal; CREATE TABLE t(a); INSERT INTO t VALUES(1)")
			p := python(t, db, `
c.execute("INSERT INTO t VALUES(2)"); ready(); sys.stdin.read()`)
			p.kill()
			if !keepIndex {
				if err := os.Remove(db + "-shm"); err != nil {
					t.Fatal(err)
				}
			}
			before := state(t, dir)
			_, image := take(t, db)
			if after := state(t, dir); after != before {
				t.Errorf("before\n%safter\n%s", before, after)
			}
			if got := shell(t, restored(t, image), "SELECT sum(a) FROM t"); got != "3" {
				t.Errorf("sum %s, want 3: the commit in the WAL is lost", got)
			}
		})
	}
}

// A database in the middle of use keeps its -wal and -shm, and no commit of the
// application's is applied by us.
func TestOpenWALIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := filepath.Join(dir, "data.db")
	shell(t, db, "PRAGMA journal_mode=wal; CREATE TABLE t(a)")
	p := python(t, db, `
c.execute("INSERT INTO t VALUES(2)"); ready(); sys.stdin.read()
c.execute("INSERT INTO t VALUES(3)")
print(c.execute("SELECT sum(a) FROM t").fetchone()[0])`)
	before := state(t, dir)
	mark, err := livedb.TakeFingerprint(db)
	if err != nil {
		t.Fatal(err)
	}
	mark.TakenAt = mark.TakenAt.Add(time.Minute) // as if looked at long after the last write
	_, image := take(t, db)
	if after := state(t, dir); after != before {
		t.Errorf("before\n%safter\n%s", before, after)
	}
	if now, err := livedb.TakeFingerprint(db); err != nil || !mark.Unchanged(now) {
		t.Errorf("our own reading passes for a change, so that nothing is ever idle: %+v %+v %v", mark, now, err)
	}
	if got := p.finish(); got != "5" {
		t.Errorf("the application went on with %s, want 5", got)
	}
	if got := shell(t, restored(t, image), "SELECT sum(a) FROM t"); got != "2" {
		t.Errorf("the image has %s, want 2", got)
	}
}

// The application opens its WAL database while our snapshot holds the only
// connection, then outlives us: tidying up must not take its files away.
func TestTidyRespectsANewcomer(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "data.db")
	shell(t, db, "PRAGMA journal_mode=wal; CREATE TABLE t(a)")
	s, err := Begin(t.Context(), db, livedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := python(t, db, `
c.execute("SELECT * FROM t").fetchall(); ready(); sys.stdin.read()
c.execute("INSERT INTO t VALUES(3)")
print(sqlite3.connect(db).execute("SELECT sum(a) FROM t").fetchone()[0], os.path.getsize(db + "-wal") > 0)`)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := p.finish(); got != "3 True" {
		t.Errorf("after our close the application saw %q", got)
	}
}

// A writer died inside its transaction, after pages of it had reached the file.
// Rolling that back is the owner's business: the image has the state before, the
// files stay as they were.
func TestHotJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := filepath.Join(dir, "data.db")
	shell(t, db, sampleSchema)
	quiescent, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	p := python(t, db, `
c.execute("PRAGMA cache_size=5"); c.execute("BEGIN IMMEDIATE")
c.execute("UPDATE account SET balance=0, name=name||hex(randomblob(100))")
ready(); sys.stdin.read()`)
	p.kill()
	if torn, _ := os.ReadFile(db); string(torn) == string(quiescent) {
		t.Fatal("the file has no page of the dead transaction: the test proves nothing")
	}
	before := state(t, dir)
	_, image := take(t, db)
	if after := state(t, dir); after != before {
		t.Errorf("before\n%safter\n%s", before, after)
	}
	// The owner's own library is the judge: it rolls back in place now.
	if got := shell(t, db, "SELECT sum(balance) FROM account"); got != "40000" {
		t.Fatalf("sum %s after the owner's rollback", got)
	}
	rolledBack, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	sameBytes(t, "rolled back image", image, rolledBack)
}

// Money moves between accounts in three other processes while snapshots are taken: a
// sum that is off by one transfer is a torn backup.
func TestEveryImageIsACommittedState(t *testing.T) {
	t.Parallel()
	for _, journal := range []string{"wal", "delete", "truncate", "persist"} {
		t.Run(journal, func(t *testing.T) {
			db := filepath.Join(t.TempDir(), "data.db")
			shell(t, db, "PRAGMA page_size=1024; PRAGMA journal_mode="+journal+"; "+sampleSchema)
			var writers []*child
			for i := range 3 {
				writers = append(writers, python(t, db, fmt.Sprintf(`
import random, select
random.seed(%d); n = 0
c.execute("PRAGMA synchronous=off"); c.execute("PRAGMA journal_mode=%s"); c.execute("PRAGMA busy_timeout=0")
def do(sql): # eager: SQLite's own busy handler sleeps up to 100 ms
    while True:
        try: return c.execute(sql)
        except sqlite3.OperationalError as e:
            if "locked" not in str(e): raise
            time.sleep(0.0005)
ready()
while not select.select([sys.stdin], [], [], 0.001)[0]:
    a, b = random.sample(range(1, 401), 2)
    do("BEGIN IMMEDIATE")
    c.execute("UPDATE account SET balance=balance-5, name=hex(randomblob(40)) WHERE id=?", (a,))
    c.execute("UPDATE account SET balance=balance+5 WHERE id=?", (b,))
    do("COMMIT"); n += 1
print(n)`, i, journal)))
			}
			different := map[string]bool{}
			for i := 0; i < 12 || len(different) < 6 && i < 200; i++ {
				_, image := take(t, db)
				got := shell(t, restored(t, image), "SELECT sum(balance) FROM account; PRAGMA integrity_check; SELECT hex(sha3(group_concat(balance))) FROM account;")
				parts := strings.SplitN(got, "\n", 3)
				if parts[0] != "40000" || parts[1] != "ok" {
					t.Fatalf("torn image: %s", got)
				}
				different[parts[2]] = true
			}
			for _, w := range writers {
				if n := w.finish(); n == "0" {
					t.Error("a writer got no transfer in: the snapshots starve it")
				}
			}
			if len(different) < 6 {
				t.Errorf("only %d different states among the images: the test proves nothing", len(different))
			}
		})
	}
}

// Locked for good: the wait ends when its time is up, with an error that says who.
// Cancelling ends it at once.
func TestLocked(t *testing.T) {
	db := filepath.Join(t.TempDir(), "data.db")
	shell(t, db, "CREATE TABLE t(a)")
	p := python(t, db, `c.execute("BEGIN EXCLUSIVE"); ready(); sys.stdin.readline(); c.execute("COMMIT"); print("done"); sys.stdin.read()`)
	for name, begin := range map[string]func(context.Context) error{
		"read":  func(ctx context.Context) error { _, err := Begin(ctx, db, livedb.Options{}); return err },
		"write": func(ctx context.Context) error { _, err := BeginWrite(ctx, db, 300*time.Millisecond); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err := begin(ctx)
		cancel()
		if !errors.Is(err, livedb.ErrBusy) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", p.cmd.Process.Pid)) {
			t.Errorf("%s: %v", name, err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		start := time.Now()
		if err := begin(ctx); !errors.Is(err, context.Canceled) || time.Since(start) > 10*time.Second { // a busy machine adds to it
			t.Errorf("%s: cancelled: %v after %v", name, err, time.Since(start))
		}
	}
	got := make(chan error)
	go func() {
		s, err := Begin(t.Context(), db, livedb.Options{})
		if err == nil {
			err = s.Close()
		}
		got <- err
	}()
	p.say("commit")
	if err := <-got; err != nil {
		t.Errorf("the lock is gone, but: %v", err)
	}
}

// Cancelling in the middle of a copy ends it within a batch.
func TestCopyIsCancelled(t *testing.T) {
	t.Parallel()
	s := pinned(t, "CREATE TABLE t(a); INSERT INTO t VALUES(zeroblob(8000000))")
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var last int64
	err := s.CopyTo(ctx, discard{}, func(done int64) { last = done; cancel() })
	if !errors.Is(err, context.Canceled) || last != copyBatch {
		t.Errorf("%v after %d bytes", err, last)
	}
}

// Nor is a small image taken once it is cancelled, and its progress goes to its end.
func TestSmallCopyIsCancelled(t *testing.T) {
	t.Parallel()
	s := pinned(t, "CREATE TABLE t(a)")
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var last int64
	if err := s.CopyTo(ctx, discard{}, func(done int64) { last = done }); err != nil || last != s.Info().Bytes() {
		t.Errorf("%v after %d bytes", err, last)
	}
	cancel()
	if err := s.CopyTo(ctx, discard{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// An application that opens and closes its WAL database all the time makes SQLite
// create and delete the -wal under our feet, and us under its: no commit may get
// lost, and neither side may see an error.
func TestNextToAnApplicationThatComesAndGoes(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "data.db")
	shell(t, db, "PRAGMA journal_mode=wal; CREATE TABLE t(a)")
	p := python(t, db, `
import select
c.close(); ready(); n = 0
while n < 50 or not select.select([sys.stdin], [], [], 0)[0]:
    c = sqlite3.connect(db, isolation_level=None, timeout=30)
    c.execute("PRAGMA synchronous=off"); c.execute("INSERT INTO t VALUES(?)", (n,)); n += 1
    c.close()
print(n)`)
	var snapshots sync.WaitGroup
	for range 3 {
		snapshots.Go(func() {
			for range 60 {
				s, err := Begin(t.Context(), db, livedb.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				n, err := s.Conn().Int(t.Context(), "SELECT count(*) FROM t")
				m, err2 := s.Conn().Int(t.Context(), "SELECT ifnull(max(a)+1,0) FROM t")
				if err := errors.Join(err, err2, s.CopyTo(t.Context(), discard{}, nil), s.Close()); err != nil || n != m {
					t.Errorf("%d rows of %d: %v", n, m, err)
					return
				}
			}
		})
	}
	snapshots.Wait()
	n := p.finish()
	if got := shell(t, db, "SELECT count(*) FROM t; PRAGMA integrity_check"); got != n+"\nok" {
		t.Errorf("%s, want %s rows", got, n)
	}
}
