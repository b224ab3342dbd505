package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"example.com/snapd/snapshot"
)

// What would be done about a damaged database, before anything is done: here its index
// lacks a row, which costs none to repair.
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
	// corrupt, would be repaired: a repair of a private copy passed its proof and loses nothing
	// repaired loses nothing: indexes were rebuilt from their tables without losing a row: tb (proven: true)
	// repaired; the damaged file was kept: true
}
