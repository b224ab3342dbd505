package snapshot_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/snapd/internal/testdb"
)

// peer is another program that has a database open, and runs the statements it is sent:
// the sqlite3 shell, or Python. Its methods belong to one goroutine.
type peer struct {
	t    testing.TB
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	dead bool
}

// endOfAnswer is printed by a peer after the rows, or the error, of a statement.
const endOfAnswer = "== end of answer"

// pythonPeer answers each line, a statement, with its rows. It keeps its
// connection, its statements and its view of the schema.
const pythonPeer = `
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=float(sys.argv[2]))
for line in sys.stdin:
    try:
        for row in c.execute(line.rstrip("\n")).fetchall():
            print("|".join(str(v) for v in row))
    except sqlite3.Error as e:
        print("error:", e)
    print("` + endOfAnswer + `", flush=True)
c.close()
`

// startPython starts a Python process that waits for locks as long as timeout
// says, in seconds.
func startPython(t testing.TB, db, timeout string) *peer {
	t.Helper()
	return startPeer(t, testdb.RequireTool(t, "python3"), "-ISc", pythonPeer, db, timeout)
}

// startShell starts a sqlite3 shell that waits for no lock.
func startShell(t testing.TB, db string) *peer {
	t.Helper()
	testdb.RequireTool(t, "sqlite3")
	return startPeer(t, testdb.RequireTool(t, "stdbuf"), "-oL", "sqlite3", "-batch", db)
}

func startPeer(t testing.TB, argv ...string) *peer {
	t.Helper()
	p := &peer{t: t, cmd: exec.Command(argv[0], argv[1:]...)}
	p.cmd.Env = append(os.Environ(), "HOME="+os.DevNull)
	r, w, err := os.Pipe()
	must(t, err)
	p.cmd.Stdout, p.cmd.Stderr, p.out = w, w, bufio.NewReader(r)
	p.in, err = p.cmd.StdinPipe()
	must(t, err)
	must(t, p.cmd.Start())
	must(t, w.Close())
	t.Cleanup(func() { p.kill(); r.Close() })
	return p
}

// pid is the process that has the database open.
func (p *peer) pid() int { return p.cmd.Process.Pid }

// send sends a statement without waiting for the answer, which hear returns.
func (p *peer) send(statement string) {
	p.t.Helper()
	if strings.HasPrefix(p.cmd.Args[1], "-oL") {
		statement += ";\n.print '" + endOfAnswer + "'"
	}
	_, err := io.WriteString(p.in, statement+"\n")
	must(p.t, err)
}

func (p *peer) hear() string {
	p.t.Helper()
	var rows []string
	for {
		line, err := p.out.ReadString('\n')
		if err != nil {
			p.t.Fatalf("%q ended: %v, after %q", p.cmd.Args, err, rows)
		}
		if line = strings.TrimSuffix(line, "\n"); line == endOfAnswer {
			return strings.Join(rows, "\n")
		}
		rows = append(rows, line)
	}
}

// ask runs one statement and returns its rows, a line each, or the error.
func (p *peer) ask(statement string) string {
	p.t.Helper()
	p.send(statement)
	return p.hear()
}

// end closes the database as a program that ends does.
func (p *peer) end() {
	p.t.Helper()
	p.dead = true
	must(p.t, p.in.Close())
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("%q: %v", p.cmd.Args, err)
	}
}

// kill ends the process as a power cut does.
func (p *peer) kill() {
	if p.dead {
		return
	}
	p.dead = true
	_ = p.cmd.Process.Kill() // it may have ended by itself
	_ = p.cmd.Wait()         // killed is what was asked for
}

// loggerScript commits rows 1, 2, 3, … into log and prints each number once the
// commit was acknowledged. With a timeout of 0 it ends at the first lock it meets.
const loggerScript = `
import sqlite3, sys, threading, time
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=float(sys.argv[2]))
n, longest = 0, 0
try:
    while not stop.is_set():
        n += 1
        begin = time.perf_counter()
        c.execute("BEGIN IMMEDIATE")
        c.execute("INSERT INTO log VALUES(?, ?)", (n, "x" * (n % 300)))
        c.execute("COMMIT")
        longest = max(longest, time.perf_counter() - begin)
        print(n, flush=True)
        stop.wait(0.001)
except sqlite3.Error as e:
    print("error", type(e).__name__, e, flush=True)
print("longest", int(longest * 1e6), flush=True)
c.close()
`

// logger is that writer.
type logger struct {
	t     *testing.T
	stdin io.Closer
	acked atomic.Int64
	done  chan struct{} // closed at the end of its output
	// Set when done is closed.
	complaint string
	longest   time.Duration
}

func startLogger(t *testing.T, db, timeout string) *logger {
	t.Helper()
	cmd := exec.Command(testdb.RequireTool(t, "python3"), "-ISc", loggerScript, db, timeout)
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	l := &logger{t: t, stdin: stdin, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			l.hear(lines.Text())
		}
		if err := errors.Join(lines.Err(), cmd.Wait()); err != nil {
			l.complaint += " " + err.Error()
		}
	}()
	t.Cleanup(func() { l.stdin.Close(); <-l.done })
	return l
}

func (l *logger) hear(line string) {
	if n, err := strconv.ParseInt(line, 10, 64); err == nil {
		l.acked.Store(n)
	} else if rest, ok := strings.CutPrefix(line, "longest "); ok {
		us, _ := strconv.Atoi(rest) // 0 is seen by the test
		l.longest = time.Duration(us) * time.Microsecond
	} else {
		l.complaint += line
	}
}

// wait returns when n further rows were acknowledged.
func (l *logger) wait(n int64) {
	l.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for want := l.acked.Load() + n; l.acked.Load() < want; {
		select {
		case <-l.done:
			l.t.Fatalf("the writer ended: %s", l.complaint)
		case <-time.After(time.Millisecond):
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("the writer stands still at row %d", l.acked.Load())
		}
	}
}

// stop lets the writer end and returns its last acknowledged row.
func (l *logger) stop() int64 {
	l.t.Helper()
	must(l.t, l.stdin.Close())
	<-l.done
	if l.complaint != "" {
		l.t.Errorf("the writer: %s", l.complaint)
	}
	return l.acked.Load()
}
