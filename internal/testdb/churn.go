package testdb

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"testing"
)

// Churn is an application with several connections to a database in WAL mode, which does
// what applications do to a log.
type Churn struct {
	t    testing.TB
	conn []*sql.Conn
	dbs  []*sql.DB
}

// StartChurn opens the connections and runs each on every one of them.
func StartChurn(t testing.TB, path string, connections int, each string) *Churn {
	t.Helper()
	a := &Churn{t: t}
	for i := range connections {
		db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(5000)")
		if err != nil {
			t.Fatal(err)
		}
		c, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a.dbs, a.conn = append(a.dbs, db), append(a.conn, c)
		a.Exec(i, each)
	}
	t.Cleanup(a.Stop)
	return a
}

// Stop closes the connections; the last one's close deletes the log. It may be called twice.
func (a *Churn) Stop() {
	for i, c := range a.conn {
		c.Close()
		a.dbs[i].Close()
	}
	a.conn, a.dbs = nil, nil
}

// Exec runs SQL on connection i.
func (a *Churn) Exec(i int, script string) {
	a.t.Helper()
	if _, err := a.conn[i%len(a.conn)].ExecContext(context.Background(), script); err != nil {
		a.t.Fatalf("%s: %v", script, err)
	}
}

// ChurnSchema is what Work works on.
const ChurnSchema = "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE INDEX i ON t(a); "

// Work does something at random, on a connection at random.
func (a *Churn) Work(rng *rand.Rand) {
	a.t.Helper()
	a.Exec(rng.IntN(len(a.conn)), operation(rng))
}

func operation(rng *rand.Rand) string {
	insert := fmt.Sprintf("INSERT INTO t(a, b) WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM g WHERE n < %d) SELECT n, randomblob(%d) FROM g",
		1+rng.IntN(20), 1+rng.IntN(3000))
	switch rng.IntN(14) {
	case 0, 1, 2, 3, 4:
		return insert
	case 5, 6:
		return fmt.Sprintf("UPDATE t SET a = a+1, b = randomblob(%d) WHERE id %% 7 = %d", 1+rng.IntN(500), rng.IntN(7))
	case 7:
		return fmt.Sprintf("DELETE FROM t WHERE id %% 5 = %d", rng.IntN(5))
	case 8:
		return "BEGIN; " + insert + "; ROLLBACK"
	case 9:
		return "BEGIN; SAVEPOINT s; " + insert + "; " + insert + "; ROLLBACK TO s; UPDATE t SET a = a+1 WHERE id < 5; COMMIT"
	case 10:
		return "PRAGMA wal_checkpoint(" + []string{"PASSIVE", "FULL", "RESTART", "TRUNCATE"}[rng.IntN(4)] + ")"
	case 11:
		return "PRAGMA incremental_vacuum(10)"
	case 12:
		if rng.IntN(4) == 0 {
			return "VACUUM"
		}
		return "BEGIN; COMMIT"
	}
	return "INSERT INTO t(a) VALUES(1)"
}

// ChurnForever is the work of a Churn with one connection in a process of its own, until that is killed. What
// other connections' locks keep it from is left out.
func ChurnForever(path, each string, seed uint64) error {
	db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(each); err != nil {
		return fmt.Errorf("%s: %w", each, err)
	}
	fmt.Println("churns")
	for rng := rand.New(rand.NewPCG(seed, seed)); ; {
		if _, err := db.Exec(operation(rng)); err != nil { // busy, and the transaction may be open
			_, _ = db.Exec("ROLLBACK")
		}
	}
}
