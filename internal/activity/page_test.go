package activity

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
)

// Lost: entries between two pages, when others are appended meanwhile; or the end,
// when the log is rotated, and then removed.
func TestCursorStaysGood(t *testing.T) {
	l := New(t.TempDir())
	l.max = 2 << 10
	appendAll(t, l, 0, 10)
	page, next, err := l.Page("", 4)
	if err != nil || len(page) != 4 || next == "" {
		t.Fatalf("%v, %q, %v", page, next, err)
	}
	old := 10
	for stop := func() bool { _, err := os.Stat(l.path(oldName)); return err == nil }; !stop(); old++ {
		appendAll(t, l, old, old+1)
		page, _, err = l.Page(next, 9)
		if err != nil || len(page) != 6 || page[0].Backup != "5" {
			t.Fatalf("after %d: %v, %v", old, page, err)
		}
	}
	// The page that goes on from the log to the old one.
	wants(t, all(t, l, 3), numbers(old-1, 0))
	first, err := os.Stat(l.path(oldName))
	if err != nil {
		t.Fatal(err)
	}
	for n := old; ; n++ {
		appendAll(t, l, n, n+1)
		if st, err := os.Stat(l.path(oldName)); err != nil || !os.SameFile(first, st) {
			break
		}
	}
	if page, next, err = l.Page(next, 9); err != nil || len(page) != 0 || next != "" {
		t.Errorf("of a log that was removed: %v, %q, %v", page, next, err)
	}
}

// Lost: the word that a cursor is wrong; instead of it a page of something.
func TestWrongCursors(t *testing.T) {
	l := New(t.TempDir())
	appendAll(t, l, 0, 9)
	_, next, err := l.Page("", 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, cursor := range []string{"x", "!", next + "A", next[:len(next)-1], strings.Repeat("A", 9000), next[:11] + "_________" + next[20:]} {
		if page, _, err := l.Page(cursor, 1); !errors.Is(err, ErrCursor) {
			t.Errorf("%.40s: %v, %v", cursor, page, err)
		}
	}
}

// Lost: the bound on what one call reads and holds, when another program has put a
// very large file there; or the entries before the garbage in it.
func TestHugeLogIsReadInParts(t *testing.T) {
	l := New(t.TempDir())
	appendAll(t, l, 0, 3)
	f, err := os.OpenFile(l.path(logName), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 2*maxScan>>20 + 1 {
		if _, err := f.Write(bytes.Repeat([]byte{'x'}, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	calls, cursor := 0, ""
	var names []string
	for calls == 0 || cursor != "" {
		page, next, err := l.Page(cursor, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			names = append(names, e.Backup)
		}
		calls, cursor = calls+1, next
	}
	wants(t, names, "2 1 0")
	if calls != 4 {
		t.Errorf("%d calls", calls)
	}
	if held := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if _, _, err := l.Page("", 2); err != nil {
				b.Fatal(err)
			}
		}
	}).AllocedBytesPerOp(); held > 2*maxScan {
		t.Errorf("%d bytes allocated for reading %d", held, maxScan)
	}
}

// FuzzPage: for any content of the files, and any cursor, paging
// ends, gives each entry once, and gives those again that it was given.
func FuzzPage(f *testing.F) {
	line, err := Record{Entry: entry(1)}.line()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line, []byte{}, "", 1)
	f.Add(append(line[:len(line):len(line)], line[:20]...), []byte("\n\nx\n"), "AAAAAAAAAAAAAAAAAAAAAA", 2)
	f.Add(bytes.Repeat(line, 3), bytes.Repeat(line, 2), "", 2)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, now, old []byte, cursor string, limit int) {
		l := New(dir)
		if err := errors.Join(os.WriteFile(l.path(logName), now, 0o600), os.WriteFile(l.path(oldName), old, 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := l.Page(cursor, limit); err != nil && !errors.Is(err, ErrCursor) {
			t.Fatal(err)
		}
		var whole []Entry
		if _, err := l.walk("", nil, func(r Record) bool { whole = append(whole, r.Entry); return true }); err != nil {
			t.Fatal(err)
		}
		var paged []Entry
		for at := ""; ; {
			page, next, err := l.Page(at, limit)
			if err != nil {
				t.Fatal(err)
			}
			paged = append(paged, page...)
			if next == "" {
				break
			}
			if len(page) == 0 || len(paged) > len(whole) {
				t.Fatalf("%d entries of %d, the last page had %d, and there is a next one", len(paged), len(whole), len(page))
			}
			at = next
		}
		if len(paged) != len(whole) {
			t.Fatalf("%d entries, by pages %d", len(whole), len(paged))
		}
		for _, e := range whole {
			line, err := Record{Entry: e}.line()
			if err != nil {
				t.Fatal(err)
			}
			again, ok := parse(bytes.TrimSuffix(line, []byte("\n")))
			if !ok || again.Detail != e.Detail || again.Action != e.Action || !again.At.Equal(e.At) {
				t.Fatalf("%+v came back as %+v", e, again)
			}
		}
	})
}
