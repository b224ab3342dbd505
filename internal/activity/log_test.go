package activity

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

var began = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func entry(n int) Entry {
	return Entry{At: began.Add(time.Duration(n) * time.Minute), Who: "automatic", Action: "backup", Outcome: "done", Backup: strconv.Itoa(n)}
}

func appendAll(t testing.TB, l *Log, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if err := l.Append(entry(n)); err != nil {
			t.Fatal(err)
		}
	}
}

// all pages through the log, limit entries at a time, and returns the backups' names.
func all(t testing.TB, l *Log, limit int) (names []string) {
	t.Helper()
	cursor := ""
	for {
		page, next, err := l.Page(cursor, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			names = append(names, e.Backup)
		}
		if next == "" {
			return names
		}
		if len(page) == 0 {
			t.Fatal("an empty page has a next one")
		}
		cursor = next
	}
}

// numbers are the names from..to in steps of one, either way.
func numbers(from, to int) string {
	var names []string
	for n := from; ; {
		names = append(names, strconv.Itoa(n))
		switch {
		case n < to:
			n++
		case n > to:
			n--
		default:
			return strings.Join(names, " ")
		}
	}
}

func wants(t testing.TB, names []string, want string) {
	t.Helper()
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Lost: any part of an entry, or the order.
func TestEntriesComeBack(t *testing.T) {
	l := New(t.TempDir())
	if page, next, err := l.Page("", 10); err != nil || len(page) > 0 || next != "" {
		t.Fatalf("of no log: %v, %q, %v", page, next, err)
	}
	since := began.Add(-time.Hour)
	full := Entry{At: began, Who: "alice", Action: "restore", Backup: "b1", Outcome: "failed", Detail: "line\nbreak <&> \x00 „ü“",
		Operation: "op", Trigger: "manual", Code: "busy", DatabaseBytes: 1, ArchiveBytes: 2, DurationMS: 3, Since: &since, Schedule: "0 3 * * *"}
	if err := l.Append(full, entry(1)); err != nil {
		t.Fatal(err)
	}
	page, next, err := l.Page("", 0)
	if err != nil || next != "" || len(page) != 2 || page[0] != entry(1) {
		t.Fatalf("%+v, %q, %v", page, next, err)
	}
	if !page[1].Since.Equal(since) {
		t.Errorf("since %v", page[1].Since)
	}
	page[1].Since = &since
	if page[1] != full {
		t.Errorf("%+v", page[1])
	}
	if st, err := os.Stat(l.path(logName)); err != nil || runtime.GOOS != "windows" && st.Mode() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	for limit := range 4 {
		wants(t, all(t, l, limit), "1 b1")
	}
}

// Lost: an entry whose texts are longer than a line may be, or the border between
// characters where they are cut.
func TestLongTextsAreCut(t *testing.T) {
	l := New(t.TempDir())
	worst := strings.Repeat("\x01", 9000)
	long := Entry{At: began, Who: worst, Action: worst, Backup: worst, Outcome: worst, Operation: worst, Trigger: worst, Code: worst, Schedule: worst,
		Detail: worst, DatabaseBytes: -1 << 63, ArchiveBytes: -1 << 63, DurationMS: -1 << 63}
	umlauts, wrong := long, long
	umlauts.Detail, wrong.Detail = strings.Repeat("ü", 9000), strings.Repeat("\xffa", 9000)
	if err := l.Append(long, umlauts, wrong); err != nil {
		t.Fatal(err)
	}
	page, _, err := l.Page("", 9)
	if err != nil || len(page) != 3 {
		t.Fatalf("%d entries, %v", len(page), err)
	}
	for _, e := range page {
		if n := len(e.Detail); n > maxDetail || n < maxDetail-3 || !utf8.ValidString(e.Detail) || !strings.HasSuffix(e.Detail, "…") || len(e.Who) > maxWord {
			t.Errorf("a detail of %d bytes, who of %d: …%q", n, len(e.Who), e.Detail[n-8:])
		}
	}
}

// Lost: the entry after one that a crash cut short.
func TestTornLineIsClosedOff(t *testing.T) {
	l := New(t.TempDir())
	appendAll(t, l, 0, 3)
	text, err := os.ReadFile(l.path(logName))
	if err != nil {
		t.Fatal(err)
	}
	last := len(text) - strings.LastIndex(string(text[:len(text)-1]), "\n")
	for cut := 1; cut < last-1; cut++ {
		if err := os.WriteFile(l.path(logName), text[:len(text)-cut], 0o600); err != nil {
			t.Fatal(err)
		}
		want := "1 0"
		if cut == 1 {
			want = "2 1 0" // but for the line's end it is whole
		}
		wants(t, all(t, l, 9), want)
		appendAll(t, l, 7, 8)
		wants(t, all(t, l, 9), "7 "+want)
	}
}

// Lost: the entries, for lines among them that are none.
func TestGarbageIsSkipped(t *testing.T) {
	l := New(t.TempDir())
	appendAll(t, l, 0, 1)
	for n, garbage := range []string{
		"", "\n\n\n", "nonsense\n", "\x00\x00\x00\n", "{}\n", "[]\n", "null\n", `{"at":"yesterday","action":"x","outcome":"y"}` + "\n",
		`{"at":"2026-11-25T12:00:00Z","who":5,"action":"x","outcome":"y"}` + "\n", strings.Repeat("[", 9000) + "\n",
		`{"at":"9999-12-31T23:59:59-23:00","action":"x","outcome":"y"}` + "\n", `{"at":"0000-01-01T00:00:00+01:00","action":"x","outcome":"y"}` + "\n",
		`{"at":"2026-11-25T12:00:00Z","since":"9999-12-31T23:59:59-23:00","action":"x","outcome":"y"}` + "\n",
		strings.Repeat("x", maxLine) + "\n", strings.Repeat("x", maxLine+1) + "\n", strings.Repeat("x", block) + "\n", strings.Repeat("x", 3*block+7) + "\n",
		`{"at":"2026-11-25T12:00:00Z","action":"x","outcome":"y","detail":"` + strings.Repeat("x", maxLine) + `"}` + "\n", "torn",
	} {
		f, err := os.OpenFile(l.path(logName), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(garbage); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		appendAll(t, l, n+1, n+2)
		wants(t, all(t, l, 2), numbers(n+1, 0))
	}
}

// Lost: entries of processes that write at the same moment, or more of the log than
// one old file has when several rotate it at once.
func TestManyWriters(t *testing.T) {
	dir := t.TempDir()
	const writers, each = 8, 60
	one, err := Record{Entry: entry(100)}.line()
	if err != nil {
		t.Fatal(err)
	}
	var busy sync.WaitGroup
	for w := range writers {
		busy.Go(func() {
			l := New(dir)
			l.max = int64(len(one)) * (writers*each*2/3 + 1) // rotated once, and nothing is removed
			for n := range each {
				if err := l.Append(entry(100 + w*each + n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	busy.Wait()
	seen := map[string]bool{}
	for _, name := range all(t, New(dir), 7) {
		if seen[name] {
			t.Errorf("%s twice", name)
		}
		seen[name] = true
	}
	if len(seen) != writers*each {
		t.Errorf("%d entries of %d", len(seen), writers*each)
	}
	if _, err := os.Stat(filepath.Join(dir, oldName)); err != nil {
		t.Errorf("the log was never rotated: %v", err)
	}
}

// Lost: the bound on what the log takes on the disk, or more than the oldest part
// of it.
func TestLogIsBounded(t *testing.T) {
	l := New(t.TempDir())
	l.max = 4 << 10
	appendAll(t, l, 0, 200)
	kept := all(t, l, 9)
	if len(kept) < 20 {
		t.Errorf("only %d entries are left", len(kept))
	}
	wants(t, kept, numbers(199, 200-len(kept)))
	for _, name := range []string{logName, oldName} {
		if st, err := os.Stat(l.path(name)); err != nil || st.Size() > l.max {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Where the old log cannot be replaced, the log grows to twice its limit.
	if err := errors.Join(os.Remove(l.path(oldName)), os.MkdirAll(filepath.Join(l.path(oldName), "x"), 0o700)); err != nil {
		t.Fatal(err)
	}
	var err error
	for n := 0; n < 200 && err == nil; n++ {
		err = l.Append(entry(n))
	}
	if !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
	if st, err := os.Stat(l.path(logName)); err != nil || st.Size() > 2*l.max || st.Size() < l.max {
		t.Errorf("%d bytes, %v", st.Size(), err)
	}
}

// Lost: that a directory is not there yet; or a revision that stays when something was appended.
func TestErrorsAndRevision(t *testing.T) {
	missing := New(filepath.Join(t.TempDir(), "missing"))
	if err := missing.Append(entry(1)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
	if word, err := missing.Revision(); word != "" || err != nil {
		t.Errorf("revision %q, %v", word, err)
	}
	l := New(t.TempDir())
	seen := map[string]bool{}
	for n := range 20 {
		appendAll(t, l, n, n+1)
		word, err := l.Revision()
		if err != nil || word == "" || seen[word] {
			t.Errorf("revision %q, %v", word, err)
		}
		seen[word] = true
	}
}

// Lost: entries for a reader while the log is rotated again and again; that is
// what the page does during a busy minute.
func TestReadingWhileWriting(t *testing.T) {
	l := New(t.TempDir())
	l.max = 16 << 10
	var busy sync.WaitGroup
	stop := make(chan struct{})
	busy.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := l.Append(entry(n)); err != nil {
				t.Error(err)
			}
		}
	})
	for range 200 {
		names := all(t, New(l.dir), 50)
		for i := 1; i < len(names); i++ {
			newer, err1 := strconv.Atoi(names[i-1])
			older, err2 := strconv.Atoi(names[i])
			if err := errors.Join(err1, err2); err != nil || newer != older+1 {
				t.Fatalf("%d after %d, %v", older, newer, err)
			}
		}
	}
	close(stop)
	busy.Wait()
}
