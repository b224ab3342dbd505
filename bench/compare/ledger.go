package main

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"time"

	"example.com/snapd/internal/samplecrm"
)

// A ledger is what an application knows of its own commits: the number and the time of each that
// was acknowledged, in a file that outlives the process. The database has the number of its last commit.
type ledger struct{ path string }

// recordBytes: number and time in nanoseconds, little-endian.
const recordBytes = 16

// read returns the acknowledged commits in order.
func (l ledger) read() (list []acknowledged, err error) {
	b, err := os.ReadFile(l.path)
	if err != nil {
		return nil, err
	}
	for ; len(b) >= recordBytes; b = b[recordBytes:] {
		list = append(list, acknowledged{int64(binary.LittleEndian.Uint64(b)), time.Unix(0, int64(binary.LittleEndian.Uint64(b[8:])))})
	}
	return list, nil
}

type acknowledged struct {
	n  int64
	at time.Time
}

// at returns the number of the last commit at or before t, 0 before the first.
func commitAt(list []acknowledged, t time.Time) int64 {
	i := sort.Search(len(list), func(i int) bool { return list[i].at.After(t) })
	if i == 0 {
		return 0
	}
	return list[i-1].n
}

// load is what a writer achieved.
type load struct {
	Commits int64         `json:"commits"`
	Took    time.Duration `json:"took"`
	P50     time.Duration `json:"p50"` // of a transaction, from BEGIN to COMMIT
	P99     time.Duration `json:"p99"`
	Longest time.Duration `json:"longest"`
}

func (l load) rate() float64 { return float64(l.Commits) / l.Took.Seconds() }

// makeLedger gives the database a place for the number of its last commit.
func makeLedger(ctx context.Context, path string) error {
	db, err := samplecrm.Open(path, "")
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "CREATE TABLE ledger(n INTEGER NOT NULL, probes INTEGER NOT NULL DEFAULT 0); INSERT INTO ledger(n) VALUES(0)")
	return errors.Join(err, db.Close())
}

// lastCommit is the number that a database has, which no program has open.
func lastCommit(ctx context.Context, path string) (n int64, err error) {
	db, err := samplecrm.Open(path, "")
	if err != nil {
		return 0, err
	}
	err = db.QueryRowContext(ctx, "SELECT n FROM ledger").Scan(&n)
	return n, errors.Join(err, db.Close())
}

// writeLedger commits so many times a second until its standard input ends, and prints the load as JSON. Each
// commit adds a note and changes an activity somewhere, as an application with synchronous=NORMAL.
func writeLedger(ctx context.Context, path string, l ledger, perSecond float64) (err error) {
	db, err := samplecrm.Open(path, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	out, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	w := &ledgerWriter{conn: c, out: out}
	if err := w.begin(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	fmt.Println("writing")
	done, err := w.run(ctx, perSecond)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(done)
}

type ledgerWriter struct {
	conn          *sql.Conn
	out           *os.File
	n             int64 // of the last commit
	rows          int64 // activities
	note, edit, k *sql.Stmt
}

func (w *ledgerWriter) begin(ctx context.Context) (err error) {
	if _, err := w.conn.ExecContext(ctx, "PRAGMA synchronous=NORMAL"); err != nil {
		return err
	}
	if err := w.conn.QueryRowContext(ctx, "SELECT n, (SELECT max(id) FROM activities) FROM ledger").Scan(&w.n, &w.rows); err != nil {
		return err
	}
	for _, s := range []struct {
		to  **sql.Stmt
		sql string
	}{
		{&w.note, "INSERT INTO notes(contact_id, author, body, created_at) SELECT min(id), 'ledger', ?2, '2026-01-01' FROM contacts WHERE id >= ?1 % 100"},
		{&w.edit, "UPDATE activities SET kind = CASE kind WHEN 'call' THEN 'task' ELSE 'call' END WHERE id = ?"},
		{&w.k, "UPDATE ledger SET n = ?"},
	} {
		if *s.to, err = w.conn.PrepareContext(ctx, s.sql); err != nil {
			return err
		}
	}
	return nil
}

func (w *ledgerWriter) run(ctx context.Context, perSecond float64) (l load, err error) {
	ticker := time.NewTicker(time.Duration(float64(time.Second) / perSecond))
	defer ticker.Stop()
	var took []time.Duration
	began := time.Now()
	for {
		select {
		case <-ctx.Done():
			l = load{Commits: int64(len(took)), Took: time.Since(began)}
			if len(took) == 0 {
				return l, errors.New("the writer wrote nothing")
			}
			slices.Sort(took)
			l.P50, l.P99, l.Longest = took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
			return l, nil
		case <-ticker.C:
		}
		start := time.Now()
		if err := w.step(context.WithoutCancel(ctx)); err != nil {
			return l, err
		}
		took = append(took, time.Since(start))
	}
}

// step makes one commit, and notes it once it was acknowledged.
func (w *ledgerWriter) step(ctx context.Context) error {
	tx, err := w.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	n := w.n + 1
	row := n * 7919 % w.rows
	_, err = tx.StmtContext(ctx, w.note).ExecContext(ctx, row, fmt.Sprintf("note %d: %s", n, lorem[n%100:]))
	if err == nil {
		_, err = tx.StmtContext(ctx, w.edit).ExecContext(ctx, row)
	}
	if err == nil {
		_, err = tx.StmtContext(ctx, w.k).ExecContext(ctx, n)
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	w.n = n
	record := binary.LittleEndian.AppendUint64(nil, uint64(n))
	_, err = w.out.Write(binary.LittleEndian.AppendUint64(record, uint64(time.Now().UnixNano())))
	return err
}

const lorem = `Called about the renewal of the contract, which ends with the quarter. They want the offer in writing, with the discount
of last year, and ask whether the second office can be added without a new agreement. Mail to follow; call again on Tuesday.`
