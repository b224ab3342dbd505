package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.com/snapd/snapshot"
)

// terminal is a pseudo-terminal: what a person sees and types.
type terminal struct {
	master *os.File
	slave  *os.File

	mu     sync.Mutex
	screen bytes.Buffer
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 120}); err != nil {
		t.Fatal(err)
	}
	tty := &terminal{master: master, slave: slave}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			tty.mu.Lock()
			tty.screen.Write(buf[:n])
			tty.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		slave.Close() // the reader then sees the other side gone
		<-done
		master.Close()
	})
	return tty
}

func (tty *terminal) text() string {
	tty.mu.Lock()
	defer tty.mu.Unlock()
	return tty.screen.String()
}

// expect waits until the screen has shown text.
func (tty *terminal) expect(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(tty.text(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%q is not on the screen:\n%s", text, tty.text())
		}
	}
}

func (tty *terminal) typeIn(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(tty.master, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

// start runs snapd at the terminal; its standard output is collected apart.
func (tty *terminal) start(t *testing.T, stdout io.Writer, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("snapd", args...)
	cmd.Stdin, cmd.Stderr, cmd.Stdout = tty.slave, tty.slave, stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return cmd
}

func status(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Wait()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

// terminalDatabase makes a database with a backup of its one row, which has
// changed since.
func terminalDatabase(t *testing.T) (path string, db *sql.DB, id string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "data.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := db.Exec("PRAGMA journal_mode=wal; CREATE TABLE t(x); INSERT INTO t VALUES('old')"); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("snapd", "--json", "--db", path, "backup").Output()
	if err != nil {
		t.Fatal(err)
	}
	var b snapshot.Backup
	if err := json.Unmarshal(out, &b); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("UPDATE t SET x = 'new'"); err != nil {
		t.Fatal(err)
	}
	return path, db, b.ID
}

func row(t *testing.T, db *sql.DB) string {
	t.Helper()
	var x string
	if err := db.QueryRow("SELECT x FROM t").Scan(&x); err != nil {
		t.Fatal(err)
	}
	return x
}

// Without the two questions a slip of the finger replaces the live data.
func TestRestoreAsksTwice(t *testing.T) {
	path, db, id := terminalDatabase(t)
	for _, tc := range []struct {
		name    string
		answers []string
		status  int
		want    string
	}{
		{"no to the first", []string{"n"}, exitRefused, "new"},
		{"nothing but return", []string{""}, exitRefused, "new"},
		{"end of input", []string{"\x04"}, exitRefused, "new"},
		{"wrong name", []string{"y", "y"}, exitRefused, "new"},
		{"yes and the name", []string{"yes", "data.db"}, exitDone, "old"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tty := newTerminal(t)
			var stdout bytes.Buffer
			cmd := tty.start(t, &stdout, "--db", path, "restore", id, "--json")
			tty.expect(t, "All changes since ")
			tty.expect(t, "Go on? [y/N] ")
			tty.typeIn(t, tc.answers[0])
			if len(tc.answers) > 1 {
				tty.expect(t, "file name (data.db)")
				tty.typeIn(t, tc.answers[1])
			}
			if got := status(t, cmd); got != tc.status {
				t.Errorf("exit status %d, want %d\n%s", got, tc.status, tty.text())
			}
			if got := row(t, db); got != tc.want {
				t.Errorf("the database has %q, want %q", got, tc.want)
			}
			if asked := strings.Contains(stdout.String(), "y/N"); asked || (tc.status == exitDone) != json.Valid(stdout.Bytes()) {
				t.Errorf("standard output holds %q", stdout.String())
			}
		})
	}
}

// An interrupt at a question must end the program at once, with nothing done.
func TestInterruptAtAQuestion(t *testing.T) {
	path, db, id := terminalDatabase(t)
	tty := newTerminal(t)
	cmd := tty.start(t, nil, "--db", path, "restore", id)
	tty.expect(t, "Go on? [y/N] ")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if got := status(t, cmd); got != 130 { // so that a shell ends its script, too
		t.Errorf("exit status %d, want 130", got)
	}
	tty.expect(t, "snapd: interrupted")
	if got := row(t, db); got != "new" {
		t.Errorf("the database has %q", got)
	}
}

func TestDeleteAsks(t *testing.T) {
	path, _, id := terminalDatabase(t)
	archive := filepath.Join(filepath.Dir(path), "backups", id+".db.zst")
	for _, answer := range []string{"n", "y"} {
		tty := newTerminal(t)
		cmd := tty.start(t, io.Discard, "--db", path, "delete", "--force", id)
		tty.expect(t, id)
		tty.expect(t, "Delete for good? [y/N] ")
		tty.typeIn(t, answer)
		want := map[string]int{"n": exitRefused, "y": exitDone}[answer]
		if got := status(t, cmd); got != want {
			t.Errorf("%s: exit status %d, want %d\n%s", answer, got, want, tty.text())
		}
		if _, err := os.Stat(archive); (err == nil) != (answer == "n") {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

// A long operation shows phase, speed and the rest, gives way to log lines,
// and leaves a clean screen; a short one, or one off a terminal, shows nothing.
func TestProgressBar(t *testing.T) {
	tty := newTerminal(t)
	c := newConsole(tty.slave)
	c.showProgress()
	ev := snapshot.Event{Type: snapshot.EventProgress, Phase: "compress", Total: 1 << 30}
	c.event(ev)
	if tty.text() != "" {
		t.Errorf("shown before %s: %q", patience, tty.text())
	}
	stop := time.Now().Add(patience + 4*redraw)
	for ; time.Now().Before(stop); time.Sleep(redraw / 4) { // time is what the bar shows
		ev.Done += 8 << 20
		c.event(ev)
	}
	for _, want := range []string{"compress", "B/s", "[", "s]"} {
		tty.expect(t, want)
	}
	fmt.Fprintln(c, "a log line")
	tty.expect(t, "\r\x1b[Ka log line\r\n")
	c.event(snapshot.Event{Type: snapshot.EventProgress, Phase: "check"})
	tty.expect(t, "check")
	c.close()
	fmt.Fprintln(c, "end")
	tty.expect(t, "\r\x1b[Kend\r\n")

	quick := newTerminal(t)
	c = newConsole(quick.slave)
	c.showProgress()
	c.event(snapshot.Event{Type: snapshot.EventProgress, Phase: "compress", Total: 100, Done: 100})
	c.close()
	fmt.Fprintln(c, "end")
	quick.expect(t, "end\r\n")
	if got := quick.text(); got != "end\r\n" {
		t.Errorf("a short operation left %q", got)
	}
}

// Lost: the word that a long query is at work, or the way to end it.
func TestLongQueryIsShownAndInterrupted(t *testing.T) {
	path, _, id := terminalDatabase(t)
	tty := newTerminal(t)
	cmd := tty.start(t, io.Discard, "--db", path, "query", id, "--timeout", "1h",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n")
	tty.expect(t, "query")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if got := status(t, cmd); got != 130 {
		t.Errorf("exit status %d\n%s", got, tty.text())
	}
	tty.expect(t, "snapd: interrupted")
}

// Lost: the page, to who starts it for the first time; the token, to who reads the log of the second.
func TestLoginOnATerminal(t *testing.T) {
	path, _, _ := terminalDatabase(t)
	for _, shown := range []bool{true, false} {
		tty := newTerminal(t)
		cmd := tty.start(t, nil, "serve", "--db", path, "--listen", "127.0.0.1:0")
		tty.expect(t, "page and API")
		tty.expect(t, "next automatic backup")
		if strings.Contains(tty.text(), "/web/admin/backups/#token=") != shown {
			t.Errorf("the login is shown: %v, wanted %v:\n%s", !shown, shown, tty.text())
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if got := status(t, cmd); got != 0 {
			t.Errorf("status %d", got)
		}
	}
}
