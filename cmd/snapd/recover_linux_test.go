package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"example.com/snapd/snapshot"
)

// If this fails, a look at the database in the moment of a start (a monitoring job's
// snapd status, say) leaves it damaged and the application stopped.
func TestRecoveryWaitsForWhoIsPassing(t *testing.T) {
	path, db, id := terminalDatabase(t)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 4096), 4096); err != nil { // page 2, the table's
		t.Fatal(err)
	}
	passing := exec.Command("sampleapp", "upper") // ends with its standard input
	passing.ExtraFiles = []*os.File{f}
	in, err := passing.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := passing.Start(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil { // ours; the other process has its own
		t.Fatal(err)
	}
	var once sync.Once
	m, err := snapshot.Open(t.Context(), snapshot.Config{Database: path, OnEvent: func(ev snapshot.Event) {
		if ev.Type == snapshot.EventFailed && ev.Operation == "recover" {
			once.Do(func() { in.Close() }) // it was in the way, and goes
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := recoverPatiently(t.Context(), m)
	once.Do(func() { t.Error("there was no other program"); in.Close() })
	if err != nil || rec.Action != snapshot.ActionRestored || rec.Restored == nil || *rec.Restored != id {
		t.Errorf("recovery %+v, %v; want %s restored", rec, err, id)
	}
	if err := passing.Wait(); err != nil {
		t.Error(err)
	}
	if kept, err := filepath.Glob(filepath.Join(m.Dir(), "corrupted_*.db")); err != nil || len(kept) != 1 {
		t.Errorf("kept %v, %v", kept, err)
	}
}
