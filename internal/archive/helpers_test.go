package archive

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testFacts = Facts{
	Seq: 7, Database: "data.db", Kind: "manual", Trigger: "manual", Note: "before import – größer",
	Pinned: true, CreatedAt: time.Date(2025, 10, 31, 12, 0, 0, 123000000, time.UTC), DurationMS: 41,
	JournalMode: "wal", UserVersion: -3, ApplicationID: 0x5eed, SchemaVersion: 12, Encoding: "UTF-8",
	AutoVacuum: "none", SQLiteVersion: "3.54.1", CheckLevel: "quick",
}

var words = []string{"invoice", "customer", "called", "about", "contract", "renewal", "and", "the", "offer", "sent",
	"meeting", "next", "week", "payment", "overdue", "support", "ticket", "closed", "waiting", "for", "reply", "Berlin"}

// crmImage is n bytes that look like the leaf pages of a CRM database: text of
// few words, addresses, numbers, and some incompressible tokens, about 2.9:1 at
// the fastest level.
func crmImage(n, pageSize int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]byte, 0, n)
	var row []byte
	for len(out) < n {
		page := make([]byte, 0, pageSize)
		page = append(page, 13, 0, 0, 0, 20, 1, 0, 0)
		for {
			row = binary.BigEndian.AppendUint64(row[:0], r.Uint64()>>40)
			row = fmt.Appendf(row, "user%d@example%d.com+49 %d", r.IntN(1e6), r.IntN(50), r.IntN(1e9))
			for range 6 + r.IntN(12) {
				row = append(append(row, ' '), words[r.IntN(len(words))]...)
			}
			row = fmt.Appendf(row, "%x2025-%02d-%02d %02d:%02d", r.Uint32(), r.IntN(12), r.IntN(28), r.IntN(24), r.IntN(60))
			if len(page)+len(row) > pageSize {
				break
			}
			page = append(page, row...)
		}
		out = append(out, page[:pageSize]...)
	}
	return out[:n]
}

// pack makes an archive of image and fails the test on any error.
func pack(t testing.TB, image []byte, o WriterOptions) ([]byte, Info) {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, o)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := w.Write(image); err != nil {
		t.Fatal(err)
	}
	info, err := w.Finish(testFacts)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), info
}

func open(t testing.TB, b []byte) *Reader {
	t.Helper()
	r, err := NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
