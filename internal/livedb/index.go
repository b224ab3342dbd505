package livedb

import (
	"errors"
	"io/fs"
	"os"
	"runtime"

	"example.com/snapd/internal/sqlitefile"
)

// OpenIndex opens the -shm, the index of the write-ahead log, of the database at
// path for reading. SQLite holds POSIX locks on it, also after UseOFDLocks, and
// closing any descriptor of it drops those of this process: a connection would go on
// without the locks that keep others from checkpointing or restarting the log
// under it. So outside Windows the descriptor stays open for the life of the
// process; Close gives up its use, and it is closed only once the file has been
// deleted and nothing else in the process has it open.
// Errors: fs.ErrNotExist, ErrNotRegular, those of opening.
func OpenIndex(path string) (*File, error) {
	real, err := Resolve(path)
	if err != nil {
		return nil, err
	}
	return openIndex(real)
}

func openIndex(real string) (*File, error) {
	d, err := acquire(sqlitefile.SHM(real), os.O_RDONLY, indexing)
	if err != nil {
		return nil, err
	}
	return &File{d: d}, nil
}

// IndexIdle reports whether no connection uses the -shm of the database at path; true
// where there is none, false where the system does not say.
func IndexIdle(path string) bool {
	f, err := OpenIndex(path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer f.Close()
	used, known := f.IndexInUse()
	return known && !used
}

// LogInUse reports whether a connection uses the log of the database at path; false where the system does
// not say.
func LogInUse(path string) bool {
	f, err := OpenIndex(path)
	if err != nil {
		return false
	}
	defer f.Close()
	used, known := f.IndexInUse()
	return known && used
}

// IndexInUse reports whether a connection, of this process too, uses the -shm
// that f is: each holds a shared lock on it for as long as it has it open. known
// is false where the system does not say.
func (f *File) IndexInUse() (used, known bool) { return indexInUse(f.d) }

// LogIndex reads the header of the log's index from the -shm that f is, without a lock: how far
// the log goes at this instant, and where a checkpoint is. ok is false where that cannot be read.
func (f *File) LogIndex() (x sqlitefile.WALIndex, ok bool) {
	const tries = 10 // a commit writes the header's two copies one after the other
	var b [sqlitefile.SHMHeadSize]byte
	for range tries {
		if n, _ := f.ReadAt(b[:], 0); n < len(b) {
			return x, false
		}
		x, torn, ok := sqlitefile.ParseWALIndex(b[:])
		if ok || !torn {
			return x, ok
		}
		runtime.Gosched()
	}
	return x, false
}
