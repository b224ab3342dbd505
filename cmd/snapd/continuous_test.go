package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// writer commits one row after the other, and says so after each: its number, and when that was.
const writer = `
import sqlite3, sys, time
c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
c.execute("PRAGMA journal_mode=wal")
c.execute("PRAGMA synchronous=normal")
c.execute("CREATE TABLE IF NOT EXISTS ledger(n INTEGER PRIMARY KEY, v BLOB)")
n = c.execute("SELECT coalesce(max(n), 0) FROM ledger").fetchone()[0]
while True:
    n += 1
    c.execute("INSERT INTO ledger VALUES (?, randomblob(200))", (n,))
    print(n, time.time(), flush=True)
    time.sleep(float(sys.argv[2]))
`

// committed is what a writer said that it had committed, by number from 1.
type committed []time.Time

// Lost: commits that a service was there to capture, when it and the application die at the same moment.
func TestKilledServiceLosesASecond(t *testing.T) {
	python := testdb.RequireTool(t, "python3")
	rounds := 2
	if n, err := strconv.Atoi(os.Getenv("SNAPD_KILLS")); err == nil {
		rounds = n
	}
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	snapd := filepath.Join(dir, "snapd") // TestMain is the program under that name
	if err := os.Symlink(self, snapd); err != nil {
		t.Skipf("NOT TESTED: a link cannot be made: %v", err)
	}
	database := filepath.Join(dir, "data.db")
	var all committed
	var spans []time.Duration // of what was lost, of each kill
	lost, before := 0, ""
	for range rounds {
		serve := exec.Command(snapd, "serve", "--db", database, "--listen", "none")
		log, err := serve.StderrPipe()
		if err == nil {
			err = serve.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		app := exec.Command(python, "-c", writer, database, "0.005")
		out, err := app.StdoutPipe()
		if err == nil {
			err = app.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for lines := bufio.NewScanner(log); lines.Scan(); {
			}
		}()
		killed := make(chan time.Time, 1)
		lines := bufio.NewScanner(out)
		next := func() bool {
			if !lines.Scan() {
				return false
			}
			var n int
			var at float64
			line := lines.Text()
			if _, err := fmt.Sscan(line, &n, &at); err != nil && !lines.Scan() {
				return false // it was killed while it said so
			} else if err != nil || n != len(all)+1 {
				t.Fatalf("the writer says %q after %d", line, len(all))
			}
			all = append(all, time.UnixMicro(int64(at*1e6)))
			return true
		}
		// From when this service has captured something, at any moment.
		for newest := ""; newest == before; newest = newestCapture(t, snapd, database) {
			if !next() {
				t.Fatal("the writer ended")
			}
		}
		time.AfterFunc(time.Duration(rand.Int64N(int64(3*time.Second))), func() {
			killed <- time.Now()
			serve.Process.Kill()
			app.Process.Kill()
		})
		for next() {
		}
		app.Wait()
		serve.Wait()
		end := <-killed
		newest := pointsOf(t, snapd, database)[0]
		n := ledger(t, snapd, database, newest.ID)
		if n > len(all) {
			n = len(all) // it was committed, and the word of that was not written
		}
		missing, span := all[n:], time.Duration(0)
		if len(missing) > 0 {
			span = end.Sub(missing[0])
		}
		lost, spans, before = max(lost, len(missing)), append(spans, span), newestCapture(t, snapd, database)
		// The database has more than the last point, or as much. What it has the next writer goes on from.
		all = all[:min(len(all), ledgerOf(t, database))]
		for len(all) < ledgerOf(t, database) {
			all = append(all, end)
		}
	}
	slices.Sort(spans)
	worst := spans[len(spans)-1]
	t.Logf("%d kills of service and application, %d commits: at most %d lost; of the last %v, the median is %v, nine of ten %v", rounds, len(all), lost,
		worst.Round(time.Millisecond), spans[len(spans)/2].Round(time.Millisecond), spans[len(spans)*9/10].Round(time.Millisecond))
	if worst > 10*time.Second { // a machine may be busy; captures that do not come lose more
		t.Errorf("commits of %v were lost", worst)
	}
}

// newestCapture is the newest point of the change log, "" for none.
func newestCapture(t *testing.T, snapd, database string) string {
	t.Helper()
	for _, p := range pointsOf(t, snapd, database) {
		if p.Kind == snapshot.PointChange {
			return p.ID
		}
	}
	return ""
}

// pointsOf lists the recovery points.
func pointsOf(t *testing.T, snapd, database string) []snapshot.Point {
	t.Helper()
	out, err := exec.Command(snapd, "points", "--db", database, "--json").Output()
	var doc struct{ Points []snapshot.Point }
	if err == nil {
		err = json.Unmarshal(out, &doc)
	}
	if err != nil && !strings.Contains(fmt.Sprint(err), "exit status 4") { // there is nothing yet
		t.Fatalf("points: %v: %s", err, out)
	}
	return doc.Points
}

// ledger restores a point to a file, and counts its commits, which are the first ones without a gap.
func ledger(t *testing.T, snapd, database, id string) int {
	t.Helper()
	to := filepath.Join(t.TempDir(), "point.db")
	if out, err := exec.Command(snapd, "restore", id, "--db", database, "--to", to).CombinedOutput(); err != nil {
		t.Fatalf("restore %s: %v: %s", id, err, out)
	}
	return ledgerOf(t, to)
}

func ledgerOf(t *testing.T, path string) int {
	t.Helper()
	db, err := samplecrm.Open(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n, highest int
	if err := db.QueryRow("SELECT count(*), coalesce(max(n), 0) FROM ledger").Scan(&n, &highest); err != nil || n != highest {
		t.Fatalf("%s: %d commits, the last one number %d: %v", path, n, highest, err)
	}
	return n
}
