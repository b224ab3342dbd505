package durable

import (
	"os"
	"sync/atomic"
)

// Step is one call of this package that changes files, or makes a change durable.
type Step string

const (
	StepCreate  Step = "create"   // a temporary file
	StepSync    Step = "sync"     // a file's contents
	StepSyncDir Step = "sync dir" // a directory's entries
	StepRename  Step = "rename"   // to that path
	StepRemove  Step = "remove"
	StepLink    Step = "link"
)

// Observer receives every step in this process. It is for tests: one that ends the
// process there, or one that works out what a loss of power would leave.
type Observer struct {
	// Before is called before a step. It may never return.
	Before func(s Step, path string)
	// Synced is called after a file's contents, or a directory's entries, were synced.
	Synced func(s Step, path string)
}

var observer atomic.Pointer[Observer]

// Observe passes every step from now on to o; nil ends that.
func Observe(o *Observer) { observer.Store(o) }

func before(s Step, path string) {
	if o := observer.Load(); o != nil && o.Before != nil {
		o.Before(s, path)
	}
}

func synced(s Step, path string) {
	if o := observer.Load(); o != nil && o.Synced != nil {
		o.Synced(s, path)
	}
}

// Sync puts what was written to f on stable storage.
func Sync(f *os.File) error {
	before(StepSync, f.Name())
	if err := syncFile(f); err != nil {
		return err
	}
	synced(StepSync, f.Name())
	return nil
}
