package repair

import (
	"bytes"
	"errors"
	"testing"
)

// threeTables has one row in each of three tables, each on a page of its own, and a log
// that nothing copies on its own.
const threeTables = `PRAGMA page_size=1024; PRAGMA journal_mode=wal;
	CREATE TABLE a(id INTEGER PRIMARY KEY, v INT); CREATE TABLE b(id INTEGER PRIMARY KEY, v INT); CREATE TABLE d(id INTEGER PRIMARY KEY, v INT);
	INSERT INTO a VALUES(1,0); INSERT INTO b VALUES(1,0); INSERT INTO d VALUES(1,0)`

// A checkpoint died after the first of two pages, and the newer copy of the second one
// is damaged: the file is no state. Lost otherwise: consistency, to a mixture of two
// transactions that is called whole, with a report that nothing is lost.
func TestRepairLogDeadCheckpoint(t *testing.T) {
	t.Parallel()
	path := makeDB(t, "x.db", threeTables)
	c := connect(t, path)
	run := func(sql string) {
		if err := c.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	run("PRAGMA wal_autocheckpoint=0; BEGIN; UPDATE a SET v=1; UPDATE b SET v=1; COMMIT")
	main := image(t, c)
	run("UPDATE b SET v=2; UPDATE a SET v=3")
	at := (rootOf(t, path, "a") - 1) * 1024
	copy(main[at:], image(t, c)[at:at+1024])
	whole := readAll(t, path+"-wal")
	if ends := commitFrames(whole); len(ends) != 3 || ends[1] != 3 {
		t.Fatalf("commits end at frames %v", ends)
	}
	for _, damaged := range []int{0, 9, 16, walFrameSize + 3, walFrameSize + 1023} { // page number, salt, checksum, page
		log := bytes.Clone(whole)
		log[walHeaderSize+2*historyStride+damaged] ^= 4
		p := lay(t, main, log)
		m, err := Copy(t.Context(), p, checkFull(t, p), Options{})
		if errors.Is(err, ErrNotRepairable) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		wantInt(t, p, "SELECT a.v*10+b.v FROM a, b", 11) // the first transaction's
		if m.Dropped == 0 {
			t.Errorf("byte %d: two transactions are gone, and none is said to be: %+v", damaged, m)
		}
	}
}

// A reader kept a checkpoint from going further than transaction 2, and the end of the
// log is gone: the file has some pages of transaction 2, others not, because transaction
// 3 changed them too. Lost otherwise: consistency, to a mixture that is called whole.
func TestRepairLogCutBehindHalfCheckpoint(t *testing.T) {
	t.Parallel()
	path := makeDB(t, "x.db", threeTables)
	c, reader := connect(t, path), connect(t, path)
	run := func(sql string) {
		if err := c.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	run("PRAGMA wal_autocheckpoint=0; BEGIN; UPDATE a SET v=1; UPDATE b SET v=1; COMMIT; BEGIN; UPDATE a SET v=2; UPDATE b SET v=2; UPDATE d SET v=2; COMMIT")
	if err := reader.Exec(t.Context(), "BEGIN; SELECT * FROM a"); err != nil {
		t.Fatal(err)
	}
	run("UPDATE d SET v=3; PRAGMA wal_checkpoint(PASSIVE)")
	main, log, index := readAll(t, path), readAll(t, path+"-wal"), readAll(t, path+"-shm")
	if ends := commitFrames(log); len(ends) != 3 || ends[2] != 6 {
		t.Fatalf("commits end at frames %v", ends)
	}
	const together = "SELECT a.v=b.v AND (a.v=2)=(d.v>=2) FROM a, b, d"
	for kept := range 6 {
		for _, part := range []int{0, 500} {
			p := lay(t, main, log[:walHeaderSize+kept*historyStride+part], index)
			rep := checkFull(t, p)
			if !rep.Damaged() {
				wantInt(t, p, together, 1)
				continue
			}
			if _, err := Copy(t.Context(), p, rep, Options{}); err == nil {
				wantInt(t, p, together, 1)
			} else if !errors.Is(err, ErrNotRepairable) {
				t.Fatal(err)
			}
			if t.Failed() {
				t.Fatalf("%d frames and %d bytes of the log: %s %v", kept, part, rep.Verdict, rep.Findings)
			}
		}
	}
}

// The log's header and its last frame are damaged, and a checkpoint died on the way to
// the page that was in it. Lost otherwise: as above.
func TestRepairLogDeadCheckpointWithoutHeader(t *testing.T) {
	t.Parallel()
	path := makeDB(t, "x.db", threeTables)
	c := connect(t, path)
	if err := c.Exec(t.Context(), "PRAGMA wal_autocheckpoint=0; UPDATE a SET v=1; BEGIN; UPDATE b SET v=2; UPDATE d SET v=2; COMMIT"); err != nil {
		t.Fatal(err)
	}
	d := (rootOf(t, path, "d") - 1) * 1024
	main := image(t, c)
	copy(main[d:d+1024], readAll(t, path)[d:])
	log := readAll(t, path+"-wal")
	log[walHeaderSize-1] ^= 1
	log[len(log)-1] ^= 1
	p := lay(t, main, log)
	rep := checkFull(t, p)
	if _, err := Copy(t.Context(), p, rep, Options{}); err == nil {
		wantInt(t, p, "SELECT b.v=d.v FROM b, d", 1)
	} else if !errors.Is(err, ErrNotRepairable) {
		t.Fatal(err)
	}
}

// The number of a damaged frame names a page that a later frame replaces, and a checkpoint
// died before the page that was really in it: the file has all that the log seems to
// have, and is no state. Lost otherwise: consistency, to a mixture that is called whole.
func TestRepairLogMisnamedFrame(t *testing.T) {
	t.Parallel()
	path := makeDB(t, "x.db", threeTables)
	c := connect(t, path)
	if err := c.Exec(t.Context(), "PRAGMA wal_autocheckpoint=0; UPDATE b SET v=1; UPDATE a SET v=1"); err != nil {
		t.Fatal(err)
	}
	main, log := readAll(t, path), readAll(t, path+"-wal")
	a, b := rootOf(t, path, "a"), rootOf(t, path, "b")
	if ends := commitFrames(log); len(ends) != 2 || ends[1] != 2 || a^b != 1 {
		t.Fatalf("commits end at frames %v, roots are %d and %d", ends, a, b)
	}
	copy(main[(a-1)*1024:a*1024], image(t, c)[(a-1)*1024:])
	frame := log[walHeaderSize : walHeaderSize+historyStride]
	for name, damage := range map[string]func(f []byte){
		"one bit of the number":           func(f []byte) { f[3] ^= 1 },
		"a frame of an earlier log there": func(f []byte) { f[3], f[8], f[walFrameSize+900] = byte(a), f[8]^1, 7 },
		"the first eight bytes":           func(f []byte) { f[3], f[7] = byte(a), 0 },
	} {
		whole := bytes.Clone(frame)
		damage(frame)
		p := lay(t, main, log)
		rep := checkFull(t, p)
		m, err := Copy(t.Context(), p, rep, Options{})
		copy(frame, whole)
		if !rep.Damaged() {
			t.Errorf("%s: called %s: %v", name, rep.Verdict, rep.Findings)
		}
		if err == nil {
			t.Logf("%s: %+v", name, m)
			wantInt(t, p, "SELECT a.v<=b.v FROM a, b", 1)
		} else if !errors.Is(err, ErrNotRepairable) {
			t.Fatal(err)
		}
	}
}
