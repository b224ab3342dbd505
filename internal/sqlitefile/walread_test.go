package sqlitefile_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"example.com/snapd/internal/sqlitefile"
)

const logPage = 512

// logWriter makes a write-ahead log, as SQLite does.
type logWriter struct {
	b   []byte
	sum sqlitefile.WALSum
}

func newLog(bigEndian bool) *logWriter {
	h := make([]byte, sqlitefile.WALHeaderSize)
	magic := uint32(0x377f0682)
	if bigEndian {
		magic++
	}
	binary.BigEndian.PutUint32(h, magic)
	binary.BigEndian.PutUint32(h[4:], 3007000)
	binary.BigEndian.PutUint32(h[8:], logPage)
	copy(h[16:], "saltsalt")
	w := &logWriter{b: h, sum: sqlitefile.WALSum{BigEndian: bigEndian}}
	w.sum.Add(h[:24])
	w.stamp(h[24:])
	return w
}

// stamp stores the running checksum.
func (w *logWriter) stamp(b []byte) { copy(b, stored(w.sum)) }

func stored(sum sqlitefile.WALSum) []byte {
	s1, s2 := sum.Values()
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, s1), s2)
}

// frame appends a frame whose page is filled with content.
func (w *logWriter) frame(pgno, commit uint32, content byte) {
	f := make([]byte, sqlitefile.FrameHeaderSize, sqlitefile.FrameHeaderSize+logPage)
	binary.BigEndian.PutUint32(f, pgno)
	binary.BigEndian.PutUint32(f[4:], commit)
	copy(f[8:], "saltsalt")
	f = append(f, bytes.Repeat([]byte{content}, logPage)...)
	w.sum.Add(f[:8])
	w.sum.Add(f[24:])
	w.stamp(f[16:])
	w.b = append(w.b, f...)
}

func read(t testing.TB, b []byte) *sqlitefile.Log {
	t.Helper()
	l, err := sqlitefile.ReadLog(context.Background(), logFile(b), logPage)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func logFile(b []byte) sqlitefile.LogFile {
	return sqlitefile.LogFile{R: bytes.NewReader(b), Size: int64(len(b))}
}

// threeCommits has frames 1 and 2 (pages 1, 2), 3 (page 2), and 4 and 5 (pages 3, 1).
func threeCommits(bigEndian bool) []byte {
	w := newLog(bigEndian)
	w.frame(1, 0, 'a')
	w.frame(2, 2, 'a')
	w.frame(2, 2, 'b')
	w.frame(3, 0, 'c')
	w.frame(1, 3, 'c')
	return w.b
}

func TestLogProvesItsCommits(t *testing.T) {
	for _, bigEndian := range []bool{false, true} {
		b := threeCommits(bigEndian)
		l := read(t, b)
		if !l.Valid || l.CommitFrame != 5 || l.Commits != 3 || l.Pages != 3 || l.Page1 != l.PageAt(5) || l.Tail || l.BadFrame != 0 || l.Lost() != 0 || len(l.Committed) != 5 {
			t.Errorf("big-endian %v: %+v", bigEndian, l)
		}
		torn := read(t, b[:len(b)-7])
		if torn.CommitFrame != 3 || torn.Commits != 2 || torn.Pages != 2 || !torn.Tail || !torn.Partial || torn.LastFrame != 4 {
			t.Errorf("torn: %+v", torn)
		}
	}
}

// Lost otherwise: commits beyond the damage, and the verdict that they are.
func TestLogCountsWhatIsBeyondDamage(t *testing.T) {
	const stride = sqlitefile.FrameHeaderSize + logPage
	for _, c := range []struct {
		name   string
		at     int // in frame 2
		commit int64
		lost   int64
	}{
		{"content", 100, 0, 2}, {"checksum", 17, 0, 2}, {"salt", 9, 0, 2}, {"page", 3, 0, 2},
	} {
		b := threeCommits(false)
		b[sqlitefile.WALHeaderSize+stride+c.at] ^= 1
		l := read(t, b)
		if l.CommitFrame != c.commit || l.BadFrame != 2 || l.LastFrame != 5 || l.Lost() != c.lost {
			t.Errorf("%s: %+v", c.name, l)
		}
	}
}

// A damaged header hides the whole log from SQLite, and the frames still prove it.
func TestLogWithoutItsHeader(t *testing.T) {
	for _, bigEndian := range []bool{false, true} {
		whole := threeCommits(bigEndian)
		for at := range sqlitefile.WALHeaderSize {
			b := bytes.Clone(whole)
			b[at] ^= 0x40
			l := read(t, b)
			if l.Valid || l.Lost() != 3 || !l.Salvaged.Whole || l.Salvaged.Newest[2] != l.PageAt(3) {
				t.Fatalf("byte %d: %+v", at, l)
			}
			a, err := l.Assume(t.Context(), logFile(b))
			if err != nil || a.CommitFrame != 5 || a.Commits != 3 {
				t.Fatalf("byte %d: %+v %v", at, a, err)
			}
		}
	}
}

// pages is a database of one letter a page.
func pages(letters string) (b []byte) {
	for _, c := range []byte(letters) {
		b = append(b, bytes.Repeat([]byte{c}, logPage)...)
	}
	return b
}

func TestCopied(t *testing.T) {
	const stride = sqlitefile.FrameHeaderSize + logPage
	for _, c := range []struct {
		name  string
		frame int // the damaged one, in its content unless at says otherwise
		at    int
		main  string
		want  sqlitefile.Copied
	}{
		// Frame 3 is page 2 = b, the only one of its page beyond the provable ones.
		{"nothing", 3, 100, "xy", sqlitefile.Copied{Frame: 5, Commits: 3}},
		{"everything", 3, 100, "cbc", sqlitefile.Copied{All: true, Frame: 5, Commits: 3, Older: true, Any: true, Mixed: true}},
		{"everything but the damaged", 3, 100, "cac", sqlitefile.Copied{Frame: 5, Commits: 3, Any: true, Mixed: true}},
		{"the provable part", 3, 100, "aa", sqlitefile.Copied{Frame: 5, Commits: 3, Any: true}},
		{"page number damaged, provable part", 3, 0, "aa", sqlitefile.Copied{Frame: 5, Commits: 2, Any: true, Mixed: true}},
		{"page number damaged, nothing", 3, 0, "xy", sqlitefile.Copied{Frame: 5, Commits: 2}},
		{"first frame damaged and replaced", 1, 100, "cbc", sqlitefile.Copied{All: true, Frame: 5, Commits: 3, Any: true, Mixed: true}},
		{"page number damaged, everything but that page", 3, 0, "cac", sqlitefile.Copied{Frame: 5, Commits: 2, Any: true, Mixed: true}},
		{"the new page only", 4, 100, "xyc", sqlitefile.Copied{Frame: 5, Commits: 3, Any: true, Mixed: true}},
	} {
		b := threeCommits(false)
		b[sqlitefile.WALHeaderSize+(c.frame-1)*stride+c.at] ^= 1
		main := pages(c.main)
		got, err := read(t, b).Copied(t.Context(), logFile(b), bytes.NewReader(main), int64(len(main)))
		if err != nil || got != c.want {
			t.Errorf("%s:\n got %+v %v\nwant %+v", c.name, got, err, c.want)
		}
	}
}

// FuzzLog reads any log with any database.
func FuzzLog(f *testing.F) {
	names, err := filepath.Glob(filepath.Join("..", "..", "testdata", "corrupt", "*-wal"))
	if err != nil || len(names) == 0 {
		f.Fatalf("no fixture: %v", err)
	}
	for _, name := range names {
		wal, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		db, err := os.ReadFile(name[:len(name)-len(sqlitefile.WALSuffix)])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wal, db)
	}
	f.Fuzz(func(t *testing.T, wal, db []byte) {
		l := read(t, wal)
		if l.CommitFrame > l.Frames || int64(len(l.Committed)) != l.CommitFrame || l.BadFrame != 0 && l.CommitFrame >= l.BadFrame {
			t.Errorf("%+v", l)
		}
		if l.Salvaged.Whole {
			a, err := l.Assume(t.Context(), logFile(wal))
			if err != nil || a.Lost()+a.Commits == 0 && l.Salvaged.Commits > 0 {
				t.Errorf("%+v %v", a, err)
			}
			l = a
		}
		c, err := l.Copied(t.Context(), logFile(wal), bytes.NewReader(db), int64(len(db)))
		if err != nil || c.Frame > l.LastFrame {
			t.Errorf("%+v %v", c, err)
		}
	})
}
