package snapshot_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite"

	"example.com/snapd/snapshot"
)

// exampleDatabase creates a database of one customer in a directory of its own. The pool
// is the application's: it stays open all the time.
func exampleDatabase() (path string, db *sql.DB, remove func()) {
	dir, err := os.MkdirTemp("", "snapshot-example-")
	if err != nil {
		log.Fatal(err)
	}
	path = filepath.Join(dir, "data.db")
	db, err = sql.Open("sqlite", path)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := db.Exec("PRAGMA journal_mode=wal; CREATE TABLE customers(name TEXT); INSERT INTO customers VALUES('Ada')"); err != nil {
		log.Fatal(err)
	}
	return path, db, func() { _ = errors.Join(db.Close(), os.RemoveAll(dir)) }
}

// exampleManager is a Manager on such a database.
func exampleManager() (m *snapshot.Manager, db *sql.DB, remove func()) {
	path, db, remove := exampleDatabase()
	m, err := snapshot.Open(context.Background(), snapshot.Config{Database: path})
	if err != nil {
		log.Fatal(err)
	}
	return m, db, remove
}

// customers returns how many there are.
func customers(db *sql.DB) (n int) {
	if err := db.QueryRow("SELECT count(*) FROM customers").Scan(&n); err != nil {
		log.Fatal(err)
	}
	return n
}

// A service protects its database for as long as it runs: with a backup at its start, one
// every six hours, and one at its end.
func ExampleManager_Run() {
	database, db, remove := exampleDatabase()
	defer remove()
	started := make(chan struct{})
	m, err := snapshot.Open(context.Background(), snapshot.Config{
		Database: database,
		Interval: 6 * time.Hour,
		OnEvent: func(ev snapshot.Event) {
			if ev.Type == snapshot.EventBackedUp && ev.Trigger == string(snapshot.TriggerStartup) {
				close(started)
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := m.Recover(context.Background()); err != nil { // before anything else opens the database
		log.Fatal(err)
	}

	ctx, stop := context.WithCancel(context.Background()) // a program's comes from signal.NotifyContext
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	<-started
	if _, err := db.Exec("INSERT INTO customers VALUES('Grace')"); err != nil {
		log.Fatal(err)
	}
	stop()
	if err := <-ended; err != nil { // nil: the last backup succeeded
		log.Fatal(err)
	}

	backups, err := m.Backups()
	if err != nil {
		log.Fatal(err)
	}
	for _, b := range backups {
		fmt.Println(b.Kind, b.Trigger, b.Verification.State)
	}
	// Output:
	// auto shutdown verified
	// auto startup verified
}

// A backup counts once its stored bytes are proven. One without a change since the last
// is not made again.
func ExampleManager_Backup() {
	database, _, remove := exampleDatabase()
	defer remove()
	m, err := snapshot.Open(context.Background(), snapshot.Config{Database: database})
	if err != nil {
		log.Fatal(err)
	}
	manual, err := m.Backup(context.Background(), snapshot.Manual("before the migration"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, %s at level %s: %s\n", manual.Kind, manual.Verification.State, manual.Verification.Level, manual.Note)

	automatic, err := m.Backup(context.Background(), snapshot.Auto(snapshot.TriggerSchedule))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the same backup still covers the database:", automatic.ID == manual.ID)
	// Output:
	// manual, verified at level quick: before the migration
	// the same backup still covers the database: true
}

// A restore makes a backup of what it replaces: restoring that one undoes it. The
// application's connections stay open.
func ExampleManager_Restore() {
	m, db, remove := exampleManager()
	defer remove()
	ctx := context.Background()
	backup, err := m.Backup(ctx, snapshot.Manual("one customer"))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := db.Exec("INSERT INTO customers VALUES('Grace'), ('Hedy')"); err != nil {
		log.Fatal(err)
	}
	fmt.Println("customers:", customers(db))

	result, err := m.Restore(ctx, backup.ID, snapshot.RestoreOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("after the restore (%s): %d\n", result.Method, customers(db))

	if _, err := m.Restore(ctx, *result.SafetyBackup, snapshot.RestoreOptions{}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("after the undo:", customers(db))
	// Output:
	// customers: 3
	// after the restore (online): 1
	// after the undo: 3
}

// A backup can be queried as it is, without restoring it.
func ExampleManager_OpenBackup() {
	m, db, remove := exampleManager()
	defer remove()
	ctx := context.Background()
	backup, err := m.Backup(ctx, snapshot.Manual(""))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := db.Exec("DELETE FROM customers"); err != nil { // by mistake
		log.Fatal(err)
	}

	old, err := m.OpenBackup(ctx, backup.ID)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = old.Close() }()
	var name string
	if err := old.QueryRowContext(ctx, "SELECT name FROM customers").Scan(&name); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d customers now, in the backup %s\n", customers(db), name)
	_, err = old.ExecContext(ctx, "DELETE FROM customers")
	fmt.Println("a backup can be changed:", err == nil)
	// Output:
	// 0 customers now, in the backup Ada
	// a backup can be changed: false
}

// Every operation reports its start, what happens on its way, and its end.
func ExampleConfig_onEvent() {
	database, _, remove := exampleDatabase()
	defer remove()
	ctx := context.Background()
	m, err := snapshot.Open(ctx, snapshot.Config{Database: database, OnEvent: func(ev snapshot.Event) {
		if ev.Type == snapshot.EventProgress { // Done of Total bytes, for a progress bar
			return
		}
		fmt.Printf("%s %s, the end: %v\n", ev.Operation, ev.Type, ev.Ends())
	}})
	if err != nil {
		log.Fatal(err)
	}
	backup, err := m.Backup(ctx, snapshot.Manual(""))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := m.Verify(ctx, backup.ID, snapshot.LevelFull); err != nil {
		log.Fatal(err)
	}
	_, err = m.Restore(ctx, "no-such-backup", snapshot.RestoreOptions{})
	fmt.Println("the backup was not found:", errors.Is(err, snapshot.ErrNotFound))
	// Output:
	// backup started, the end: false
	// backup backed_up, the end: true
	// verify started, the end: false
	// verify verified, the end: true
	// restore failed, the end: true
	// the backup was not found: true
}

// The plan says what a recovery of a damaged database does, before it does anything. Here
// an index lacks a row: a repair loses none.
func ExampleManager_PlanRecovery() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	damaged, err := os.ReadFile("../testdata/corrupt/index_row_missing.db")
	if err != nil {
		log.Fatal(err)
	}
	database := filepath.Join(dir, "data.db")
	if err := os.WriteFile(database, damaged, 0o600); err != nil {
		log.Fatal(err)
	}

	m, err := snapshot.Open(context.Background(), snapshot.Config{Database: database})
	if err != nil {
		log.Fatal(err)
	}
	plan, err := m.PlanRecovery(context.Background())
	if err != nil {
		log.Fatal(err) // nothing is known about the database
	}
	fmt.Printf("%s, would be %s: %s\n", plan.Verdict, plan.Action, plan.Reason)
	for _, o := range plan.Options {
		fmt.Printf("%s loses %s (proven: %v)\n", o.Action, o.Loses, o.Proven)
	}
	if errors.Is(plan.Err, snapshot.ErrNoUsableBackup) {
		fmt.Println("nothing helps")
	}

	rec, err := m.Recover(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s; the damaged file was kept: %v\n", rec.Action, rec.Quarantined != nil)
	// Output:
	// corrupt, would be repaired: a repair of a private copy passed its proof, and loses no row that an index lists; what no sound index lists may have had more rows
	// repaired loses no row that an index lists: indexes were rebuilt from their tables without losing a row that an index lists: tb; whether there were more rows is not known where no sound index lists them: in t (proven: true)
	// repaired; the damaged file was kept: true
}

// An application that empties its database on purpose says so: else the status is at risk.
func ExampleManager_AcceptBreak() {
	database, db, remove := exampleDatabase()
	defer remove()
	ctx := context.Background()
	m, err := snapshot.Open(ctx, snapshot.Config{Database: database})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := m.Backup(ctx, snapshot.Auto(snapshot.TriggerStartup)); err != nil {
		log.Fatal(err)
	}
	if _, err := db.Exec("DELETE FROM customers"); err != nil {
		log.Fatal(err)
	}
	status, err := m.Status(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(status.State, status.Break.Cause)

	accepted, err := m.AcceptBreak(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("accepted:", accepted.What)
	// Output:
	// at_risk emptied
	// accepted: no table has a row any more, and 1 had
}

// Copies go to another disk, a server or object storage; with Recipients they are encrypted.
func ExampleConfig_remotes() {
	database, _, remove := exampleDatabase()
	defer remove()
	disk := filepath.Join(filepath.Dir(database), "disk") // of another machine, say
	if err := os.Mkdir(disk, 0o700); err != nil {
		log.Fatal(err)
	}
	m, err := snapshot.Open(context.Background(), snapshot.Config{
		Database: database,
		Remotes:  []snapshot.Remote{{Name: "disk", URL: "file://" + filepath.ToSlash(disk)}},
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := m.Backup(context.Background(), snapshot.Manual("")); err != nil {
		log.Fatal(err)
	}
	sent, err := m.SyncRemote(context.Background(), "disk") // Run does so by itself
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s is %s: %d backup, %s\n", sent.Name, sent.State, sent.Backups, sent.Proof)

	latest, err := m.Find("latest")
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range latest.Copies {
		fmt.Println("a copy is at", c.Remote)
	}
	// Output:
	// disk is current: 1 backup, stored
	// a copy is at disk
}

// Receivers are notified when the protection stops, when it is back, and of what happened at a start. One of a service that
// watches for silence, such as healthchecks, alarms also when the whole machine is gone.
func ExampleConfig_notify() {
	database, db, remove := exampleDatabase()
	defer remove()
	heard := make(chan string, 100)
	ops := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var message struct{ Kind, Phase, Text string }
		if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
			log.Fatal(err)
		}
		heard <- message.Kind + ", " + message.Phase + ": " + message.Text
	}))
	defer ops.Close()
	m, err := snapshot.Open(context.Background(), snapshot.Config{
		Database: database,
		Notify: []snapshot.Receiver{{
			Name:    "ops",
			Webhook: snapshot.Secret(ops.URL), // never printed
			On:      []snapshot.NotifyKind{"recovered"},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := m.Backup(context.Background(), snapshot.Manual("")); err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(db.Close(), os.Remove(database)); err != nil { // an accident
		log.Fatal(err)
	}

	if _, err := m.Recover(context.Background()); err != nil { // the next start of the program
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	fmt.Println(<-heard)
	stop()
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
	// Output:
	// recovered, happened: recovered: the database was damaged or missing, and was restored from a backup
}
