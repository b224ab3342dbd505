package testdb

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	shellWriter  = "sqlite3 shell writer"
	pythonWriter = "python writer"
)

// transferSQL is one transfer's statements.
func transferSQL(from, to, amount int) string {
	return fmt.Sprintf("UPDATE accounts SET balance=balance-%[3]d WHERE id=%[1]d;\n"+
		"UPDATE accounts SET balance=balance+%[3]d WHERE id=%[2]d;\n"+
		"INSERT INTO transfers(from_account,to_account,amount,memo,made_at) VALUES(%[1]d,%[2]d,%[3]d,'transfer',datetime('now'));\n",
		from, to, amount)
}

// turn is the n-th transfer: all accounts take part in turns.
func turn(n int) (from, to, amount int) {
	from = n % variantAccounts
	return from + 1, (from+1+n%(variantAccounts-1))%variantAccounts + 1, 1 + n%7
}

// StartShell starts a sqlite3 shell that commits transfers.
func (o WriterOptions) StartShell(t testing.TB, path string) *Writer {
	t.Helper()
	shell := RequireTool(t, "sqlite3")
	made := 0
	feed := func(in io.Writer) error {
		var b strings.Builder
		if made == 0 {
			// .bail: after a BEGIN that failed, the updates must not commit one by one.
			fmt.Fprintf(&b, ".bail on\n.timeout %d\n.timer on\n", lockWait.Milliseconds())
			if o.JournalMode != "" {
				fmt.Fprintf(&b, "PRAGMA journal_mode=%s;\n", o.JournalMode)
			}
		} else {
			time.Sleep(o.pause()) // the writer's think time, nothing waits for it
		}
		made++
		b.WriteString("BEGIN IMMEDIATE;\n" + transferSQL(turn(made)) + "COMMIT;\n")
		// The shell buffers its own output; a child's comes at once.
		fmt.Fprintf(&b, ".system echo commit %d 1>&2\n", made)
		_, err := io.WriteString(in, b.String())
		return err
	}
	return launch(t, shellWriter, feed, shell, "-batch", shellPath(path))
}

// pythonScript ends when its standard input does. After an error it takes its
// transaction back, says so, and ends.
const pythonScript = `
import sqlite3, sys, threading, time
path, mode, pause, wait, accounts = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
db = sqlite3.connect(path, timeout=wait, isolation_level=None)
n, longest = 0, 0
try:
    if mode:
        db.execute("PRAGMA journal_mode=" + mode).fetchall()
    while not stop.is_set():
        n += 1
        a = n % accounts
        b = (a + 1 + n % (accounts - 1)) % accounts
        amount = 1 + n % 7
        begin = time.perf_counter()
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE accounts SET balance=balance-? WHERE id=?", (amount, a + 1))
        db.execute("UPDATE accounts SET balance=balance+? WHERE id=?", (amount, b + 1))
        db.execute("INSERT INTO transfers(from_account,to_account,amount,memo,made_at) VALUES(?,?,?,'transfer',datetime('now'))", (a + 1, b + 1, amount))
        db.execute("COMMIT")
        longest = max(longest, time.perf_counter() - begin)
        print("commit", n, flush=True)
        stop.wait(pause)
except sqlite3.Error as e:
    print(type(e).__name__, e, file=sys.stderr, flush=True)
    if db.in_transaction:
        db.execute("ROLLBACK")
print("longest", int(longest * 1e6), flush=True)
db.close()
`

// StartPython starts a Python process that commits transfers.
func (o WriterOptions) StartPython(t testing.TB, path string) *Writer {
	t.Helper()
	python := RequireTool(t, "python3")
	return launch(t, pythonWriter, nil, python, "-ISc", pythonScript, path, o.JournalMode,
		strconv.FormatFloat(o.pause().Seconds(), 'f', -1, 64),
		strconv.FormatFloat(lockWait.Seconds(), 'f', -1, 64), strconv.Itoa(variantAccounts))
}
