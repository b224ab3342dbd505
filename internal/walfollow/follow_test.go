package walfollow

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/sqlitefile"
	"example.com/snapd/internal/testdb"
)

const seed = archive.Seed(42)

// state is what a look finds.
type state struct {
	at    Position
	image []byte
	tx    *pages.Snapshot
}

func look(t *testing.T, path string) state {
	t.Helper()
	s, err := pages.Begin(t.Context(), path, livedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var image bytes.Buffer
	if err := s.CopyTo(t.Context(), &image, nil); err != nil {
		t.Fatal(err)
	}
	at, ok := s.Conn().LogIndex()
	if !ok {
		at = Position{} // no log: nothing to follow from
	}
	return state{at: at, image: image.Bytes(), tx: s}
}

func (s state) close(t *testing.T) {
	t.Helper()
	if err := s.tx.Close(); err != nil {
		t.Fatal(err)
	}
}

// openLog opens the log of the database at path, for as long as the test runs.
func openLog(t *testing.T, path string) (f *os.File, size int64) {
	t.Helper()
	f, err := os.Open(sqlitefile.WAL(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return f, fi.Size()
}

func follow(t *testing.T, path string, from, to state, unbroken bool) (*Changes, error) {
	t.Helper()
	f, size := openLog(t, path)
	c, err := Follow(t.Context(), Look{
		Log: sqlitefile.LogFile{R: f, Size: size}, From: from.at, To: to.at, Unbroken: unbroken, Seed: seed,
	})
	if err != nil {
		return nil, err
	}
	image := bytes.Clone(from.image)
	image = append(image, make([]byte, max(0, int(c.Size)*to.at.PageSize-len(image)))...)[:int(c.Size)*to.at.PageSize]
	copy(image[int(c.Least)*to.at.PageSize:], to.image[int(c.Least)*to.at.PageSize:]) // SQLite knows
	page := make([]byte, to.at.PageSize)
	for pgno := range c.Pages {
		if err := c.ReadPage(f, pgno, page); err != nil {
			t.Fatal(err)
		}
		copy(image[int(pgno-1)*len(page):], page)
	}
	if !bytes.Equal(image, to.image) {
		t.Fatalf("%d commits, %d pages: not what the database was\nfrom %+v\nto %+v", c.Commits, len(c.Pages), from.at, to.at)
	}
	return c, nil
}

// The pages of the log, put over the image of the look before, are the image of this look,
// for any work between them; or Follow says that something was missed.
func TestFollowsOrMisses(t *testing.T) {
	t.Parallel()
	rounds := 50
	if testing.Short() {
		rounds = 20
	}
	var compared, commits, again int
	why := map[string]int{}
	for _, v := range []struct {
		pageSize, autocheckpoint int
		unbroken                 bool
		also                     string
	}{
		{4096, 1000, true, ""},
		{512, 20, true, ""},
		{1024, 8, false, ""},
		{4096, 30, true, "PRAGMA cache_size=3; PRAGMA cache_spill=1"},
		{1024, 15, true, "PRAGMA journal_size_limit=6000"},
		{65536, 4, true, ""},
	} {
		t.Run(fmt.Sprintf("%d/%d/%v/%s", v.pageSize, v.autocheckpoint, v.unbroken, v.also), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(v.pageSize), uint64(v.autocheckpoint)))
			path := filepath.Join(t.TempDir(), "data.db")
			each := fmt.Sprintf("PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=%d; %s", v.autocheckpoint, v.also)
			setup := fmt.Sprintf("PRAGMA page_size=%d; PRAGMA auto_vacuum=2; PRAGMA journal_mode=WAL; ", v.pageSize)
			testdb.StartChurn(t, path, 1, setup+testdb.ChurnSchema).Stop()
			a := testdb.StartChurn(t, path, 2, each)
			a.Work(rng)
			before := look(t, path)
			before.close(t)
			for range rounds {
				if !v.unbroken && rng.IntN(4) == 0 {
					a.Stop() // the last one closes: no log is left
					a = testdb.StartChurn(t, path, 2, each)
				}
				for range rng.IntN(6) {
					a.Work(rng)
				}
				now := look(t, path)
				if before.at.PageSize == 0 || now.at.PageSize == 0 {
					now.close(t)
					before = now
					continue
				}
				c, err := follow(t, path, before, now, v.unbroken)
				now.close(t)
				var m *MissedError
				switch {
				case err == nil:
					compared++
					commits += int(c.Commits)
					if before.at.Salts != now.at.Salts {
						again++
					}
				case errors.As(err, &m):
					why[strings.Map(noDigits, m.Reason)]++
					if m.Behind {
						t.Errorf("%v: no power was lost", err)
					}
				default:
					t.Fatal(err)
				}
				before = now
			}
		})
	}
	t.Logf("%d looks compared byte for byte, %d commits, %d over a log begun again; missed: %v", compared, commits, again, why)
	if compared < 2*rounds || again < rounds/2 || len(why) < 2 {
		t.Errorf("too little was met: %d compared, %d begun again, missed %v", compared, again, why)
	}
}

func noDigits(r rune) rune {
	if r >= '0' && r <= '9' {
		return 'n'
	}
	return r
}

// wal is a database in WAL mode with one row, and its application.
func wal(t *testing.T) (path string, a *testdb.Churn) {
	path = filepath.Join(t.TempDir(), "data.db")
	a = testdb.StartChurn(t, path, 2, "")
	a.Exec(0, "PRAGMA journal_mode=WAL; "+testdb.ChurnSchema+"INSERT INTO t(a) VALUES(0)")
	return path, a
}

// copied is the database as a crash leaves it: without the log's index.
func copied(t *testing.T, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "data.db")
	for _, name := range []func(string) string{func(s string) string { return s }, sqlitefile.WAL} {
		b, err := os.ReadFile(name(path))
		if err == nil {
			err = os.WriteFile(name(to), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// After a crash the index is made again and counts from 0; the log goes on, and proves itself.
func TestFollowsOverACrash(t *testing.T) {
	path, a := wal(t)
	before := look(t, path)
	before.close(t)
	a.Exec(0, "INSERT INTO t(a) VALUES(1); INSERT INTO t(a) VALUES(2)")
	crashedPath := copied(t, path)
	crashed := testdb.StartChurn(t, crashedPath, 1, "")
	crashed.Exec(0, "INSERT INTO t(a) VALUES(3)")
	now := look(t, crashedPath)
	defer now.close(t)
	if c, err := follow(t, crashedPath, before, now, false); err != nil || c.Commits != 3 {
		t.Errorf("%+v, %v", c, err)
	}
}

// A count that began again can come to what the old one was: only an unbroken index counts.
func TestACountBegunAnewProvesNothing(t *testing.T) {
	path, a := wal(t)
	before := look(t, path)
	before.close(t)
	a.Exec(0, "INSERT INTO t(a, b) VALUES(1, randomblob(9000))")
	crashedPath := copied(t, path)
	crashed := testdb.StartChurn(t, crashedPath, 1, "")
	crashed.Exec(0, "SELECT count(*) FROM t; PRAGMA wal_checkpoint(RESTART)")
	for range before.at.Changes {
		crashed.Exec(0, "INSERT INTO t(a, b) VALUES(3, randomblob(9000))")
	}
	now := look(t, crashedPath)
	defer now.close(t)
	before.at.Changes -= now.at.Changes - before.at.Changes // as if the crash had been that long ago
	var m *MissedError
	if c, err := follow(t, crashedPath, before, now, false); !errors.As(err, &m) || m.Behind {
		t.Errorf("%+v, %v", c, err)
	}
}

// A loss of power with synchronous=NORMAL takes commits that were seen.
func TestALogThatWentBackIsAnotherHistory(t *testing.T) {
	for _, then := range []string{"SELECT count(*) FROM t", "INSERT INTO t(a) VALUES(7)", "INSERT INTO t(a, b) VALUES(7, randomblob(20000))"} {
		path, a := wal(t)
		early := look(t, path)
		early.close(t)
		a.Exec(0, "INSERT INTO t(a) VALUES(1)")
		before := look(t, path)
		before.close(t)
		path = copied(t, path)
		if err := os.Truncate(sqlitefile.WAL(path), sqlitefile.WALHeaderSize+early.at.LastFrame*int64(sqlitefile.FrameHeaderSize+early.at.PageSize)); err != nil {
			t.Fatal(err)
		}
		restarted := testdb.StartChurn(t, path, 1, "")
		restarted.Exec(0, then)
		now := look(t, path)
		var m *MissedError
		if c, err := follow(t, path, before, now, false); !errors.As(err, &m) || !m.Behind {
			t.Errorf("%s: %+v, %v", then, c, err)
		}
		now.close(t)
	}
}

// overtaken is a log into which a writer writes while it is read.
type overtaken struct {
	*os.File
	at    int64 // before this offset is read
	write func()
}

func (o *overtaken) ReadAt(p []byte, off int64) (int, error) {
	if o.write != nil && off+int64(len(p)) > o.at {
		o.write()
		o.write = nil
	}
	return o.File.ReadAt(p, off)
}

// The tail of the generation before is written over by the next transaction, perhaps at the very moment.
func TestAnOldTailIsOvertaken(t *testing.T) {
	path, a := wal(t)
	for i := range 2 {
		a.Exec(i, "PRAGMA wal_autocheckpoint=0")
	}
	before := look(t, path)
	before.close(t)
	for range 600 { // over 1 MiB of frames, which are read in two parts
		a.Exec(0, "INSERT INTO t(a, b) VALUES(1, randomblob(3000))")
	}
	a.Exec(0, "PRAGMA wal_checkpoint(RESTART); INSERT INTO t(a) VALUES(2)")
	now := look(t, path)
	defer now.close(t)
	f, size := openLog(t, path)
	l := Look{Log: sqlitefile.LogFile{Size: size}, From: before.at, To: now.at, Seed: seed}
	for _, writes := range []bool{false, true} {
		log := &overtaken{File: f, at: 2 << 20}
		if writes {
			log.write = func() { a.Exec(1, "INSERT INTO t(a, b) VALUES(1, randomblob(3000000))") }
		}
		l.Log.R = log
		c, err := Follow(t.Context(), l)
		var m *MissedError
		if writes && !errors.As(err, &m) || !writes && (err != nil || c.Commits != 601) {
			t.Errorf("written over: %v: %v", writes, err)
		}
	}
}

// What is returned is proven again when it is read.
func TestReadPageProvesTheContent(t *testing.T) {
	path, a := wal(t)
	before := look(t, path)
	before.close(t)
	a.Exec(0, "INSERT INTO t(a, b) VALUES(1, randomblob(9000))")
	now := look(t, path)
	defer now.close(t)
	c, err := follow(t, path, before, now, true)
	if err != nil || len(c.Pages) < 3 {
		t.Fatal(c, err)
	}
	b, err := os.ReadFile(sqlitefile.WAL(path))
	if err != nil {
		t.Fatal(err)
	}
	page := make([]byte, now.at.PageSize)
	for pgno, place := range c.Pages {
		var m *MissedError
		b[place.At+17] ^= 1
		if err := c.ReadPage(bytes.NewReader(b), pgno, page); !errors.As(err, &m) {
			t.Errorf("page %d, a bit flipped: %v", pgno, err)
		}
		if err := c.ReadPage(bytes.NewReader(b[:place.At+100]), pgno, page); !errors.As(err, &m) {
			t.Errorf("page %d, cut: %v", pgno, err)
		}
	}
	if err := c.ReadPage(bytes.NewReader(b), 99, page); err == nil {
		t.Error("a page that was not changed was read")
	}
}

// Of any bytes: no panic, and no content that its checksums do not lead to.
func FuzzFollow(f *testing.F) {
	f.Add([]byte("a log"), int64(1), int64(2), true)
	f.Fuzz(func(t *testing.T, log []byte, from, to int64, unbroken bool) {
		p := Position{PageSize: 512, LastFrame: from & 0xff, Salts: [8]byte{1}}
		q := Position{PageSize: 512, LastFrame: to & 0xff, Salts: [8]byte{1}}
		if len(log) > 24 {
			q.Salts = [8]byte(log[16:24])
		}
		c, err := Follow(t.Context(), Look{Log: sqlitefile.LogFile{R: bytes.NewReader(log), Size: int64(len(log))}, From: p, To: q, Unbroken: unbroken, Seed: seed})
		var m *MissedError
		if err != nil && !errors.As(err, &m) {
			t.Fatal(err)
		}
		if err == nil && c.Commits > 0 && q.Sum == [8]byte{} {
			t.Fatalf("%+v without a checksum to lead to", c)
		}
	})
}
