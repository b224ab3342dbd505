package repair

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"example.com/snapd/integrity"

	"example.com/snapd/internal/sqlite"
)

// damage damages a log in one of many ways.
func damage(rnd *rand.Rand, log []byte) []byte {
	frames := (len(log) - walHeaderSize) / historyStride
	if frames == 0 {
		return log
	}
	frame := func() []byte {
		off := walHeaderSize + rnd.IntN(frames)*historyStride
		return log[off : off+historyStride]
	}
	f := frame()
	switch rnd.IntN(7) {
	case 0: // in the page
		f[walFrameSize+rnd.IntN(historyPageSize)] ^= 1 << rnd.IntN(8)
	case 1: // in the frame's header
		f[rnd.IntN(walFrameSize)] ^= 1 << rnd.IntN(8)
	case 2:
		clear(f)
	case 3: // two writes went to each other's place
		g := frame()
		kept := bytes.Clone(f)
		copy(f, g)
		copy(g, kept)
	case 4: // half a write
		copy(f[walFrameSize:], bytes.Repeat([]byte{byte(rnd.IntN(256))}, historyPageSize/2))
	case 5:
		log[rnd.IntN(walHeaderSize)] ^= 1 << rnd.IntN(8)
	case 6: // page and checksum
		f[walFrameSize+rnd.IntN(historyPageSize)] ^= 1 << rnd.IntN(8)
		f[16+rnd.IntN(8)] ^= 1 << rnd.IntN(8)
	}
	return log
}

// Logs damaged in one to three places, with files that no checkpoint has touched,
// one has brought up to date, or one could bring up to date in part only. Lost
// otherwise: consistency, to a repair that mixes two states, which no check can see.
func TestRepairLogDamagedAtRandom(t *testing.T) {
	t.Parallel()
	checkpoint := func(c *sqlite.Conn) {
		if err := c.Exec(t.Context(), "PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
			t.Fatal(err)
		}
	}
	histories := []logHistory{
		makeHistory(t, 5, nil),
		makeHistory(t, 5, func(i int, c *sqlite.Conn) {
			if i == 5 {
				checkpoint(c)
			}
		}),
		makeHistory(t, 5, func(i int, c *sqlite.Conn) {
			if i == 2 {
				path, err := c.Text(t.Context(), "SELECT file FROM pragma_database_list")
				if err != nil {
					t.Fatal(err)
				}
				if err := connect(t, path).Exec(t.Context(), "BEGIN; SELECT count(*) FROM t"); err != nil {
					t.Fatal(err)
				}
			}
			if i > 2 {
				checkpoint(c)
			}
		}),
	}
	rnd := rand.New(rand.NewPCG(7, 9))
	whole := 0
	for n := range 400 {
		h := histories[n%len(histories)]
		log := bytes.Clone(h.log)
		for range 1 + rnd.IntN(3) {
			log = damage(rnd, log)
		}
		path := lay(t, h.main, log)
		rep := checkFull(t, path)
		if rep.Verdict != integrity.Corrupt {
			continue
		}
		m, err := Copy(t.Context(), path, rep, Options{})
		if errors.Is(err, ErrNotRepairable) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		whole++
		state := h.stateOf(readAll(t, path))
		if state < 0 {
			t.Errorf("%d: repaired to a mixture: %+v; %v", n, m, rep.Findings)
		}
		if state < 5 && m.Dropped == 0 {
			t.Errorf("%d: state %d, and nothing is said to be dropped: %+v", n, state, m)
		}
	}
	if whole < 150 {
		t.Errorf("only %d were repaired: this test shows little", whole)
	}
}
