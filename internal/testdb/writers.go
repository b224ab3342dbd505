package testdb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Limits of a writer: how long it waits for a lock before that is an error, how
// long WaitCommits waits for progress, how long a writer may take to stop, and
// how long it lives when it is not stopped.
const (
	lockWait     = 20 * time.Second
	progressWait = time.Minute
	stopWait     = 45 * time.Second
	writerLife   = 20 * time.Minute
)

// WriterOptions say how a writer in another process behaves.
type WriterOptions struct {
	// JournalMode is set on the writer's connection; "" keeps what the file says.
	JournalMode string
	// Pause is the time between transactions; 0 means 1 ms. Without one, writers
	// in a rollback mode starve each other: SQLite polls for its locks.
	Pause time.Duration
}

func (o WriterOptions) pause() time.Duration {
	if o.Pause <= 0 {
		return time.Millisecond
	}
	return o.Pause
}

// Writer is another process that commits transfers between the accounts of a
// database (a variant's or the sample CRM's), each one transaction: BEGIN
// IMMEDIATE, two accounts, one row of transfers, COMMIT. It never breaks a
// transaction on an error but ends.
//
// Its methods belong to the test's goroutine, except Commits.
type Writer struct {
	t     testing.TB
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	end   context.CancelFunc
	ended chan struct{} // closed when the process is gone and its output read

	mu       sync.Mutex // guards what follows
	commits  int64
	longest  time.Duration
	errs     []string
	changed  chan struct{} // closed and replaced with every report
	stopping bool
	reported bool // Stop gave its result to the test
}

// WriterResult is what a writer did in its life.
type WriterResult struct {
	Commits int64 // reported ones; one more may have been made
	// LongestWait is the longest that one transaction took from BEGIN to the end
	// of COMMIT (Python), or one of its statements (shell, in whole milliseconds).
	LongestWait time.Duration
	// Errors are what the writer complained about: locks waited for in vain, above all.
	Errors []string
}

// StartShellWriter starts a sqlite3 shell that writes with the default options.
func StartShellWriter(t testing.TB, path string) *Writer {
	t.Helper()
	return WriterOptions{}.StartShell(t, path)
}

// StartPythonWriter starts a Python process that writes with the default options.
func StartPythonWriter(t testing.TB, path string) *Writer {
	t.Helper()
	return WriterOptions{}.StartPython(t, path)
}

// launch starts the process. feed, when not nil, is called at the start and after
// each report to write the next transaction; without it the process goes on by itself
// until its standard input ends.
func launch(t testing.TB, name string, feed func(io.Writer) error, argv ...string) *Writer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), writerLife)
	w := &Writer{t: t, name: name, end: cancel, ended: make(chan struct{}), changed: make(chan struct{})}
	w.cmd = exec.CommandContext(ctx, argv[0], argv[1:]...)
	w.cmd.Env = append(os.Environ(), "HOME="+os.DevNull, "PYTHONIOENCODING=utf-8")
	stdin, err := w.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.stdin = stdin
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := w.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		cancel()
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(w.cleanup)
	var readers sync.WaitGroup
	readers.Go(func() { w.read(stdout, feed, false) })
	readers.Go(func() { w.read(stderr, feed, true) })
	go func() {
		readers.Wait()
		if err := w.cmd.Wait(); err != nil {
			w.complain("ended: " + err.Error())
		}
		close(w.ended)
	}()
	if feed != nil {
		w.more(feed)
	}
	return w
}

// read understands "commit N", "longest MICROSECONDS" and the shell's timer; what
// else comes on standard error is a complaint.
func (w *Writer) read(r io.Reader, feed func(io.Writer) error, complaints bool) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		switch {
		case len(f) == 2 && f[0] == "commit":
			if n, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				w.progress(n)
				if feed != nil {
					w.more(feed)
				}
			}
		case len(f) == 2 && f[0] == "longest":
			if us, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				w.waited(time.Duration(us) * time.Microsecond)
			}
		case len(f) > 3 && f[0] == "Run" && f[1] == "Time:":
			if s, err := strconv.ParseFloat(f[3], 64); err == nil {
				w.waited(time.Duration(s * float64(time.Second)))
			}
		case complaints && len(f) > 0:
			w.complain(lines.Text())
		}
	}
	if err := lines.Err(); err != nil {
		w.complain("read output: " + err.Error())
	}
}

func (w *Writer) progress(commits int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commits = commits
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *Writer) waited(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.longest = max(w.longest, d)
}

func (w *Writer) complain(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errs = append(w.errs, what)
}

// more feeds the next transaction, or ends the input of a writer that shall stop.
func (w *Writer) more(feed func(io.Writer) error) {
	w.mu.Lock()
	stopping := w.stopping
	w.mu.Unlock()
	var err error
	if stopping {
		err = w.stdin.Close()
	} else {
		err = feed(w.stdin)
	}
	if err != nil && !errors.Is(err, os.ErrClosed) {
		w.complain("feed: " + err.Error())
	}
}

// Commits is how many transactions the process has reported as committed.
func (w *Writer) Commits() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.commits
}

// WaitCommits returns when n further commits were reported. It fails
// the test when the writer ends or makes no such progress within a minute.
func (w *Writer) WaitCommits(n int64) {
	w.t.Helper()
	patience := time.NewTimer(progressWait)
	defer patience.Stop()
	for want := w.Commits() + n; ; {
		w.mu.Lock()
		commits, changed := w.commits, w.changed
		w.mu.Unlock()
		if commits >= want {
			return
		}
		select {
		case <-changed:
		case <-w.ended:
			w.t.Fatalf("%s ended after %d commits: %q", w.name, w.Commits(), w.Stop().Errors)
		case <-patience.C:
			w.t.Fatalf("%s: %d commits after %v, waiting for %d", w.name, commits, progressWait, want)
		}
	}
}

// Stop lets the current transaction finish, ends the process and returns what it
// did. The test judges the errors then; without Stop they fail it at its end.
func (w *Writer) Stop() WriterResult {
	w.mu.Lock()
	already := w.stopping
	w.stopping, w.reported = true, true
	w.mu.Unlock()
	if !already && w.name == pythonWriter {
		w.stdin.Close() // the shell's input is ended by the next report
	}
	patience := time.NewTimer(stopWait)
	defer patience.Stop()
	select {
	case <-w.ended:
	case <-patience.C:
		w.complain(fmt.Sprintf("killed: did not stop within %v", stopWait))
		w.end()
		<-w.ended
	}
	w.end()
	w.mu.Lock()
	defer w.mu.Unlock()
	return WriterResult{Commits: w.commits, LongestWait: w.longest, Errors: append([]string(nil), w.errs...)}
}

// Kill ends the process at once with SIGKILL, in the middle of any transaction, and
// returns when it is gone: the writer that crashed.
func (w *Writer) Kill() {
	w.mu.Lock()
	w.reported = true
	w.mu.Unlock()
	w.end()
	<-w.ended
}

func (w *Writer) cleanup() {
	w.mu.Lock()
	judged := w.reported
	w.mu.Unlock()
	if judged {
		w.Kill()
		return
	}
	for _, e := range w.Stop().Errors {
		w.t.Errorf("%s: %s", w.name, e)
	}
}
