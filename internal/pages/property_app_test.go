package pages

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"example.com/snapd/internal/sqlite"
)

// operation is what an application does at once: statements in order, until one is
// refused for a lock; then it rolls back. "reopen" closes its connection and opens
// another; what begins with "other:" goes by a second connection.
type operation []string

// The sizes, in bytes, that the databases of the property tests are kept between: of
// several of CopyTo's batches, so that there is a mid-read.
const (
	tooSmall = 2*copyBatch + copyBatch/2
	tooLarge = 5 * copyBatch
)

// operations picks some, of the kinds that need not be named as well.
func (p *player) operations(n int, also ...string) (list []operation) {
	kinds := []string{"update", "update", "grow", "shrink", "vacuum", "undone", "schema"}
	if p.journal == "wal" {
		kinds = append(kinds, "passive", "full", "restart", "truncate")
		kinds = append(kinds, also...)
	} else if slices.Contains(also, "reopen") {
		kinds = append(kinds, "reopen")
	}
	for range n {
		list = append(list, p.operation(kinds[p.r.IntN(len(kinds))]))
	}
	return list
}

func (p *player) operation(kind string) operation {
	switch st, err := os.Stat(p.db); {
	case err != nil:
		p.t.Fatal(err)
	case kind == "shrink" && st.Size() < tooSmall:
		kind = "grow"
	case kind == "grow" && st.Size() > tooLarge:
		kind = "shrink"
	}
	some := fmt.Sprintf("id %% %d = %d", 5+p.r.IntN(60), p.r.IntN(5))
	switch kind {
	case "update":
		return operation{"BEGIN IMMEDIATE", fmt.Sprintf("UPDATE t SET a=randomblob(abs(random())%%%d) WHERE %s", 1+p.r.IntN(6000), some), "COMMIT"}
	case "grow":
		return operation{"INSERT INTO t(a) SELECT randomblob(abs(random())%6000) FROM t LIMIT " + fmt.Sprint(20+p.r.IntN(300))}
	case "shrink":
		return operation{fmt.Sprintf("DELETE FROM t WHERE id > (SELECT max(id)*%d/10 FROM t)", 6+p.r.IntN(4)), "PRAGMA incremental_vacuum"}
	case "vacuum":
		return operation{"VACUUM"}
	case "undone": // larger than the cache: its pages reach the log, or the journal is made
		return operation{"PRAGMA cache_size=10", "BEGIN IMMEDIATE", "UPDATE t SET a=randomblob(length(a)) WHERE " + some, "ROLLBACK", "PRAGMA cache_size=-2000"}
	case "schema":
		return operation{"BEGIN IMMEDIATE", "DROP TABLE IF EXISTS u", "CREATE TABLE u AS SELECT * FROM t WHERE " + some, "CREATE INDEX u_a ON u(a)", "COMMIT"}
	case "pin": // an old reader keeps checkpoints from coming to an end
		return operation{"other:COMMIT", "other:BEGIN", "other:SELECT count(*) FROM t"}
	case "unpin":
		return operation{"other:COMMIT"}
	case "reopen":
		return operation{"reopen"}
	}
	return operation{"PRAGMA wal_checkpoint(" + kind + ")"}
}

// application owns a database: another process, or two connections of this one.
type application struct {
	t       *testing.T
	db      string
	journal string
	child   *child

	conn, other *sqlite.Conn
}

func newApplication(t *testing.T, db string, v variant) *application {
	a := &application{t: t, db: db, journal: v.journal}
	if v.inProcess {
		a.open()
		t.Cleanup(a.close)
		return a
	}
	a.child = python(t, db, `
import json
def reopen():
    global c, other
    c.close()
    c = sqlite3.connect(db, isolation_level=None, timeout=0)
    c.execute("PRAGMA synchronous=off"); c.execute("PRAGMA journal_mode=`+v.journal+`")
reopen()
other = sqlite3.connect(db, isolation_level=None, timeout=0)
def do(s):
    if s == "reopen": reopen()
    elif s == "other:COMMIT":
        if other.in_transaction: other.execute("COMMIT")
    elif s.startswith("other:"): other.execute(s[6:]).fetchall()
    else: c.execute(s).fetchall()
ready()
for line in sys.stdin:
    try:
        for s in json.loads(line): do(s)
        print("done")
    except sqlite3.OperationalError as e:
        if "locked" not in str(e): raise
        if c.in_transaction: c.execute("ROLLBACK")
        print("held off")
`)
	return a
}

// start begins operations; wait returns how many of them were refused for a lock.
func (a *application) start(list []operation) (wait func() int) {
	if a.child == nil {
		done := make(chan int, 1)
		go func() { done <- a.work(list) }()
		return func() int { return <-done }
	}
	for _, op := range list {
		line, err := json.Marshal(op)
		if err != nil {
			a.t.Fatal(err)
		}
		if _, err := io.WriteString(a.child.in, string(line)+"\n"); err != nil {
			a.t.Fatalf("%v: %v\n%s", op, err, a.child.stderr)
		}
	}
	return func() (heldOff int) {
		for _, op := range list {
			switch answer, err := a.child.out.ReadString('\n'); {
			case err != nil:
				a.child.kill()
				a.t.Fatalf("%v: %v\n%s", op, err, a.child.stderr)
			case answer == "held off\n":
				heldOff++
			}
		}
		return heldOff
	}
}

// work is what the script does, in this process.
func (a *application) work(list []operation) (heldOff int) {
	for _, op := range list {
		err := a.each(op)
		switch {
		case sqlite.Classify(err) == sqlite.ClassBusy:
			heldOff++
			if err := a.conn.Exec(a.t.Context(), "ROLLBACK"); err != nil && !strings.Contains(err.Error(), "no transaction") {
				a.t.Error(err)
			}
		case err != nil:
			a.t.Errorf("%v: %v", op, err)
		}
	}
	return heldOff
}

func (a *application) each(op operation) error {
	for _, sql := range op {
		c := a.conn
		if rest, ok := strings.CutPrefix(sql, "other:"); ok {
			c, sql = a.other, rest
		}
		if sql == "reopen" {
			a.close()
			a.open()
			continue
		}
		err := c.Exec(a.t.Context(), sql)
		if c == a.other && sql == "COMMIT" && err != nil && strings.Contains(err.Error(), "no transaction") {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *application) open() {
	for _, c := range []**sqlite.Conn{&a.conn, &a.other} {
		var err error
		if *c, err = sqlite.Open(a.db, sqlite.Options{}); err == nil {
			err = (*c).CheckpointOnClose() // as every application's
		}
		if err == nil {
			err = (*c).Exec(a.t.Context(), "PRAGMA synchronous=off; PRAGMA journal_mode="+a.journal)
		}
		if err != nil {
			a.t.Error(err)
		}
	}
}

// close ends the application; it may be called twice.
func (a *application) close() {
	if a.child != nil {
		if !a.child.dead {
			a.child.finish()
		}
		return
	}
	for _, c := range []*sqlite.Conn{a.other, a.conn} {
		if err := c.Close(); err != nil {
			a.t.Error(err)
		}
	}
}
