package activity

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// after returns the backups' names behind a position.
func after(t *testing.T, l *Log, position string) (names, next string) {
	t.Helper()
	records, next, err := l.After(position, func(Record) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, r := range records {
		all = append(all, r.Backup)
	}
	return strings.Join(all, " "), next
}

// If this fails, a follower of the log misses a record or gets one twice: next to appends, torn lines and rotations.
func TestAfter(t *testing.T) {
	t.Parallel()
	l := New(t.TempDir())
	if names, next := after(t, l, ""); names != "" || next != "" {
		t.Fatalf("of no log: %q, %q", names, next)
	}
	appendAll(t, l, 0, 3)
	names, position := after(t, l, "")
	if names != "0 1 2" {
		t.Fatalf("from the beginning: %q", names)
	}
	if names, same := after(t, l, position); names != "" || same != position {
		t.Errorf("behind the last: %q, %q after %q", names, same, position)
	}
	appendAll(t, l, 3, 4)
	if names, position = after(t, l, position); names != "3" {
		t.Errorf("one more: %q", names)
	}
	torn(t, l, `{"at":"2026-11-25T12:00:00Z","act`)
	if names, again := after(t, l, position); names != "" || again != position {
		t.Errorf("a torn line: %q, and the position moved: %t", names, again != position)
	}
	appendAll(t, l, 4, 5)
	if names, position = after(t, l, position); names != "4" {
		t.Errorf("behind a torn line: %q", names)
	}

	small := &Log{dir: l.dir, max: 150} // each append puts the log aside
	appendAll(t, small, 5, 6)
	if names, next := after(t, l, position); names != "5" {
		t.Errorf("over a rotation: %q", names)
	} else if names, _ = after(t, l, next); names != "" {
		t.Errorf("and again: %q", names)
	}
	appendAll(t, small, 6, 8)
	if names, next := after(t, l, position); names != "6 7" {
		t.Errorf("those that are left: %q", names)
	} else if names, _ = after(t, l, next); names != "" {
		t.Errorf("and again: %q", names)
	}
}

// A log whose first line is not complete yet has no position of its own.
func TestAfterARotationThatIsUnderWay(t *testing.T) {
	t.Parallel()
	l := New(t.TempDir())
	appendAll(t, l, 0, 2)
	if err := os.Rename(l.path(logName), l.path(oldName)); err != nil {
		t.Fatal(err)
	}
	torn(t, l, "{")
	names, position := after(t, l, "")
	if names != "0 1" {
		t.Fatalf("%q", names)
	}
	if err := os.Remove(l.path(logName)); err != nil {
		t.Fatal(err)
	}
	appendAll(t, l, 2, 3)
	if names, _ = after(t, l, position); names != "2" {
		t.Errorf("%q", names)
	}
}

func TestAfterRefusesOtherPositions(t *testing.T) {
	t.Parallel()
	for _, position := range []string{"x", strings.Repeat("A", 30), "_____________________w"} {
		if _, _, err := New(t.TempDir()).After(position, nil); !errors.Is(err, ErrCursor) {
			t.Errorf("%q: %v", position, err)
		}
	}
}

// torn appends what a crash left of a line.
func torn(t *testing.T, l *Log, text string) {
	t.Helper()
	f, err := os.OpenFile(l.path(logName), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
