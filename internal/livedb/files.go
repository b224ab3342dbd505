package livedb

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"example.com/snapd/internal/sqlitefile"
)

// clockTick is the coarsest step in which common file systems stamp writes (the
// kernel's timer, 10 ms at most): a file stamped this long ago and written again gets another stamp.
const clockTick = 20 * time.Millisecond

// Files is what can be seen of a database's files without reading them whole.
type Files struct {
	Fingerprint
	Header sqlitefile.Header // what the main file begins with; zeros where it is shorter
	Index  bool              // there is a -shm
	path   string            // resolved
}

// Look looks at the files of the database at path. A missing one is ErrMissing.
func Look(path string) (Files, error) {
	real, err := Resolve(path)
	if err != nil {
		return Files{}, missing(err)
	}
	f := Files{path: real, Fingerprint: Fingerprint{TakenAt: time.Now().UTC()}}
	main, err := Open(real)
	if err != nil {
		return Files{}, fmt.Errorf("look at files: %w", err)
	}
	defer main.Close()
	if f.Main, err = fileState(real, main.d.File, sqlitefile.HeaderSize); err != nil {
		return Files{}, err
	}
	if fi, err := main.d.Stat(); err == nil {
		f.Main.CTime = changeTime(fi)
	}
	head, err := hex.DecodeString(f.Main.Head)
	if err != nil {
		return Files{}, fmt.Errorf("look at files: %w", err)
	}
	if copy(f.Header[:], head) == sqlitefile.HeaderSize {
		counters := f.Header.Counters()
		f.Main.Head = hex.EncodeToString(counters[:])
	}
	if f.WAL, err = sidecarState(sqlitefile.WAL(real), sqlitefile.WALHeaderSize); err != nil {
		return Files{}, err
	}
	if f.WAL.Size > 0 {
		f.WAL.End = logEnd(real)
	}
	if f.Journal, err = sidecarState(sqlitefile.Journal(real), sqlitefile.JournalHeaderSize); err != nil {
		return Files{}, err
	}
	index, err := size(sqlitefile.SHM(real))
	f.Index = index >= 0
	return f, err
}

// lookAround is Look without the contents. It opens nothing: the descriptor of the main file
// would be kept, and with it the mount that it is on.
func lookAround(real string) (f Files, err error) {
	f.path = real
	for suffix, m := range map[string]*FileState{"": &f.Main, sqlitefile.WALSuffix: &f.WAL, sqlitefile.JournalSuffix: &f.Journal} {
		n, err := size(real + suffix)
		if err != nil {
			return f, err
		}
		*m = FileState{Present: n >= 0, Size: max(n, 0)}
	}
	index, err := size(sqlitefile.SHM(real))
	f.Index = index >= 0
	return f, err
}

// LogExists reports whether the database at the resolved path real has a -wal.
func LogExists(real string) (bool, error) {
	n, err := size(sqlitefile.WAL(real))
	return n >= 0, err
}

// missing wraps a missing file's error with ErrMissing.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrMissing, err)
	}
	return err
}

// start reads the first n bytes of a file, or all of a shorter one.
func start(path string, f *os.File, n int64) ([]byte, error) {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, n))
	if err != nil {
		return nil, fmt.Errorf("read the start of %s: %w", path, err)
	}
	return b, nil
}

// HotJournal reports whether the rollback journal may belong to a transaction, one under
// way or one that was cut off: SQLite goes by the first byte (SQLite file format §3), which
// a finished one zeroes.
func (f Files) HotJournal() bool { return len(f.Journal.Head) > 0 && f.Journal.Head[:2] != "00" }

// UsesLog reports whether SQLite would open a log for the database: the header's read
// version says so, or there is one.
func (f Files) UsesLog() bool { return f.Header.UsesWAL() || f.WAL.Present }

// settled reports whether a further write would show in the time stamps.
func (f Files) settled() bool {
	limit := f.TakenAt.Add(-clockTick).UnixNano()
	return f.Main.MTime < limit && f.WAL.MTime < limit && f.Journal.MTime < limit
}

// Recheck returns ErrMoving unless nothing was written since f was taken.
func (f Files) Recheck() error {
	now, err := Look(f.path)
	if err != nil {
		return err
	}
	if !now.Same(f.Fingerprint) || now.Header != f.Header || now.Index != f.Index || !f.settled() {
		return ErrMoving
	}
	return nil
}
