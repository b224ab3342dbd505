package livedb

import (
	"os"
	"testing"
)

// If looking at the index dropped the application's locks on it, another process
// could restart the log under its readers. The last step shows that this test would notice.
func TestIndexKeepsTheLocks(t *testing.T) {
	path := makeDB(t, "PRAGMA journal_mode=wal; CREATE TABLE t(a)")
	conn := holdWrite(t, path)
	for range 3 {
		if used, known := indexUsed(t, path); !used || !known {
			t.Fatalf("this process uses it: %v, %v", used, known)
		}
	}
	open := func() int {
		fds, _ := descriptors(os.Getpid(), mustID(t, path+"-shm"))
		return len(fds)
	}
	before := open()
	for range 100 {
		indexUsed(t, path)
	}
	if n := open(); n != before {
		t.Errorf("%d descriptors, then %d", before, n)
	}
	f, err := os.Open(path + "-shm")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if used, _ := indexUsed(t, path); used {
		t.Error("os.Open and Close did no harm either: this test cannot fail")
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
}

// A -shm that is deleted and not in use gives its descriptor back: a
// service that looks for months does not run out of them.
func TestIndexDescriptorsAreGivenBack(t *testing.T) {
	path := makeDB(t, "CREATE TABLE t(a)")
	for range 10 {
		if err := os.WriteFile(path+"-shm", []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if used, known := indexUsed(t, path); used || !known {
			t.Errorf("not in use: %v, %v", used, known)
		}
		if err := os.Remove(path + "-shm"); err != nil {
			t.Fatal(err)
		}
	}
	look(t, path)
	held.Lock()
	defer held.Unlock()
	for _, d := range held.all {
		if d.use == indexing && deleted(d.File) {
			t.Error("a deleted index is still open")
		}
	}
}

func indexUsed(t *testing.T, path string) (used, known bool) {
	t.Helper()
	f, err := OpenIndex(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return f.IndexInUse()
}

func mustID(t *testing.T, path string) ID {
	t.Helper()
	id, err := Identify(path)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
