package repair

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/sqlite"
)

// logHistory is a WAL database whose log holds one transaction for each of 1 … n:
// transaction i sets the same number in many rows, so that a mixture of two states
// shows. Checkpoints are taken as backfill says.
type logHistory struct {
	main, log, index []byte
	states           [][]byte // the image after each transaction, from 0
}

const (
	historyRows     = 40
	historyPageSize = 1024
)

// makeHistory runs n transactions; after transaction i it calls after(i, c) on the
// connection that holds the log open.
func makeHistory(t *testing.T, n int, after func(i int, c *sqlite.Conn)) logHistory {
	t.Helper()
	path := makeDB(t, "h.db", fmt.Sprintf(`PRAGMA page_size=%d; PRAGMA journal_mode=wal; CREATE TABLE t(id INTEGER PRIMARY KEY, v INT, pad TEXT);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) INSERT INTO t SELECT i, 0, hex(zeroblob(150)) FROM n;
		CREATE TABLE u1(x); CREATE TABLE u2(x); CREATE TABLE u3(x); CREATE TABLE u4(x); CREATE TABLE u5(x)`, historyPageSize, historyRows))
	c := connect(t, path)
	run := func(sql string) {
		if err := c.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	run("PRAGMA wal_autocheckpoint=0")
	h := logHistory{states: [][]byte{image(t, c)}}
	for i := 1; i <= n; i++ {
		// Each transaction leaves some rows alone, adds some, and has a page of its own.
		run(fmt.Sprintf("BEGIN; UPDATE t SET v=%d WHERE id%%%d<>1; INSERT INTO t SELECT id+%d, v, pad FROM t WHERE id<=3; INSERT INTO u%[1]d VALUES(%[1]d); COMMIT", i, i+2, 1000*i))
		h.states = append(h.states, image(t, c))
		if after != nil {
			after(i, c)
		}
	}
	h.main, h.log, h.index = readAll(t, path), readAll(t, path+"-wal"), readAll(t, path+"-shm")
	return h
}

// image is the database with its log applied, as SQLite's pager has it.
func image(t *testing.T, c *sqlite.Conn) (b []byte) {
	t.Helper()
	err := c.Each(t.Context(), "SELECT data FROM sqlite_dbpage ORDER BY pgno", func(s *sqlite.Stmt) error {
		b = append(b, s.Blob(0)...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readAll(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// lay writes a database and its log, and its index if there is one, to a directory of
// their own.
func lay(t *testing.T, main, log []byte, index ...[]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db")
	files := map[string][]byte{path: main, path + "-wal": log}
	if len(index) > 0 {
		files[path+"-shm"] = index[0]
	}
	for name, b := range files {
		put(t, name, b)
	}
	return path
}

const historyStride = walFrameSize + historyPageSize

// commitFrames returns the frames, counted from 1, that end a transaction.
func commitFrames(log []byte) (at []int) {
	for n := 1; walHeaderSize+n*historyStride <= len(log); n++ {
		if f := walHeaderSize + (n-1)*historyStride; !bytes.Equal(log[f+4:f+8], make([]byte, 4)) {
			at = append(at, n)
		}
	}
	return at
}

// stateOf finds which transaction's state a database is in, -1 for none of them.
func (h *logHistory) stateOf(b []byte) int {
	for i, s := range h.states {
		if bytes.Equal(s, b) {
			return i
		}
	}
	return -1
}

// A log that is damaged in any of its frames is kept up to there, and the number of
// transactions beyond is said. Lost otherwise: commits that the checksums prove; or
// consistency, where pages of two states are mixed.
func TestRepairLogDamagedAnywhere(t *testing.T) {
	t.Parallel()
	h := makeHistory(t, 5, nil)
	ends := commitFrames(h.log)
	if len(ends) != 5 {
		t.Fatalf("commits end at frames %v", ends)
	}
	for frame := 1; frame <= ends[4]; frame++ {
		at := []int{0, 9, 17, walFrameSize + 400}[frame%4] // page number, salt, checksum, page
		log := bytes.Clone(h.log)
		log[walHeaderSize+(frame-1)*historyStride+at] ^= 0x20
		want := 0
		for want < 5 && ends[want] < frame {
			want++
		}
		h.repairs(t, fmt.Sprintf("frame %d byte %d", frame, at), h.main, log, want, int64(5-want))
	}
}

// repairs checks what becomes of main and log: state want, with dropped transactions
// reported, or one fewer where the damaged one looks like a torn tail.
func (h *logHistory) repairs(t *testing.T, name string, main, log []byte, want int, lost int64, index ...[]byte) {
	t.Helper()
	path := lay(t, main, log, index...)
	rep := checkFull(t, path)
	if !rep.Damaged() {
		if lost > 1 {
			t.Errorf("%s: %d transactions are lost, and it is %s: %v", name, lost, rep.Verdict, rep.Findings)
		}
		return
	}
	m, err := Copy(t.Context(), path, rep, Options{})
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if got := h.stateOf(readAll(t, path)); got != want {
		t.Errorf("%s: repaired to state %d, want %d: %+v", name, got, want, m)
	}
	if lost > 0 && (m.Dropped < 1 || m.Dropped > lost) || lost == 0 && m.Dropped != 0 {
		t.Errorf("%s: %d transactions are lost, %d reported", name, lost, m.Dropped)
	}
	wantWhole(t, path, m)
}

// A damaged header hides the whole log from SQLite, and none of it is lost.
func TestRepairLogHeader(t *testing.T) {
	t.Parallel()
	h := makeHistory(t, 3, nil)
	for at := range walHeaderSize {
		log := bytes.Clone(h.log)
		log[at] ^= 0x11
		path := lay(t, h.main, log)
		rep := checkFull(t, path)
		if rep.Verdict != integrity.Corrupt {
			t.Errorf("byte %d: %s", at, rep.Verdict)
			continue
		}
		m, err := Copy(t.Context(), path, rep, Options{})
		if at >= 4 && at < 8 && err != nil {
			continue // another format version: what the frames mean is not known
		}
		if got := -1; err == nil {
			if got = h.stateOf(readAll(t, path)); got != 3 || m.Dropped != 0 {
				t.Errorf("byte %d: repaired to state %d: %+v", at, got, m)
			}
			continue
		}
		t.Errorf("byte %d: %v", at, err)
	}
}

// The header and the first frames are gone: what is proven of the rest cannot be
// laid over a database that lacks them, and must not be ignored either.
func TestRepairLogWithoutItsBeginning(t *testing.T) {
	t.Parallel()
	h := makeHistory(t, 3, nil)
	for frames := range 3 {
		log := bytes.Clone(h.log)
		clear(log[:walHeaderSize+frames*historyStride])
		path := lay(t, h.main, log)
		rep := checkFull(t, path)
		if rep.Verdict != integrity.Corrupt || rep.Findings[0].Code != integrity.CodeWALLost {
			t.Errorf("%d frames gone: %s %v", frames, rep.Verdict, rep.Findings)
			continue
		}
		_, err := Copy(t.Context(), path, rep, Options{})
		if got := h.stateOf(readAll(t, path)); err == nil && got < 0 || err != nil && !errors.Is(err, ErrNotRepairable) {
			t.Errorf("%d frames gone: state %d, %v", frames, got, err)
		}
	}
}

// A checkpoint has copied the whole log into the database, as is usual while no process
// writes; then the log is damaged. The proven part of it is older than the file:
// laid over it, it gives a mixture that every check may pass.
func TestRepairLogAfterCheckpoint(t *testing.T) {
	t.Parallel()
	h := makeHistory(t, 4, func(i int, c *sqlite.Conn) {
		if i == 4 {
			if err := c.Exec(t.Context(), "PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
				t.Fatal(err)
			}
		}
	})
	if h.stateOf(h.main) != 4 {
		t.Fatal("the checkpoint did not copy everything: this test shows nothing")
	}
	ends := commitFrames(h.log)
	for frame := 1; frame < ends[3]; frame++ {
		log := bytes.Clone(h.log)
		log[walHeaderSize+(frame-1)*historyStride+walFrameSize+300] ^= 1
		h.repairs(t, fmt.Sprintf("frame %d", frame), h.main, log, 4, 0)
	}
	// Without its last commit mark the log looks like one that a crash cut short; its
	// index knows of the checkpoint.
	for _, cut := range []int{5, historyStride, 3 * historyStride} {
		path := lay(t, h.main, h.log[:walHeaderSize+ends[3]*historyStride-cut], h.index)
		rep, err := integrity.Check(t.Context(), path, integrity.Options{Level: integrity.LevelHeader})
		if err != nil || rep.Verdict != integrity.Corrupt || rep.Findings[0].Code != integrity.CodeWALBehind {
			t.Errorf("cut by %d: %s %v %v", cut, rep.Verdict, rep.Findings, err)
		}
		if cut < historyStride { // else it is not known whether the file has all that the last frames held
			h.repairs(t, fmt.Sprintf("cut by %d", cut), h.main, h.log[:walHeaderSize+ends[3]*historyStride-cut], 4, 0, h.index)
		}
	}
}

// A transaction puts everything back to what it was before the log, and is never
// finished: the file has what its frames say, and no checkpoint was made.
func TestUndoingIsNoCheckpoint(t *testing.T) {
	t.Parallel()
	path := makeDB(t, "x.db", `PRAGMA page_size=1024; PRAGMA journal_mode=wal; CREATE TABLE t(id INTEGER PRIMARY KEY, v INT, pad TEXT);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<200) INSERT INTO t SELECT i, 0, hex(zeroblob(100)) FROM n`)
	c := connect(t, path)
	if err := c.Exec(t.Context(), "PRAGMA wal_autocheckpoint=0; UPDATE t SET v=1; UPDATE t SET v=0"); err != nil {
		t.Fatal(err)
	}
	main, log, index := readAll(t, path), readAll(t, path+"-wal"), readAll(t, path+"-shm")
	ends := commitFrames(log)
	for _, cut := range []int{1, historyStride, 2 * historyStride} {
		torn := log[:walHeaderSize+ends[1]*historyStride-cut]
		for _, path := range []string{lay(t, main, torn), lay(t, main, torn, index)} {
			rep := checkFull(t, path)
			if rep.Verdict != integrity.Healthy {
				t.Errorf("cut by %d: %s %v", cut, rep.Verdict, rep.Findings)
			}
			if _, err := Copy(t.Context(), path, rep, Options{}); err != nil {
				t.Errorf("cut by %d: %v", cut, err)
				continue
			}
			wantInt(t, path, "SELECT sum(v) FROM t", 200)
		}
	}
}

// A log that a crash cut short anywhere, with a file that no checkpoint has
// touched, or that one has brought up to date before: nothing is wrong with either.
// Lost otherwise: half a day of work, to a false alarm after every power failure.
func TestTornTailIsNoAlarm(t *testing.T) {
	t.Parallel()
	h := makeHistory(t, 4, nil)
	for cut := 0; cut < len(h.log); cut += 341 {
		rep, err := integrity.Check(t.Context(), lay(t, h.main, h.log[:len(h.log)-cut]), integrity.Options{Level: integrity.LevelHeader})
		if err != nil || rep.Verdict != integrity.Healthy {
			t.Fatalf("cut by %d: %s %v %v", cut, rep.Verdict, rep.Findings, err)
		}
	}
}

// A reader kept a checkpoint from going further than transaction 2. SQLite then
// copies those pages that no later transaction has changed: the file is no state at
// all without its log, and parts of it are newer than what a damaged log proves.
func TestRepairLogHalfCheckpointed(t *testing.T) {
	t.Parallel()
	h := makeHistory(t, 5, func(i int, c *sqlite.Conn) {
		switch i {
		case 2:
			path, err := c.Text(t.Context(), "SELECT file FROM pragma_database_list")
			if err != nil {
				t.Fatal(err)
			}
			if err := connect(t, path).Exec(t.Context(), "BEGIN; SELECT count(*) FROM t"); err != nil {
				t.Fatal(err)
			}
		case 4:
			if err := c.Exec(t.Context(), "PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
				t.Fatal(err)
			}
		}
	})
	whole := 0
	if bytes.Equal(h.main, h.states[0]) || h.stateOf(h.main) >= 0 {
		t.Fatalf("the file is in state %d: this test shows nothing", h.stateOf(h.main))
	}
	ends := commitFrames(h.log)
	for frame := 1; frame <= ends[4]; frame++ {
		log := bytes.Clone(h.log)
		log[walHeaderSize+(frame-1)*historyStride+walFrameSize+300] ^= 1
		want := 0
		for want < 5 && ends[want] < frame {
			want++
		}
		path := lay(t, h.main, log)
		_, err := Copy(t.Context(), path, checkFull(t, path), Options{})
		switch got := h.stateOf(readAll(t, path)); {
		case err == nil && got != want && got != 5:
			t.Errorf("frame %d: repaired to state %d, want %d", frame, got, want)
		case err == nil:
			whole++
		case want == 5:
			t.Errorf("frame %d, behind the last commit: %v", frame, err)
		}
	}
	// What the damaged frame held, and whether the file has it, is not known of all.
	if whole < ends[4]/3 {
		t.Errorf("only %d of %d were repaired", whole, ends[4])
	}
}

// The first block of a short log is gone, and with it the checksums by which its frames are
// known; its index still says that there was a commit. Lost otherwise: the commit, with a
// report that the database is healthy.
func TestRepairLogWithoutFirstBlock(t *testing.T) {
	t.Parallel()
	for _, fill := range []byte{0, 0x55} {
		path := makeDB(t, "x.db", `PRAGMA page_size=4096; PRAGMA journal_mode=wal; CREATE TABLE a(id INTEGER PRIMARY KEY, v INT); INSERT INTO a VALUES(1,0)`)
		c := connect(t, path)
		if err := c.Exec(t.Context(), "PRAGMA wal_autocheckpoint=0; UPDATE a SET v=1; UPDATE a SET v=2"); err != nil {
			t.Fatal(err)
		}
		log := readAll(t, path+"-wal")
		if len(log) != walHeaderSize+2*(walFrameSize+4096) {
			t.Fatalf("the log has %d bytes", len(log))
		}
		copy(log, bytes.Repeat([]byte{fill}, 4096))
		p := lay(t, readAll(t, path), log, readAll(t, path+"-shm"))
		rep := checkFull(t, p)
		if !rep.Damaged() {
			t.Errorf("%#x: called %s: %v", fill, rep.Verdict, rep.Findings)
		}
		if m, err := Copy(t.Context(), p, rep, Options{}); !errors.Is(err, ErrNotRepairable) {
			t.Errorf("%#x: %+v, %v", fill, m, err)
		}
	}
}

// A checkpoint died half way, and then the part of the log was damaged that would
// have finished it: what is left is a mixture, and no repair may call it whole.
func TestRepairLogMixture(t *testing.T) {
	t.Parallel()
	h := makeHistory(t, 4, nil)
	ends := commitFrames(h.log)
	pages := len(h.states[4]) / historyPageSize
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		// Pages of the last state, some of them, over the first.
		main := append(bytes.Clone(h.main), make([]byte, len(h.states[4])-len(h.main))...)
		for p := range pages {
			if rnd.IntN(2) == 0 {
				copy(main[p*historyPageSize:], h.states[4][p*historyPageSize:(p+1)*historyPageSize])
			}
		}
		frame := 1 + rnd.IntN(ends[3])
		log := bytes.Clone(h.log)
		log[walHeaderSize+(frame-1)*historyStride+walFrameSize+300] ^= 1
		path := lay(t, main, log)
		rep := checkFull(t, path)
		if !rep.Damaged() {
			continue // the very last transaction is hidden by a torn tail
		}
		if _, err := Copy(t.Context(), path, rep, Options{}); err != nil {
			continue
		}
		if got := h.stateOf(readAll(t, path)); got < 0 {
			t.Errorf("damage in frame %d: a mixture was called whole", frame)
		}
	}
}

// What is applied is byte for byte what SQLite's own checkpoint makes of it.
func TestAppliedLogEqualsCheckpoint(t *testing.T) {
	t.Parallel()
	h := makeHistory(t, 5, nil)
	for _, cut := range []int{len(h.log), len(h.log) - 5, len(h.log) - historyStride, walHeaderSize + 3*historyStride, walHeaderSize, 7, 0} {
		ours, theirs := lay(t, h.main, h.log[:cut]), lay(t, h.main, h.log[:cut])
		if err := applyLog(t.Context(), ours, integrity.Report{}, &Result{}); err != nil {
			t.Fatal(err)
		}
		c := connect(t, theirs)
		if err := c.Exec(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(readAll(t, ours), readAll(t, theirs)) {
			t.Errorf("log of %d bytes: not what a checkpoint makes", cut)
		}
	}
}
