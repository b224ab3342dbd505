package durable

import (
	"os"
	"slices"
	"sync"
	"sync/atomic"
)

// Step is one call of this package that changes files, makes a change durable, or has the disk read.
type Step string

const (
	StepCreate  Step = "create"   // a temporary file
	StepSync    Step = "sync"     // a file's contents
	StepSyncDir Step = "sync dir" // a directory's entries
	StepRename  Step = "rename"   // to that path
	StepRemove  Step = "remove"
	StepLink    Step = "link"
	StepUncache Step = "drop from memory"
)

// Observer receives every step in this process, those of other tests too: it goes by the
// path. It is for tests: one that ends the process there, or one that works out what a
// loss of power would leave.
type Observer struct {
	// Before is called before a step. It may never return.
	Before func(s Step, path string)
	// Synced is called after a file's contents, or a directory's entries, were synced.
	Synced func(s Step, path string)
}

var (
	observing sync.Mutex                  // held while observers is replaced
	observers atomic.Pointer[[]*Observer] // nil without any
)

// Observe passes every step from now on to o, until stop is called.
func Observe(o *Observer) (stop func()) {
	replace := func(change func([]*Observer) []*Observer) {
		observing.Lock()
		defer observing.Unlock()
		now := change(slices.Clone(observed()))
		observers.Store(&now)
	}
	replace(func(list []*Observer) []*Observer { return append(list, o) })
	return func() {
		replace(func(list []*Observer) []*Observer {
			return slices.DeleteFunc(list, func(other *Observer) bool { return other == o })
		})
	}
}

func observed() []*Observer {
	if list := observers.Load(); list != nil {
		return *list
	}
	return nil
}

func before(s Step, path string) {
	for _, o := range observed() {
		if o.Before != nil {
			o.Before(s, path)
		}
	}
}

func synced(s Step, path string) {
	for _, o := range observed() {
		if o.Synced != nil {
			o.Synced(s, path)
		}
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

// DropCached asks the system to forget what it has in memory of a file, so that the next reading is one of the disk. What was
// not synced yet stays. It is advice: nothing follows from its failure, and only Linux takes it.
func DropCached(f *os.File) {
	before(StepUncache, f.Name())
	dropCached(f)
}
