package pages

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/testdb"
)

// A backup is what SQLite itself makes of the files as they were when the snapshot
// began, also where others write to the database while it is being read: were it not, it
// would mix two states of pages, and be corrupt or, worse, plausible. Operations, and
// the moments at which they come, are picked at random; a failure prints the
// variant with its seed, which play repeats.
func TestImageWhileOthersWork(t *testing.T) {
	testdb.RequireTool(t, "sqlite3")
	seed := uint64(time.Now().UnixNano())
	sum := new(happened)
	for more := range uint64(4) { // chance may leave something out
		t.Run("databases", func(t *testing.T) { // returns when the parallel ones have ended
			for _, v := range some(seed + more) {
				t.Run(v.String(), func(t *testing.T) {
					t.Parallel()
					play(t, v, 2, sum)
				})
			}
		})
		if t.Failed() || sum.everything() {
			break
		}
	}
	if !t.Failed() {
		sum.enough(t)
	}
}

// variant is one database that is worked on.
type variant struct {
	size         int
	journal, vac string
	inProcess    bool // the application is this process, with connections of its own
	seed         uint64
}

func (v variant) String() string {
	who := "other"
	if v.inProcess {
		who = "own"
	}
	return fmt.Sprintf("%d-%s-%s-%s-seed=%d", v.size, v.journal, v.vac, who, v.seed)
}

var (
	rollbackModes = []string{"delete", "truncate", "persist"}
	vacuumModes   = []string{"none", "full", "incremental"}
)

// some has every page size, in WAL mode with either application, and in a rollback mode.
func some(seed uint64) (list []variant) {
	r := rand.New(rand.NewPCG(seed, 0))
	for size := 512; size <= 65536; size *= 2 {
		vac := r.Perm(3)
		for i, journal := range []string{"wal", "wal", rollbackModes[r.IntN(3)]} {
			list = append(list, variant{size, journal, vacuumModes[vac[i]], i == 0 || i == 2 && r.IntN(2) == 0, r.Uint64()})
		}
	}
	return list
}

// happened counts what the copies went through; without it they prove nothing.
type happened struct{ images, seconds, restarted, checkpointed, grown, shrunk, heldOff atomic.Int64 }

func (h *happened) enough(t *testing.T) {
	t.Helper()
	t.Logf("%d images, %d of second readers; in mid-read: %d logs restarted, %d times the file written by a checkpoint, %d times grown, %d times shrunk, %d writers held off",
		h.images.Load(), h.seconds.Load(), h.restarted.Load(), h.checkpointed.Load(), h.grown.Load(), h.shrunk.Load(), h.heldOff.Load())
	if !h.everything() {
		t.Error("one of these never happened: the test proves nothing of it")
	}
}

func (h *happened) everything() bool {
	for _, n := range []*atomic.Int64{&h.images, &h.seconds, &h.restarted, &h.checkpointed, &h.grown, &h.shrunk, &h.heldOff} {
		if n.Load() == 0 {
			return false
		}
	}
	return true
}

// player takes one image after the other of one database.
type player struct {
	t *testing.T
	variant
	db  string
	r   *rand.Rand
	app *application
	sum *happened
}

func play(t *testing.T, v variant, rounds int, sum *happened) {
	p := &player{t: t, variant: v, db: filepath.Join(t.TempDir(), "data.db"), r: rand.New(rand.NewPCG(v.seed, 1)), sum: sum}
	shell(t, p.db, fmt.Sprintf(`PRAGMA page_size=%d; PRAGMA auto_vacuum=%s; PRAGMA journal_mode=%s;
		CREATE TABLE t(id INTEGER PRIMARY KEY, a BLOB); CREATE INDEX t_a ON t(substr(a,1,20));
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<1500) INSERT INTO t(a) SELECT randomblob(abs(random())%%4000) FROM n`,
		v.size, v.vac, v.journal))
	p.app = newApplication(t, p.db, v)
	for i := range rounds {
		if p.round(); t.Failed() {
			t.Logf("round %d", i)
			return
		}
	}
	p.app.close()
}

// round takes one image and that of its second reader, each twice, while the application works.
func (p *player) round() {
	ready := p.operations(p.r.IntN(5), "pin", "unpin", "reopen")
	if p.r.IntN(3) == 0 { // the log is checkpointed: its next writer may restart it under us
		ready = append(ready, operation{"other:COMMIT"}, operation{"PRAGMA wal_checkpoint(restart)"})
	}
	if n := p.app.start(ready)(); n > 0 {
		p.t.Errorf("%d of %v were held off, and there is no other process", n, ready)
	}
	s, want := p.begin()
	defer s.Close()
	second := s.SecondReader()
	if there := second != nil; there != (p.journal == "wal") {
		p.t.Errorf("a second reader: %v", there)
	}
	began := p.files()
	p.copies(s, second, want)
	now := p.files()
	if err := s.Close(); err != nil {
		p.t.Error(err)
	}
	p.count(began, now, int64(len(want)))
}

// begin also says what the image has to be. In half of all cases others commit between
// a snapshot's beginning and its second reader's, so that it has to move on.
func (p *player) begin() (s *Snapshot, want []byte) {
	moves := p.journal == "wal" && p.r.IntN(2) == 0
	if !moves {
		want = p.plain()
	}
	s, err := Begin(p.t.Context(), p.db, livedb.Options{SecondReader: !moves})
	if err != nil {
		p.t.Fatal(err)
	}
	if moves {
		p.heldOff(p.app.start(p.operations(1+p.r.IntN(3), "pin", "unpin"))())
		want = p.plain()
		if err := s.OpenSecondReader(p.t.Context()); err != nil {
			p.t.Error(err)
		}
	}
	return s, want
}

// copies reads with others at work: one after the other between two writes, or all the time.
func (p *player) copies(s *Snapshot, second *livedb.Tx, want []byte) {
	heldOff := 0
	between := func() { heldOff += p.app.start(p.operations(p.r.IntN(3), "pin", "unpin"))() }
	if p.r.IntN(3) == 0 {
		wait := p.app.start(p.operations(6, "pin", "unpin"))
		defer func() { p.heldOff(heldOff + wait()) }()
		between = func() {}
	} else {
		defer func() { p.heldOff(heldOff) }()
	}
	turn := p.r.IntN(3)
	p.copy("image", s, want, func() {
		between()
		if turn--; turn == 0 && second != nil {
			p.copy("second reader in mid-read", &Snapshot{second}, want, between)
		}
	})
	if second != nil {
		p.copy("second reader afterwards", &Snapshot{second}, want, between)
	}
	p.copy("image again", s, want, func() {})
	if file := s.ImageFile(p.t.Context()); file == nil && p.journal != "wal" {
		p.t.Error("the file is the image, and is not read: writers wait for longer than they need to")
	} else if file != nil {
		file.Close()
	}
}

func (p *player) copy(what string, s *Snapshot, want []byte, between func()) {
	var image bytes.Buffer
	read := s.CopyTo
	if p.r.IntN(2) == 0 {
		what, read = what+", spooled", s.Spool
	}
	if err := read(p.t.Context(), &image, func(int64) { between() }); err != nil {
		p.t.Errorf("%s: %v", what, err)
	} else if !bytes.Equal(image.Bytes(), want) {
		sameBytes(p.t, what, image.Bytes(), want)
	}
	p.sum.images.Add(1)
	if s.SecondReader() == nil && p.journal == "wal" {
		p.sum.seconds.Add(1)
	}
}

// interrupted is a writer whose caller waits for others.
type interrupted struct {
	io.Writer
	between func()
}

func (w interrupted) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	w.between()
	return n, err
}

// heldOff receives the number of operations that failed for a lock while the snapshot was open.
func (p *player) heldOff(n int) {
	p.sum.heldOff.Add(int64(n))
	if n > 0 && p.journal == "wal" {
		p.t.Errorf("%d writers were held off in WAL mode", n)
	}
}

// plain is the image as SQLite's own library makes it, in another process, of a copy
// of the files: it recovers the log by reading it, and writes it into the file.
func (p *player) plain() []byte {
	p.t.Helper()
	dir := p.t.TempDir()
	for _, suffix := range []string{"", "-wal", "-journal"} {
		if _, err := os.Stat(p.db + suffix); errors.Is(err, os.ErrNotExist) {
			continue
		}
		// Another process: closing the file would drop the locks of this one.
		if out, err := exec.Command(tool(p.t, "cp"), p.db+suffix, dir).CombinedOutput(); err != nil {
			p.t.Fatalf("cp: %v: %s", err, out)
		}
	}
	db := filepath.Join(dir, filepath.Base(p.db))
	if out := shell(p.t, db, "PRAGMA wal_checkpoint(truncate)"); out != "0|0|0" && p.journal == "wal" {
		p.t.Fatalf("the checkpoint of the copy: %s", out)
	}
	image, err := os.ReadFile(db)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		p.t.Fatal(err)
	}
	return image
}

// files shows whether a log was restarted, and a checkpoint. A -wal may be opened
// and closed: SQLite locks bytes of the -shm and of the database only.
type files struct {
	written time.Time // the database file
	salt    [8]byte   // of the log's header (https://www.sqlite.org/fileformat2.html#the_write_ahead_log)
}

func (p *player) files() (now files) {
	st, err := os.Stat(p.db)
	if err != nil {
		p.t.Fatal(err)
	}
	now.written = st.ModTime()
	if log, err := os.ReadFile(p.db + "-wal"); err == nil && len(log) >= 32 {
		copy(now.salt[:], log[16:24])
	}
	return now
}

func (p *player) count(began, now files, bytes int64) {
	if began.salt != now.salt && began.salt != [8]byte{} {
		p.sum.restarted.Add(1)
	}
	if p.journal != "wal" {
		return
	}
	if !began.written.Equal(now.written) {
		p.sum.checkpointed.Add(1)
	}
	s, err := Begin(p.t.Context(), p.db, livedb.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	defer s.Close()
	switch after := s.Info().Bytes(); {
	case after > bytes:
		p.sum.grown.Add(1)
	case after < bytes:
		p.sum.shrunk.Add(1)
	}
}
